import FakeVRouter
import HTTP
import JSON
import Linux
import TestSupport

/// The scenarios of the vrouter plugin for the kill tests, and what they need on a node.
struct VRouterDrill {
  private let here: VRouterNode
  private let scenario: KillScenario
  private let pod: TestPod
  /// An earlier sandbox of the same pod, which nobody has removed.
  private let earlier: TestPod?
  private let interface: AgentInterface
  /// The pod's other interfaces.
  private let others: [AgentInterface]
  private let uuid = "5f0c7a1e-3b52-4d68-9a41-0c2b7de91f34"

  static let scenarios: [(String, KillScenario.Verb, KillScenario.Network)] = [
    ("record", .add, .vmi), ("attached", .add, .vmi), ("attached", .add, .vmis),
    ("record", .add, .mesos), ("registerContainer", .add, .mesos),
    ("collectStale", .add, .stale), ("takeOver", .add, .earlier), ("createLinks", .add, .vmi),
    ("createLinks", .add, .earlier), ("markLinks", .add, .vmi), ("writePorts", .add, .vmi),
    ("writePorts", .add, .earlier), ("announcePorts", .add, .vmi),
    ("announcePorts", .add, .earlier), ("announcePorts", .add, .mesos), ("awaitPorts", .add, .vmi),
    ("configureLinks", .add, .vmi), ("awaitAddresses", .add, .vmi6), ("addRoutes", .add, .vmi),
    ("deleteLinks", .failingAdd, .vmi), ("removePorts", .failingAdd, .vmi),
    ("withdrawPorts", .failingAdd, .vmi), ("deleteLinks", .delete, .vmi),
    ("removePorts", .delete, .vmi), ("withdrawPorts", .delete, .vmi),
    ("unregisterContainer", .delete, .mesos), ("deleteLinks", .collect, .vmi),
    ("removePorts", .collect, .vmi), ("withdrawPorts", .collect, .vmi),
    ("collectPorts", .collect, .vmi), ("updatePorts", .update, .vmi),
    ("updateLinks", .update, .vmi), ("updatePorts", .failingUpdate, .vmi),
    ("restoreLinks", .failingUpdate, .vmi), ("unregisterContainer", .failingAdd, .mesos),
    ("unregisterContainer", .collect, .mesos), ("createLinks", .add, .vmis),
    ("markLinks", .add, .vmis), ("writePorts", .add, .vmis), ("announcePorts", .add, .vmis),
    ("configureLinks", .add, .vmis), ("deleteLinks", .delete, .vmis),
    ("removePorts", .delete, .vmis), ("withdrawPorts", .delete, .vmis),
    ("removePorts", .collect, .vmis),
  ]

  /// Those that a kernel must have VLANs for.
  static let nested: [(String, KillScenario.Verb, KillScenario.Network)] = [
    ("createVLANs", .add, .nested), ("createMacvlans", .add, .nested),
    ("configureLinks", .add, .nested), ("deleteLinks", .delete, .nested),
  ]

  /// Has the agent know the pods.
  init(
    _ here: VRouterNode, _ scenario: KillScenario, _ pod: TestPod, _ kept: TestPod
  ) async throws {
    (self.here, self.scenario, self.pod) = (here, scenario, pod)
    earlier = scenario.network == .earlier ? try await TestPod("earlier") : nil
    let total = scenario.network == .vmis ? 2 : 1
    var interface = VRouterFixture.interface(VRouterFixture.vmi0, 0, of: total)
    others =
      total == 1 ? [] : [VRouterFixture.interface(Self.second, 1, of: total, "net-a")]
    if scenario.network == .nested { interface.vlan = 101 }
    if scenario.network == .vmi6 {
      interface.ipv6 = .init("2001:db8:1::5", 64, gateway: "2001:db8:1::1", nameServer: "::")
    }
    self.interface = interface
    let isNested = scenario.network == .nested
    here.agent.change { memory in
      memory.isNested = isNested
      memory.configure(
        Self.name(kept), uuid: "d1f1802e-3b52-4d68-9a41-0c2b7de91f34",
        [VRouterFixture.interface(VRouterFixture.vmi1)])
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

  /// What the agent says from now on, at the time of the call.
  func changeAgent() {
    switch scenario.verb {
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

  /// What the agent said at first.
  func restoreAgent() { setInterface { _ in } }

  func configuration(_ changes: [String: JSONValue?] = [:]) -> JSONValue {
    var contrail: [String: JSONValue?] = [:]
    if scenario.network == .mesos {
      contrail = ["mode": "mesos", "mesos-ip": "127.0.0.1", "mesos-port": "9091"]
    }
    if scenario.network == .nested {
      contrail = ["vif-type": "macvlan", "parent-interface": "uplink"]
    }
    var top = changes
    if let mtu = top.removeValue(forKey: "mtu") { contrail["mtu"] = mtu }
    return here.network(contrail, top: ["cniVersion": "1.1.0"].merging(top) { $1 })
  }

  // MARK: What others have left

  /// Leaves what the call has to find.
  func leave(_ add: (TestPod, [String: String?]) async throws -> Void) async throws {
    switch scenario.network {
    case .earlier:
      if let earlier { try await add(earlier, ["CNI_ARGS": pod.arguments]) }
    case .stale:
      // A file of the pod's earlier life, whose link went with the node.
      try await leavePort(Self.name(pod))
    case .vmi where scenario.verb == .collect:
      try await here.node.network.ip(
        "link add tapeth0-aaaaaa type veth peer name lonely",
        "link set tapeth0-aaaaaa alias cnid:long-gone/eth0")
      try await leavePort(Self.gone)
    default: break
    }
  }

  /// A port file of a container that is not there any more, and the agent that still knows the port.
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

  /// The late DEL of the earlier sandbox.
  func removeEarlier(_ delete: (TestPod, [String: String?]) async throws -> Void) async throws {
    if let earlier { try await delete(earlier, ["CNI_ARGS": pod.arguments]) }
  }

  // MARK: Afterwards

  /// The pod's links.
  var links: [String] { others.isEmpty ? ["eth0"] : ["eth0", "eth1"] }
  /// The files of ports.
  var files: [String] { TemporaryDirectory.files(below: here.ports) }

  /// What the agent, the Mesos manager and their directories still have.
  var leftovers: [String] {
    var left = TemporaryDirectory.files(below: here.ports).map { "port file: \($0)" }
    left += ((try? Files.list(here.portFiles)) ?? []).map { "directory: \($0)" }
    left += here.agent.subscriptions.map { "subscription: \($0)" }
    left += here.agent.violations
    var registered: Set<String> = []
    for request in here.agent.requests {
      let container = request.text("cid") ?? ""
      if request.path == "/add_cni_info" { registered.insert(container) }
      if request.path == "/del_cni_info" { registered.remove(container) }
    }
    return left + registered.map { "registered: \($0)" }
  }

  /// The same, once it had its time.
  func settledLeftovers() async throws -> [String] {
    let here = here
    _ = try await eventually(within: 15_000 * Program.patience) {
      here.agent.subscriptions.isEmpty && ((try? Files.list(here.portFiles)) ?? []).isEmpty
    }
    return leftovers
  }
}
