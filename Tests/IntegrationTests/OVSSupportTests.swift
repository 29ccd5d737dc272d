import Linux
import TestSupport
import Testing

@Suite("Open vSwitch and OVN of the tests' own", .openVSwitch)
struct OVSSupportTests {
  /// A namespace with a switch and two pods on its bridge `br`.
  private struct Cloud {
    let network: TestNamespace
    let ovs: OpenVSwitch
    let pods: [TestNamespace]

    init() async throws {
      network = try await TestNamespace()
      ovs = try await OpenVSwitch(in: network, directory: TemporaryDirectory())
      pods = [try await TestNamespace(), try await TestNamespace()]
    }

    /// Puts a pod's end of a veth pair into its namespace and the other one on a bridge.
    func plug(_ index: Int, bridge: String, _ settings: String...) async throws {
      let (pod, port) = (pods[index], "port\(index)")
      try await network.ip(
        "link add \(port) up type veth peer name eth0 address 0a:00:00:00:00:0\(index + 1) "
          + "netns \(pod.path)")
      try await pod.ip("link set eth0 up", "address add 10.0.0.\(index + 1)/24 dev eth0")
      try await ovs.vsctl("add-port", bridge, port)
      for setting in settings { try await ovs.vsctl("set", "Interface", port, setting) }
    }
  }

  @Test("Two pods on a bridge reach each other, through the death of both daemons")
  func bridge() async throws {
    let cloud = try await Cloud()
    let ovs = cloud.ovs
    try await ovs.addBridge("br")
    try await cloud.plug(0, bridge: "br")
    try await cloud.plug(1, bridge: "br", "external_ids:a=b", "mtu_request=1400")
    #expect(try await ovs.ports("br") == ["port0", "port1"])
    // The switch tells of it later than of the port.
    try await ovs.vsctl("wait-until", "Interface", "port1", "mtu=1400")
    #expect(try await cloud.pods[0].pings("10.0.0.2"))
    let datapaths = try await ovs.appctl("dpif/show")
    #expect(datapaths.hasPrefix(Program.hasFullKernel ? "system@" : "netdev@"))
    let interface = try #require(try await ovs.interface("port1"))
    #expect(interface.map("external_ids") == ["a": "b"])
    #expect(interface.text("mtu") == "1400")
    #expect(interface.list("error") == [])
    #expect(interface.text("ofport").flatMap { Int($0) } != nil)
    #expect(try await ovs.port("port1")?.text("interfaces") == interface.text("_uuid"))
    #expect(try await ovs.port("nobody") == nil)
    #expect(try await ovs.ofctl("dump-flows", "br").contains("NORMAL"))

    try await ovs.killDatabase()
    try await ovs.killSwitch()
    try await ovs.startDatabase()
    try await ovs.startSwitch()
    #expect(try await cloud.pods[1].pings("10.0.0.1"))
  }

  @Test("Two logical ports are bound by their iface-id and reach each other")
  func ovn() async throws {
    let cloud = try await Cloud()
    let ovn = try await OVN(on: cloud.ovs, directory: TemporaryDirectory())
    try await ovn.addSwitch(
      "pods",
      ports: ["a_1": "0a:00:00:00:00:01 10.0.0.1", "a_2": "0a:00:00:00:00:02 10.0.0.2"])
    for index in 0...1 {
      try await cloud.plug(index, bridge: "br-int", "external_ids:iface-id=a_\(index + 1)")
      try await cloud.ovs.vsctl(
        "wait-until", "Interface", "port\(index)", "external_ids:ovn-installed=true")
    }
    #expect(try await cloud.pods[0].pings("10.0.0.2"))
    #expect(try await ovn.sbctl("show").contains("Port_Binding a_2"))
  }

  @Test("Nothing is put where an installed Open vSwitch has its files")
  func traces() async throws {
    let places = ["/run/openvswitch", "/run/ovn", "/var/log/openvswitch", "/etc/openvswitch"]
    let before = places.map { (try? Files.list($0)) ?? [] }
    let cloud = try await Cloud()
    _ = try await OVN(on: cloud.ovs, directory: TemporaryDirectory())
    #expect(places.map { (try? Files.list($0)) ?? [] } == before)
  }
}
