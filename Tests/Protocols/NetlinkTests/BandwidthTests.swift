import Addresses
@_spi(Journal) import Linux
import Netlink
import TestSupport
import Testing

@Suite("Bandwidth limits, measured", .serialized)
struct BandwidthTests {
  /// Two namespaces at the ends of one cable.
  private struct Cable {
    let near: TestNamespace
    let far: TestNamespace
    let nearAddress: IPAddress
    let farAddress: IPAddress

    init() async throws {
      (near, far) = (try await TestNamespace(), try await TestNamespace())
      (nearAddress, farAddress) = (IPAddress(v4: 0x0A00_0001), IPAddress(v4: 0x0A00_0002))
      try await near.netlink { [far] socket in
        let target = try far.opened()
        let peer = NewLink.Peer(name: "eth0", namespace: target.descriptor.rawValue)
        try socket.apply(.createLink(NewLink(name: "eth0", kind: .veth(peer: peer), isUp: true)))
      }
      try await near.ip("address add 10.0.0.1/24 dev eth0")
      try await far.ip("link set eth0 up", "address add 10.0.0.2/24 dev eth0")
    }

    /// What goes from the near end to the far one.
    func sent(_ bytes: Int) async throws -> TCPTransfer {
      try await TCPTransfer.run(from: near, to: far, at: farAddress, bytes: bytes)
    }

    /// What goes from the far end to the near one.
    func received(_ bytes: Int) async throws -> TCPTransfer {
      try await TCPTransfer.run(from: far, to: near, at: nearAddress, bytes: bytes)
    }
  }

  @Test(
    "A token bucket limits what its link sends, not what it receives, and only while it is there")
  func tokenBucket() async throws {
    let cable = try await Cable()
    try await cable.near.netlink { socket in
      let bucket = TokenBucket(rate: 2_500_000, burst: 131_072, latency: 50)
      try socket.apply(.setTokenBucket(index: try socket.existing("eth0").index, bucket))
    }
    let limited = try await TCPTransfer.measure(limit: 20) { try await cable.sent(5_000_000) }
    let other = try await TCPTransfer.measure(above: 30) {
      try await cable.received(5_000_000)
    }
    try await cable.near.netlink { socket in
      try socket.apply(.removeRootQueue(index: try socket.existing("eth0").index, kind: "tbf"))
    }
    let free = try await TCPTransfer.measure(above: 30) { try await cable.sent(5_000_000) }
    #expect(limited.keeps(to: 20), "\(limited)")
    #expect(other.megabits > 30 && free.megabits > 30, "\(other); \(free)")
    print("figure: token bucket of 20 Mbit/s: \(limited)")
  }

  @Test("A bucket that is changed while it limits has the new rate")
  func change() async throws {
    let cable = try await Cable()
    var seen: [TCPTransfer] = []
    for rate in [1_250_000, 2_500_000] as [UInt64] {
      try await cable.near.netlink { socket in
        let bucket = TokenBucket(rate: rate, burst: 131_072, latency: 50)
        try socket.apply(.setTokenBucket(index: try socket.existing("eth0").index, bucket))
      }
      seen.append(
        try await TCPTransfer.measure(limit: Double(rate) / 125_000) {
          try await cable.sent(Int(rate) * 2)
        })
    }
    #expect(seen[0].keeps(to: 10) && seen[1].keeps(to: 20), "\(seen)")
  }

  @Test("A policer limits what its link receives", .fullKernel("act_police, cls_matchall"))
  func policer() async throws {
    let cable = try await Cable()
    try await cable.near.tc("qdisc add dev eth0 ingress")
    // TCP needs a burst of a fifth of a second: with half of it, half of the rate is
    // all that it gets.
    try await cable.near.tc(
      "filter add dev eth0 parent ffff: protocol all matchall action police rate 20mbit burst 512k")
    let limited = try await TCPTransfer.measure(limit: 20) {
      try await cable.received(10_000_000)
    }
    let other = try await TCPTransfer.measure(above: 30) { try await cable.sent(5_000_000) }
    #expect(limited.keeps(to: 20), "\(limited)")
    #expect(other.megabits > 30, "\(other)")
    print("figure: policer of 20 Mbit/s: \(limited)")
  }
}
