import CNI
import DaemonAPI
import Linux
import PluginKit
import TestSupport
import Testing
import VRouterAgent
@testable import VRouterPlugin

/// Which interfaces an ADD wires, under which names, and what of them is the pod's own.
@Suite struct SelectionTests {
  private static let uuid = Fixture.podUID

  private func object(
    _ id: String, _ index: Int, of total: Int, _ network: String, named name: String = "",
    vlan: Int? = nil
  ) throws -> VRouter.Result {
    var object = VRouter.Result()
    object.id = try #require(VRouterUUID(id))
    object.vmUUID = VRouterUUID(Self.uuid)
    object.vnID = VRouterUUID(Fixture.vn0)
    object.vlanID = vlan
    object.annotations.index = VRouter.Annotations.Index(number: index, total: total)
    object.annotations.network = network
    object.annotations.interface = name
    return object
  }

  private func request(
    _ ifName: String = "eth0", network: String = "contrail-k8s-cni", caller: String = ""
  ) throws -> PodRequest {
    PodRequest(
      command: .add, podNamespace: "default", podName: "web-0", podUID: Self.uuid,
      sandboxID: Fixture.c1, netns: "/ns", ifName: ifName, arguments: CNIArguments(),
      configuration: try NetworkConfiguration(Array(#"{"name":"\#(network)"}"#.utf8)),
      searchPath: [], environment: [:], requestID: "", callerName: caller, stamp: .now,
      deadline: .never)
  }

  private func settings(
    _ request: PodRequest, _ change: (inout ContrailCni) -> Void = { _ in }
  ) throws -> ContrailCni {
    var cni = try ContrailCni(request.configuration, nil, .strict)
    cni.defaultNetworkName = "contrail-k8s-cni"
    cni.updateContainerInfo(name: cni.name(of: request), uuid: request.podUID, network: "")
    change(&cni)
    return cni
  }

  private func two() throws -> [VRouter.Result] {
    [
      try object(Fixture.vmi1, 1, of: 2, "net-a"), try object(Fixture.vmi0, 0, of: 2, "default"),
    ]
  }

  private func file(_ id: String, _ container: String, _ ifName: String) throws -> PortFile {
    var file = PortFile(interface: try #require(VRouterUUID(id)))
    file.isReadable = true
    (file.containerID, file.ifName) = (container, ifName)
    return file
  }

  // MARK: All of them

  @Test("a pod's interfaces are named by their index, in its order")
  func byIndex() throws {
    let request = try request()
    let ports = try PortSelection(request, settings(request), two(), []).ports()
    #expect(ports.map(\.port.ifName) == ["eth0", "eth1"])
    #expect(ports.map(\.isPrimary) == [true, false])
    #expect(ports.map(\.hasDefaultRoute) == [true, false])
    #expect(ports.map(\.link) == ["tapeth0-5f0c7a", "tapeth1-5f0c7a"])
    #expect(ports.map(\.port.hostLink) == ["tapeth0-5f0c7a", "tapeth1-5f0c7a"])
    #expect(ports.allSatisfy { $0.port.name == "k8s__default__web-0" && $0.port.netns == "/ns" })
  }

  @Test("one of them has the runtime's name: that is the primary, whatever its network")
  func primary() throws {
    let request = try request("ens3")
    let objects = [
      try object(Fixture.vmi0, 0, of: 2, "default"),
      try object(Fixture.vmi1, 1, of: 2, "net-a", named: "ens3"),
    ]
    let ports = try PortSelection(request, settings(request), objects, []).ports()
    #expect(ports.map(\.port.ifName) == ["eth0", "ens3"])
    #expect(ports.map(\.isPrimary) == [false, true])
  }

  @Test(
    "with the switch off all are made although none has the runtime's name, and the primary gets it"
  )
  func switchedOff() throws {
    let request = try request("net0")
    let cni = try settings(request) { $0.isMeta = false }
    let ports = try PortSelection(request, cni, two(), []).ports()
    #expect(ports.map(\.port.ifName) == ["net0", "eth1"])
    #expect(ports.map(\.isPrimary) == [true, false])
  }

  @Test("the runtime's eth0 is made, and the others too, whatever the first one's annotation says")
  func annotatedFirst() throws {
    let request = try request()
    let objects = [
      try object(Fixture.vmi0, 0, of: 2, "default", named: "ens1"),
      try object(Fixture.vmi1, 1, of: 2, "net-a"),
    ]
    let ports = try PortSelection(request, settings(request), objects, []).ports()
    #expect(ports.map(\.port.ifName) == ["eth0", "eth1"])
    #expect(ports.map(\.isPrimary) == [true, false])
  }

  @Test(
    "names that cannot be are refused", arguments: ["", "a/b", "sixteen-bytes-xx", "..", "eth0"])
  func badNames(name: String) throws {
    let request = try request()
    let objects = [
      try object(Fixture.vmi0, 0, of: 2, "default"),
      try object(Fixture.vmi1, 1, of: 2, "net-a", named: name),
    ]
    let selection = PortSelection(request, try settings(request), objects, [])
    // An empty annotation is none.
    if name.isEmpty {
      #expect(try selection.ports().map(\.port.ifName) == ["eth0", "eth1"])
    } else {
      let error = try #require(throws: CNIError.self) { try selection.ports() }
      #expect(error.code == .vRouterAgent && error.message.contains("\"\(name)\""), "\(error)")
    }
  }

  // MARK: One of them

  @Test(
    "a call is for one network by the switch, by who calls, or by the network's name",
    arguments: [
      ("multus", "contrail-k8s-cni", true), ("multus-daemon", "contrail-k8s-cni", true),
      ("multusx", "contrail-k8s-cni", false), ("kubelet", "contrail-k8s-cni", false),
      ("", "net-a", true), ("kubelet", "net-a", true), ("", "contrail-k8s-cni", false),
    ])
  func recognised(caller: String, network: String, isMeta: Bool) throws {
    let request = try request(network: network, caller: caller)
    #expect(MetaMode.isOn(request, try settings(request)) == isMeta)
    #expect(MetaMode.isOn(request, try settings(request) { $0.isMeta = true }))
    #expect(!MetaMode.isOn(request, try settings(request) { $0.isMeta = false }))
    #expect(!MetaMode.isOn(request, try settings(request) { $0.mode = .mesos }))
  }

  @Test("a program's name is compared as the kernel cuts it")
  func longName() throws {
    let request = try request(caller: "a-meta-plugin-w")
    #expect(MetaMode.isOn(request, try settings(request) { $0.metaPlugin = "a-meta-plugin-with" }))
  }

  @Test("the pod's own network gets the runtime's name and the default route, another no route")
  func oneNetwork() throws {
    let own = try request(caller: "multus")
    let first = try PortSelection(own, settings(own), two(), []).ports()
    #expect(first.map(\.port.interface.text) == [Fixture.vmi0])
    #expect(first.map(\.hasDefaultRoute) == [true] && first.map(\.isPrimary) == [true])
    let other = try request("net1", network: "net-a", caller: "multus")
    let second = try PortSelection(other, settings(other), two(), []).ports()
    #expect(second.map(\.port.interface.text) == [Fixture.vmi1])
    #expect(second.map(\.port.ifName) == ["net1"])
    #expect(second.map(\.hasDefaultRoute) == [false] && second.map(\.isPrimary) == [true])
  }

  @Test("no interface has the runtime's name: then the call is for one network")
  func noOwnInterface() throws {
    let request = try request("net1")
    let ports = try PortSelection(request, settings(request), two(), []).ports()
    #expect(ports.map(\.port.interface.text) == [Fixture.vmi0])
    #expect(ports.map(\.port.ifName) == ["net1"])
  }

  @Test("the second attachment to a network gets the interface that is free")
  func sameNetwork() throws {
    let request = try request("net2", network: "net-a", caller: "multus")
    let objects = [
      try object(Fixture.vmi0, 0, of: 3, "default"), try object(Fixture.vmi1, 1, of: 3, "net-a"),
      try object(Fixture.vmi2, 2, of: 3, "net-a"),
    ]
    let mine = try file(Fixture.vmi1, Fixture.c1, "net1")
    let ports = try PortSelection(request, settings(request), objects, [mine]).ports()
    #expect(ports.map(\.port.interface.text) == [Fixture.vmi2])
    // A dead sandbox's does not count.
    let dead = try file(Fixture.vmi1, Fixture.c2, "net1")
    let again = try PortSelection(request, settings(request), objects, [dead]).ports()
    #expect(again.map(\.port.interface.text) == [Fixture.vmi1])
    let all = [mine, try file(Fixture.vmi2, Fixture.c1, "net3")]
    let error = try #require(throws: CNIError.self) {
      try PortSelection(request, settings(request), objects, all).ports()
    }
    #expect(error.code == .vRouterAgent && error.message.contains("\"net-a\" is attached already"))
  }

  @Test("a network that no interface has is an error that names it and those there are")
  func unknownNetwork() throws {
    let request = try request("net1", network: "net-zzz", caller: "multus")
    let error = try #require(throws: CNIError.self) {
      try PortSelection(request, settings(request), two(), []).ports()
    }
    #expect(error.code == .vRouterAgent && error.message.contains("\"net-zzz\""))
    #expect(error.details.contains("\"default\", \"net-a\""))
  }

  @Test("calls of one pod take turns, those about no pod do not")
  func lock() throws {
    let plugin = VRouterPlugin()
    var request = try request()
    #expect(plugin.lock(for: request) == "default/web-0")
    request.podName = ""
    #expect(plugin.lock(for: request) == Fixture.c1)
    request.sandboxID = ""
    #expect(plugin.lock(for: request) == nil)
  }

  @Test(
    "GC has the turn of a pod under the name that the agent knows it by",
    arguments: [
      ("k8s__default__web-0", "default/web-0"), ("my__zone_1__default__web-0", "default/web-0"),
      ("b2f1", "b2f1"), ("a_b", "a_b"), ("", ""),
    ])
  func lockOfName(name: String, lock: String) {
    #expect(VRouterPlugin.lock(named: name) == lock)
  }

  // MARK: VLANs and names

  @Test(
    "an interface without a VLAN of its own is refused where VLANs are used",
    arguments: [nil, 0, -1, 4095, 65536, .max])
  func badVLAN(vlan: Int?) throws {
    let request = try request()
    let cni = try settings(request) { $0.vifType = .macvlan }
    let objects = [try object(Fixture.vmi0, 0, of: 1, "default", vlan: vlan)]
    let error = try #require(throws: CNIError.self) {
      try PortSelection(request, cni, objects, []).ports()
    }
    #expect(error.code == .vRouterAgent && error.message.contains("not from 1 to 4094"))
  }

