import Addresses
import JSON
import TestSupport
import Testing

/// Limits with the burst numbers that runtimes really send, as TCP feels them for ten seconds.
@Suite("Bursts of runtimes, measured", .daemonLog, .openVSwitch)
struct BurstTests {
  @Test(
    "A limit of 10 Mbit/s is one for ten seconds, both ways",
    arguments: [
      ("containerd", (1 << 32) - 1), ("CRI-O", ((1 << 32) - 1) * 8), ("kubelet", (1 << 31) - 1),
      ("somebody who wants much", 1 << 30),
    ])
  func measured(caller: String, burst: Int) async throws {
    try await withOVSNode { here in
      let (limited, other) = (try await TestPod("limited"), try await TestPod("other"))
      let rate: JSONValue = 10_000_000
      let number = JSONValue.number(JSONNumber(burst))
      let limits: JSONValue = [
        "ingressRate": rate, "ingressBurst": number, "egressRate": rate, "egressBurst": number,
      ]
      try await here.node.add(limited, here.network(["runtimeConfig": ["bandwidth": limits]]))
      try await here.node.add(other, here.network())
      let (own, others) = (IPAddress(v4: 0x0A01_0202), IPAddress(v4: 0x0A01_0203))
      async let sent = TCPTransfer.measure(limit: 10) {
        try await TCPTransfer.run(
          from: limited.network, to: other.network, at: others, bytes: 12_500_000)
      }
      async let received = TCPTransfer.measure(limit: 10) {
        try await TCPTransfer.run(
          from: other.network, to: limited.network, at: own, bytes: 12_500_000)
      }
      let ways = (sent: try await sent, received: try await received)
      print("figure: 10 Mbit/s, burst of \(caller): from \(ways.sent); to \(ways.received)")
      #expect(ways.sent.keeps(to: 10) && ways.received.keeps(to: 10), "\(ways)")
      let isCut = here.node.log.contains("ingress burst of \(burst) bit on")
      #expect(isCut == (caller == "somebody who wants much"))
    }
  }
}
