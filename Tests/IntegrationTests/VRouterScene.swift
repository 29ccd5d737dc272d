import FakeVRouter
import HTTP
import JSON
import Linux
import PluginBench
import TestSupport
import VRouterPlugin

/// The vrouter plugin on a node with an agent.
struct VRouterScene: PluginScene {
  static let plugin = VRouterPlugin()

  var node: TestNode { here.node }
  private let here: VRouterNode
  private let setting: BenchSetting
  private let pod: TestPod
  /// An earlier sandbox of the same pod, which nobody has removed.
  private let earlier: TestPod?
  private let interface: AgentInterface
  /// The pod's other interfaces.
  private let others: [AgentInterface]
  private let uuid = "5f0c7a1e-3b52-4d68-9a41-0c2b7de91f34"

  static func stage(
    _ options: TestNode.Options, _ setting: BenchSetting,
    _ body: (VRouterScene) async throws -> Void
  ) async throws {
    try await withVRouterNode(options) { here in
      try await body(try await VRouterScene(here, setting))
    }
  }

  /// Has the agent know the pods.
  private init(_ here: VRouterNode, _ setting: BenchSetting) async throws {
    (self.here, self.setting, pod) = (here, setting, setting.pod)
    let (situation, kept) = (setting.situation, setting.kept)
    earlier = situation == "an earlier sandbox" ? try await TestPod("earlier") : nil
    let total = situation == "two VMIs" ? 2 : 1
    var interface = VRouterFixture.interface(VRouterFixture.vmi0, 0, of: total)
    others =
      total == 1 ? [] : [VRouterFixture.interface(Self.second, 1, of: total, "net-a")]
    if situation == "a VLAN" { interface.vlan = 101 }
    if situation == "IPv6" {
      interface.ipv6 = .init("2001:db8:1::5", 64, gateway: "2001:db8:1::1", nameServer: "::")
    }
    self.interface = interface
    var ofKept = [VRouterFixture.interface(VRouterFixture.vmi1, 0, of: total)]
    if total == 2 { ofKept.append(VRouterFixture.interface(Self.third, 1, of: total, "net-a")) }
    let keptInterfaces = ofKept
    let isNested = situation == "a VLAN"
    here.agent.change { memory in
      memory.isNested = isNested
      memory.configure(
        Self.name(kept), uuid: "d1f1802e-3b52-4d68-9a41-0c2b7de91f34", keptInterfaces)
      memory.names[kept.containerID] = memory.names[Self.name(kept)]
      // The pod that a missed DEL has left behind.
      memory.configure(
        Self.gone, uuid: Self.goneID, [VRouterFixture.interface(VRouterFixture.vmi2)])
    }
    for path in ["/add_cni_info", "/del_cni_info"] {
      here.agent.script("POST", path, [.text("{}")])
    }
    setInterface { _ in }
  }

  private static let second = "0b6d9c55-8e1f-11ee-9c2a-525400a1b2c3"
  private static let third = "0b6d9c56-8e1f-11ee-9c2a-525400a1b2c3"
  private static let gone = "k8s__default__gone"
  private static let goneID = "aaaaaaaa-3b52-4d68-9a41-0c2b7de91f34"

  private static func name(_ pod: TestPod) -> String { "k8s__default__\(pod.containerID)" }

  /// Has the agent know the pod's interface as it was at first, but for a change.
  private func setInterface(_ change: (inout AgentInterface) -> Void) {
    var changed = interface
    change(&changed)
    let (known, pod, uuid) = ([changed] + others, pod, uuid)
    here.agent.change { memory in
      memory.configure(Self.name(pod), uuid: uuid, known)
      memory.names[pod.containerID] = uuid
    }
  }

  func changeSurroundings() {
    switch setting.verb {
    case .failingAdd, .failingUpdate:
      setInterface {
        $0.network = VRouterFixture.vn1
        // The kernel refuses a route through it.
        $0.ipv4 = .init("10.47.255.230", 12, gateway: "192.0.2.1", nameServer: "10.47.255.253")
      }
    case .update:
      setInterface {
        $0.network = VRouterFixture.vn1
        $0.ipv4?.address = "10.47.255.230"
      }
    default: break
    }
  }

  func restoreSurroundings() { setInterface { _ in } }

  func configuration(_ verb: BenchVerb) -> JSONValue {
    var contrail: [String: JSONValue?] =
      switch setting.situation {
      case "Mesos": ["mode": "mesos", "mesos-ip": "127.0.0.1", "mesos-port": "9091"]
      case "a VLAN": ["vif-type": "macvlan", "parent-interface": "uplink"]
      case "quick": ["poll-timeout": .number(JSONNumber(text: "0.05") ?? JSONNumber(1))]
      default: [:]
      }
    if verb == .update || verb == .failingUpdate { contrail["mtu"] = 1400 }
    return here.network(contrail, top: ["cniVersion": "1.1.0"])
  }

  // MARK: What others have left

  func leave(_ calls: BenchCalls) async throws {
    switch setting.situation {
    case "an earlier sandbox":
      if let earlier { try await calls.add(earlier, ["CNI_ARGS": pod.arguments]) }
    // A file of the pod's earlier life, whose link went with the node.
    case "a port of an earlier life": try await leavePort(Self.name(pod))
    default: break
    }
  }

