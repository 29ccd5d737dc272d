import Addresses
import JSON
import TestSupport
import Testing

/// Limits as TCP feels them, whoever enforces them on this kernel.
@Suite("Bandwidth limits of pods, measured", .daemonLog, .openVSwitch, .serialized)
struct BandwidthTests {
  /// Two pods, each with its address.
  private struct Pods {
    let limited: TestPod
    let other: TestPod
    let addresses: (limited: IPAddress, other: IPAddress)

    /// Attaches both with host-local addresses; the first one with limits in bits per second.
    init(_ here: OVSNode, ingress: Int, egress: Int) async throws {
      (limited, other) = (try await TestPod("limited"), try await TestPod("other"))
      try await here.node.add(limited, BandwidthTests.network(here, ingress, egress))
      try await here.node.add(other, here.network())
      addresses = (IPAddress(v4: 0x0A01_0202), IPAddress(v4: 0x0A01_0203))
    }

    /// What the limited pod sends to the other one.
    func sent(_ bytes: Int) async throws -> TCPTransfer {
      try await TCPTransfer.run(
        from: limited.network, to: other.network, at: addresses.other, bytes: bytes)
    }

    /// What it receives from the other one.
    func received(_ bytes: Int) async throws -> TCPTransfer {
      try await TCPTransfer.run(
        from: other.network, to: limited.network, at: addresses.limited, bytes: bytes)
    }
  }

  private static func network(_ here: OVSNode, _ ingress: Int, _ egress: Int) -> JSONValue {
    here.network([
      "runtimeConfig": [
        "bandwidth": [
          "ingressRate": .number(JSONNumber(ingress)), "egressRate": .number(JSONNumber(egress)),
        ]
      ]
    ])
  }

  @Test("Both ways keep to their limits, and the log says who sees to it")
  func measured() async throws {
    try await withOVSNode { here in
      let pods = try await Pods(here, ingress: 20_000_000, egress: 20_000_000)
      let sent = try await TCPTransfer.measure(limit: 20) { try await pods.sent(10_000_000) }
      let received = try await TCPTransfer.measure(limit: 20) {
        try await pods.received(10_000_000)
      }
      #expect(sent.keeps(to: 20), "from the pod: \(sent)")
      #expect(received.keeps(to: 20), "to the pod: \(received)")
      print(
        "figure: limits of 20 Mbit/s, datapath \(OVSNode.datapath): from \(sent); to \(received)")

      let name = try await here.hostLink(of: pods.limited)
      let egress =
        Program.hasFullKernel ? "by policing of Open vSwitch" : "by a token bucket on eth0"
      let log = here.node.log
      #expect(
        log.contains(
          "ingress limit of 20000000 bit/s on \(name): by linux-htb of Open vSwitch"))
      #expect(log.contains("egress limit of 20000000 bit/s on \(name): \(egress)"))
    }
  }

  @Test("UPDATE changes limits in force, and takes them away")
  func updated() async throws {
    try await withOVSNode { here in
      let pods = try await Pods(here, ingress: 40_000_000, egress: 40_000_000)
      let slower = try await here.node.shim(
        "UPDATE", pods.limited, Self.network(here, 10_000_000, 10_000_000))
      #expect(slower.succeeded, "\(slower)")
      let sent = try await TCPTransfer.measure(limit: 10) { try await pods.sent(5_000_000) }
      let received = try await TCPTransfer.measure(limit: 10) { try await pods.received(5_000_000) }
      #expect(sent.keeps(to: 10), "from the pod: \(sent)")
      #expect(received.keeps(to: 10), "to the pod: \(received)")

      let free = try await here.node.shim("UPDATE", pods.limited, here.network())
      #expect(free.succeeded, "\(free)")
      let after = [
        try await TCPTransfer.measure(above: 20) { try await pods.sent(5_000_000) },
        try await TCPTransfer.measure(above: 20) { try await pods.received(5_000_000) },
      ]
      #expect(after.allSatisfy { $0.megabits > 20 }, "\(after)")
    }
  }
}
