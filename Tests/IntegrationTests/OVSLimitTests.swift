import Addresses
@_spi(Journal) import Linux
import Netlink
import TestSupport
import Testing

/// What Open vSwitch makes of the limits in its database, as `Netlink` reads it and
/// as TCP feels it.
///
/// Where the kernel has no policers it makes nothing of a limit from the pod and says so in its own
/// log only; that it does here as well is the reason for looking.
@Suite("Open vSwitch's own bandwidth limits", .openVSwitch, .serialized)
struct OVSLimitTests {
  /// A switch and two pods on its bridge; the first one's port is `port0`.
  private struct Cloud {
    let network: TestNamespace
    let ovs: OpenVSwitch
    let pods: [TestNamespace]
    let addresses = [IPAddress(v4: 0x0A00_0001), IPAddress(v4: 0x0A00_0002)]

    init() async throws {
      let datapath = OVSNode.datapath
      network = try await TestNamespace()
      ovs = try await OpenVSwitch(
        in: network, directory: TemporaryDirectory(), datapath: datapath)
      pods = [try await TestNamespace(), try await TestNamespace()]
      try await ovs.addBridge("br")
      for (index, pod) in pods.enumerated() {
        try await network.ip("link add port\(index) up type veth peer name eth0 netns \(pod.path)")
        try await pod.ip("link set eth0 up", "address add \(addresses[index])/24 dev eth0")
        try await ovs.vsctl("add-port", "br", "port\(index)")
        if datapath == .userspace { try await pod.computeChecksums("eth0") }
      }
    }

    /// Limits the first pod to 20 Mbit/s, both ways.
    func limit() async throws {
      try await ovs.vsctl(
        "set", "Interface", "port0", "ingress_policing_rate=20000", "ingress_policing_burst=4000",
        "--", "--id=@qos", "create", "QoS", "type=linux-htb", "other_config:max-rate=20000000",
        "--", "set", "Port", "port0", "qos=@qos")
    }

    /// What `Netlink` reads of the first pod's port: rates in bytes per second.
    func rates() async throws -> (ceilings: [UInt64], policers: [UInt64]) {
      try await network.run {
        let deadline = Deadline.after(seconds: 20 * Program.patience)
        var socket = try NetlinkSocket()
        guard let port = try socket.link(named: "port0", deadline: deadline) else {
          throw TestError("no port0")
        }
        let classes = try socket.trafficClasses(of: port.index, deadline: deadline)
        let filters = try socket.ingressFilters(of: port.index, deadline: deadline)
        return (
          classes.compactMap { $0.hierarchical?.ceiling },
          filters.flatMap(\.actions).compactMap { $0.police?.rate }
        )
      }
    }

    /// What goes from one pod to the other.
    func transfer(from sender: Int, to receiver: Int, _ bytes: Int) async throws -> TCPTransfer {
      try await TCPTransfer.run(
        from: pods[sender], to: pods[receiver], at: addresses[receiver], bytes: bytes)
    }
  }

  @Test("They are seen where they are in force, and not seen where they are not")
  func seen() async throws {
    let cloud = try await Cloud()
    let before = try await cloud.rates()
    try await cloud.limit()
    let after = try await cloud.rates()
    #expect(before.ceilings == [] && before.policers == [])
    #expect(!after.ceilings.isEmpty && after.ceilings.allSatisfy { $0 == 2_500_000 }, "\(after)")
    #expect(after.policers == (Program.hasFullKernel ? [2_500_000] : []))
    let error = try await cloud.ovs.interface("port0")?.list("error")
    #expect(error == [], "the database is silent about it")
  }

  @Test("Each way is limited", .fullKernel("act_police"))
  func measured() async throws {
    let cloud = try await Cloud()
    let free = try await TCPTransfer.measure(above: 30) {
      try await cloud.transfer(from: 0, to: 1, 5_000_000)
    }
    try await cloud.limit()
    let fromPod = try await TCPTransfer.measure(limit: 20) {
      try await cloud.transfer(from: 0, to: 1, 10_000_000)
    }
    let toPod = try await TCPTransfer.measure(limit: 20) {
      try await cloud.transfer(from: 1, to: 0, 10_000_000)
    }
    #expect(free.megabits > 30, "\(free)")
    #expect(fromPod.keeps(to: 20) && toPod.keeps(to: 20), "\(fromPod); \(toPod)")
    print("figure: Open vSwitch's own limits of 20 Mbit/s: from \(fromPod); to \(toPod)")
  }

  @Test("A hundred megabytes pass, faster than a limit could be")
  func large() async throws {
    let cloud = try await Cloud()
    let transfer = try await cloud.transfer(from: 0, to: 1, 100_000_000)
    #expect(transfer.megabits > 30 / Double(Program.patience), "\(transfer)")
    print("figure: TCP through a \(OVSNode.datapath) bridge: \(transfer)")
  }
}

extension TestNamespace {
  /// Makes the kernel compute the checksums of what a link sends: a userspace bridge takes
  /// packets as they are.
  fileprivate func computeChecksums(_ link: String) async throws {
    try await run {
      try NetlinkSocket().setTransmitChecksumOffload(false, of: link, Permit())
    }
  }
}