  @Test("with VLANs the agent is told the parent's name")
  func vlan() throws {
    let request = try request()
    let cni = try settings(request) { ($0.vifType, $0.parentInterface) = (.macvlan, "p0") }
    let objects = [try object(Fixture.vmi0, 0, of: 1, "default", vlan: 101)]
    let port = try #require(try PortSelection(request, cni, objects, []).ports().first)
    #expect(port.port.hostLink == "p0" && port.link == "vlaneth0-5f0c7a" && port.vlanID == 101)
  }

  @Test(
    "names of up to four characters are the original's, longer ones differ by pod and interface")
  func names() throws {
    let (one, other) = (
      try #require(VRouterUUID(Self.uuid)),
      try #require(VRouterUUID("d1f1802e-3b52-4d68-9a41-0c2b7de91f34"))
    )
    #expect(LinkNames.tap("eth0", one) == "tapeth0-5f0c7a")
    #expect(LinkNames.tap("a", one) == "tapa-5f0c7a1e-")
    #expect(LinkNames.vlan("eth0", one) == "vlaneth0-5f0c7a")
    let long = [
      LinkNames.tap("mynetworkif", one), LinkNames.tap("mynetworkif", other),
      LinkNames.tap("mynetworkig", one), LinkNames.tap("eth10", one),
    ]
    #expect(Set(long).count == 4 && long.allSatisfy { $0.utf8.count == 14 && $0.hasPrefix("tap") })
    #expect(LinkNames.tap("mynetworkif", one) == long[0])
    #expect(LinkNames.vlan("mynetworkif", one).utf8.count == 15)
    #expect(LinkNames.reference("tap", "mynetworkif", one) == "tapmynetworkif")
  }

  @Test(
    "the agent keeps the first name that it hears of an interface, so the port file's is used again"
  )
  func knownName() throws {
    let request = try request()
    var known = try file(Fixture.vmi0, Fixture.c2, "eth0")
    known.uuid = VRouterUUID(Self.uuid)
    known.hostLink = "tapother"
    let objects = [try object(Fixture.vmi0, 0, of: 1, "default")]
    let selection = PortSelection(request, try settings(request), objects, [known])
    #expect(try selection.ports().map(\.link) == ["tapother"])
    known.uuid = VRouterUUID("d1f1802e-3b52-4d68-9a41-0c2b7de91f34")
    let earlier = PortSelection(request, try settings(request), objects, [known])
    #expect(try earlier.ports().map(\.link) == ["tapeth0-5f0c7a"])
  }
}