  func litter() async throws {
    guard setting.situation.isEmpty else { return }
    try await node.network.ip(
      "link add tapeth0-aaaaaa type veth peer name lonely",
      "link set tapeth0-aaaaaa alias cnid:long-gone/eth0")
    try await leavePort(Self.gone)
  }

  /// The late DEL of the earlier sandbox, which must not disturb the later one.
  func tidy(_ calls: BenchCalls) async throws {
    if let earlier { try await calls.delete(earlier, ["CNI_ARGS": pod.arguments]) }
  }

  /// A port file of a container that is not there any more, and the agent that still knows the
  /// port.
  private func leavePort(_ name: String) async throws {
    let port: JSONValue = [
      "time": "then", "vm-id": "long-gone", "vm-uuid": .string(Self.goneID),
      "vm-name": .string(name),
      "host-ifname": "tapeth0-aaaaaa", "vm-ifname": "eth0", "vm-namespace": "/gone",
      "vn-uuid": .string(VRouterFixture.vn1), "vmi-uuid": .string(VRouterFixture.vmi2),
    ]
    let directory = "\(here.portFiles)/\(name)"
    try Files.makeDirectories(directory)
    try Files.write("\(directory)/\(VRouterFixture.vmi2)", port.bytes, mode: [.write, .create])
    let answer = try await here.node.network.run(
      ["curl", "-sS", "-d", "@-", "http://127.0.0.1:9091/vm"], input: port.bytes)
    guard answer.text == "{}" else { throw TestError("POST: \(answer)") }
  }

  // MARK: Afterwards

  var links: [String] { others.isEmpty ? ["eth0"] : ["eth0", "eth1"] }
  var held: [String] { node.leases + node.records + portFiles }

  /// Without the second choice of a work area.
  private var portFiles: [String] {
    TemporaryDirectory.files(below: here.ports)
  }

  func faults(of answer: ProgramResult, _ verb: BenchVerb) -> [String] {
    switch verb {
    case .add:
      let wanted = setting.situation == "IPv6" ? 2 : 1
      let count = answer.json?["ips"]?.array?.count
      return count == wanted ? [] : ["addresses: \(count ?? 0)"]
    case .failingAdd:
      return answer.message?.contains("0.0.0.0/0") == true ? [] : ["not the route's refusal"]
    default: return []
    }
  }

  /// What the agent, the Mesos manager and their directories have.
  func traces() async throws -> [String] {
    var left = portFiles.map { "port file: \($0)" }
    left += ((try? Files.list(here.portFiles)) ?? []).filter { $0 != ".cni" }.sorted()
      .map { "directory: \($0)" }
    left += here.agent.subscriptions.map { "subscription: \($0)" }
    left += here.agent.violations
    var registered: Set<String> = []
    for request in here.agent.requests {
      let container = request.text("cid") ?? ""
      if request.path == "/add_cni_info" { registered.insert(container) }
      if request.path == "/del_cni_info" { registered.remove(container) }
    }
    return left + registered.sorted().map { "registered: \($0)" }
  }

  static let scenarios: [KillScenario] = [
    .init("record", .add), .init("record", .add, "Mesos"), .init("attached", .add),
    .init("attached", .add, "two VMIs"),
    .init("registerContainer", .add, "Mesos"),
    .init("collectStale", .add, "a port of an earlier life"),
    .init("takeOver", .add, "an earlier sandbox"), .init("createLinks", .add),
    .init("createLinks", .add, "an earlier sandbox"), .init("markLinks", .add),
    .init("writePorts", .add), .init("writePorts", .add, "an earlier sandbox"),
    .init("announcePorts", .add), .init("announcePorts", .add, "an earlier sandbox"),
    .init("announcePorts", .add, "Mesos"), .init("awaitPorts", .add), .init("configureLinks", .add),
    .init("awaitAddresses", .add, "IPv6"), .init("addRoutes", .add),
    .init("deleteLinks", .failingAdd), .init("removePorts", .failingAdd),
    .init("withdrawPorts", .failingAdd), .init("deleteLinks", .delete),
    .init("removePorts", .delete), .init("withdrawPorts", .delete),
    .init("unregisterContainer", .delete, "Mesos"), .init("deleteLinks", .collect),
    .init("removePorts", .collect), .init("withdrawPorts", .collect),
    .init("collectPorts", .collect), .init("updatePorts", .update), .init("updateLinks", .update),
    .init("updatePorts", .failingUpdate), .init("restoreLinks", .failingUpdate),
    .init("unregisterContainer", .failingAdd, "Mesos"),
    .init("unregisterContainer", .collect, "Mesos"), .init("createLinks", .add, "two VMIs"),
    .init("markLinks", .add, "two VMIs"), .init("writePorts", .add, "two VMIs"),
    .init("announcePorts", .add, "two VMIs"), .init("configureLinks", .add, "two VMIs"),
    .init("deleteLinks", .delete, "two VMIs"), .init("removePorts", .delete, "two VMIs"),
    .init("withdrawPorts", .delete, "two VMIs"), .init("removePorts", .collect, "two VMIs"),
  ]

  /// Those that a kernel must have VLANs for.
  static let nested: [KillScenario] = [
    .init("createVLANs", .add, "a VLAN"), .init("createMacvlans", .add, "a VLAN"),
    .init("configureLinks", .add, "a VLAN"), .init("deleteLinks", .delete, "a VLAN"),
  ]
}
