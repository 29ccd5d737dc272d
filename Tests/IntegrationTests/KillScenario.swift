import JSON
import Linux
import MacvlanPlugin
import OVSPlugin
import TestSupport
import Testing
import VRouterPlugin

/// What of a plugin the kill tests have to reach.
struct KilledPlugin: Sendable {
  let name: String
  /// Its steps, from its own list.
  let steps: [String]
  /// Fewer steps would mean that effects have lost their place in the journal.
  let minimum: Int

  /// Every plugin of cnid.
  static let all = [
    KilledPlugin(
      name: "macvlan", steps: MacvlanPlugin.Step.allCases.map(\.rawValue), minimum: 13),
    KilledPlugin(name: "ovs", steps: OVSPlugin.Step.allCases.map(\.rawValue), minimum: 24),
    KilledPlugin(
      name: "vrouter", steps: VRouterPlugin.Step.allCases.map(\.rawValue), minimum: 21),
    KilledPlugin(name: "kubernetes.io/no-op", steps: [], minimum: 0),
  ]
}

/// One way to a step after which the daemon dies.
struct KillScenario: Sendable, CustomTestStringConvertible {
  /// The call during which it dies.
  enum Verb: String, Sendable {
    case add = "ADD"
    case failingAdd = "failing ADD"
    case delete = "DEL"
    case update = "UPDATE"
    case failingUpdate = "failing UPDATE"
    case collect = "GC"

    var command: String { rawValue.split(separator: " ").last.map(String.init) ?? rawValue }
    /// Whether the call ends with an error when nobody dies.
    var fails: Bool { self == .failingAdd || self == .failingUpdate }
  }

  /// The network of the attachment.
  enum Network: String, Sendable {
    case local = "host-local"
    case routes
    case ipv6 = "IPv6"
    case disk = "IPAM on disk"
    case limited
    case ovn = "OVN"
    case vmi = "one VMI"
    case vmis = "two VMIs"
    case vmi6 = "a VMI with IPv6"
    case stale = "a port of an earlier life"
    case earlier = "an earlier sandbox"
    case mesos = "Mesos"
    case nested = "a VLAN"
  }

  let plugin: String
  let step: String
  let verb: Verb
  let network: Network

  /// Between the second writing of the record and the answer: what was attached stays so.
  var isAttached: Bool { step == "attached" }
  var point: String { "\(plugin).\(step)" }
  var testDescription: String { "\(point) in \(verb.rawValue), \(network.rawValue)" }

  /// All of them: each step of each plugin in each verb that has it.
  static let all =
    macvlan.map { KillScenario(plugin: "macvlan", step: $0.0, verb: $0.1, network: $0.2) }
    + (OVSTree.directory == nil ? [] : ovs)
    .map { KillScenario(plugin: "ovs", step: $0.0, verb: $0.1, network: $0.2) }
    + VRouterDrill.scenarios.map {
      KillScenario(plugin: "vrouter", step: $0.0, verb: $0.1, network: $0.2)
    }

  /// What only a kernel with VLANs can do.
  static let nested = VRouterDrill.nested.map {
    KillScenario(plugin: "vrouter", step: $0.0, verb: $0.1, network: $0.2)
  }

  private static let ovs: [(String, Verb, Network)] = [
    ("record", .add, .local), ("attached", .add, .local), ("attached", .add, .disk),
    ("takeLease", .add, .local), ("createLinks", .add, .local),
    ("createLinks", .add, .disk), ("markLinks", .add, .local), ("runIPAM", .add, .disk),
    ("setOffload", .add, .local), ("addPort", .add, .local), ("addPort", .add, .limited),
    ("awaitPort", .add, .local), ("configureLink", .add, .local), ("awaitLink", .add, .local),
    ("limitBandwidth", .add, .limited), ("awaitFlows", .add, .ovn), ("addIPv6", .add, .ipv6),
    ("awaitAddresses", .add, .ipv6), ("addRoutes", .add, .routes),
    ("removePort", .failingAdd, .limited), ("deleteLink", .failingAdd, .local),
    ("runIPAMDelete", .delete, .disk), ("removePort", .delete, .limited),
    ("deleteLink", .delete, .local), ("releaseLease", .delete, .local),
    ("collectPorts", .collect, .local), ("collectLinks", .collect, .local),
    ("collectLeases", .collect, .local), ("removePort", .collect, .local),
    ("updatePort", .update, .local), ("limitBandwidth", .update, .local),
    ("updateLinks", .update, .local), ("restorePort", .failingUpdate, .local),
  ]

  private static let macvlan: [(String, Verb, Network)] = [
    ("record", .add, .local), ("record", .add, .disk), ("attached", .add, .local),
    ("attached", .add, .disk),
    ("takeLease", .add, .local), ("createLink", .add, .local), ("createLink", .add, .disk),
    ("markLink", .add, .disk), ("runIPAM", .add, .disk), ("configureLink", .add, .local),
    ("configureLink", .add, .disk), ("awaitAddresses", .add, .ipv6), ("addRoutes", .add, .routes),
    ("deleteLink", .failingAdd, .local), ("releaseLease", .failingAdd, .local),
    ("runIPAMDelete", .delete, .disk), ("deleteLink", .delete, .local),
    ("deleteLink", .delete, .disk), ("releaseLease", .delete, .local),
    ("updateLink", .update, .local), ("restoreLink", .failingUpdate, .local),
    ("runIPAMDelete", .collect, .disk), ("collectLeases", .collect, .disk),
    ("deleteLink", .collect, .local),
    ("releaseLease", .collect, .local), ("collectLeases", .collect, .local),
  ]
}

/// One scenario on a node: its pods, its configuration and its calls.
struct KillDrill {
  let node: TestNode
  let scenario: KillScenario
  let pod: TestPod
  /// Another pod, which GC keeps.
  let kept: TestPod
  /// The switch, for its plugin.
  private let ovs: OVSNode?
  /// The agent, for its plugin.
  private let vrouter: VRouterDrill?
  private let controller: Controller?
  private let before: Snapshot

  /// Starts the daemon that will die, and has it make what the call needs.
  init(_ node: TestNode, _ scenario: KillScenario, _ agent: VRouterNode? = nil) async throws {
    self.node = node
    self.scenario = scenario
    pod = try await TestPod()
    kept = try await TestPod("kept")
    try Files.makeDirectories(node.directory("bin"))
    try Files.write(
      node.directory("bin/on-disk"), Array(Self.script(node.directory("disk")).utf8),
      mode: [.write, .create], permissions: 0o755)
    ovs = scenario.plugin == "ovs" ? try await OVSNode(node) : nil
    vrouter =
      if let agent { try await VRouterDrill(agent, scenario, pod, kept) } else { nil }
    if scenario.network == .ovn {
      try await ovs?.ovs.vsctl(
        "set", "Open_vSwitch", ".", "external_ids:ovn-remote=unix:/nowhere",
        "external_ids:ovn-bridge=br0")
    }
    controller = scenario.network == .ovn ? ovs.map { Controller($0) } : nil
    let doom = "export CNID_KILL_AFTER=\(scenario.point)"
    // An earlier sandbox is made by an earlier daemon: in some steps this one would not live through it.
    let isEarlier = scenario.network == .earlier
    try await node.launch(through: isEarlier ? nil : doom)
    try await node.waitUntilReady()
    before = try await node.snapshot([pod, kept])
    try await vrouter?.leave { try await node.add($0, configuration(), paths.merging($1) { $1 }) }
    if isEarlier {
      try await node.stop()
      try await node.launch(through: doom)
      try await node.waitUntilReady()
    }
    switch scenario.verb {
    case .add, .failingAdd: break
    case .delete, .update, .failingUpdate: try await add(pod)
    case .collect:
      try await add(pod)
      try await add(kept)
      if scenario.network == .local {
        // What has lost its record.
        try Files.write(
          "\(node.dataDirectory)/pods/10.1.2.77", Array("long-gone\r\neth0".utf8),
          mode: [.write, .create])
        try await addLonelyPort()
      }
    }
    vrouter?.changeAgent()
  }

  /// An IPAM plugin that keeps its leases as files.
  private static func script(_ leases: String) -> String {
    """
    #!/bin/sh
    mkdir -p \(leases)
    case $CNI_COMMAND in
    ADD) echo $CNI_IFNAME > \(leases)/$CNI_CONTAINERID
      echo '{"cniVersion": "1.1.0", "ips": [{"address": "10.7.0.2/16"}]}' ;;
    DEL) rm -f \(leases)/$CNI_CONTAINERID ;;
    esac
    """
  }

  private func configuration(_ changes: [String: JSONValue?] = [:]) -> JSONValue {
    if let vrouter { return vrouter.configuration(changes) }
    let ipam: JSONValue =
      switch scenario.network {
      case .local, .limited, .ovn: ["type": "host-local", "subnet": "10.1.2.0/24"]
      case .routes:
        [
          "type": "host-local", "subnet": "10.1.2.0/24", "routes": [["dst": "198.51.100.0/24"]],
        ]
      case .ipv6: ["type": "host-local", "subnet": "2001:db8:1::/64"]
      case .disk: ["type": "on-disk"]
      case .vmi, .vmis, .vmi6, .stale, .earlier, .mesos, .nested: [:]
      }
    return (ovs?.network(["ipam": ipam]) ?? node.macvlan(["ipam": ipam])).changed(special)
      .changed(changes)
  }

  /// What the network has besides.
  private var special: [String: JSONValue?] {
    switch scenario.network {
    case .limited:
      ["runtimeConfig": ["bandwidth": ["ingressRate": 8_000_000, "egressRate": 9_000_000]]]
    case .ovn: ["args": ["cni": ["ovnPort": "lsp"]]]
    default: [:]
    }
  }

  /// A port and a link with an attachment's marks and no record.
  private func addLonelyPort() async throws {
    guard let ovs else { return }
    try await node.network.ip(
      "link add lonely type veth peer name lonely-peer",
      "link set lonely alias cnid:long-gone/eth0")
    try await ovs.ovs.vsctl(
      "add-port", "br0", "lonely", "--", "set", "Port", "lonely", "external_ids:owner=cnid",
      "external_ids:sandbox=long-gone", "external_ids:contIface=eth0", "external_ids:network=pods")
  }

  /// The configuration of the call during which the daemon dies.
  private var given: JSONValue {
    switch scenario.verb {
    case .add, .delete: configuration()
    case .failingAdd where vrouter != nil: configuration()
    case .update where vrouter != nil, .failingUpdate where vrouter != nil:
      configuration(["mtu": 1400])
    case .failingAdd:
      configuration([
        "ipam": [
          "type": "host-local", "subnet": "10.1.2.0/24",
          "routes": [["dst": "15.5.6.0/24", "gw": "192.0.2.1"]],
        ]
      ])
    case .update:
      ovs == nil
        ? configuration(["mtu": 1400])
        : configuration([
          "mtu": 1400, "vlan": 20, "runtimeConfig": ["bandwidth": ["ingressRate": 7_000_000]],
        ])
    // The kernel refuses them.
    case .failingUpdate:
      ovs == nil ? configuration(["mode": "passthru"]) : configuration(["mtu": 50, "vlan": 20])
    case .collect:
      configuration([
        "cni.dev/valid-attachments": [["containerID": .string(kept.containerID), "ifname": "eth0"]]
      ])
    }
  }

  private var paths: [String: String?] { ["CNI_PATH": node.directory("bin")] }

  private func add(_ pod: TestPod) async throws {
    try await node.add(pod, configuration(), paths)
  }

  private func delete(_ pod: TestPod) async throws {
    try await node.delete(pod, configuration(), paths)
  }

  /// The call during which the daemon dies; the shim waits for the next one.
  func call() async throws -> ProgramResult {
    try await node.shim(scenario.verb.command, pod, given, paths)
  }

  /// The same call by a runtime that can be killed with its shim.
  func callWithoutWaiting() async throws -> RunningProcess {
    try await node.startShim(scenario.verb.command, pod, given, paths)
  }

  /// Waits until the daemon has died of its own SIGKILL.
  func died() async throws -> Bool {
    let daemon = node.daemon
    return try await daemon?.ended(within: 30_000) == .signalled(9)
  }

  // MARK: Afterwards

  /// The pod's links, each with a lease or a port.
  private var links: [String] { vrouter?.links ?? ["eth0"] }

  /// Leases of every kind, and records.
  private var held: [String] {
    node.leases + TemporaryDirectory.files(below: node.directory("disk")) + node.records
      + (vrouter?.files ?? [])
  }

  /// What differs from the beginning, once the recovery has had its time.
  func leftovers() async throws -> [String] {
    var left = try await node.leftovers(
      since: before, [pod, kept], within: 15_000 * Program.patience)
    left += TemporaryDirectory.files(below: node.directory("disk")).map { "disk: \($0)" }
    if let ovs {
      left += try await ovs.ovs.ports("br0").map { "port: \($0)" }
      left += try await ovs.ovs.records("QoS").map { "queue: \($0)" }
    }
    if let vrouter { left += try await vrouter.settledLeftovers() }
    return left
  }

  /// The state after the next daemon has recovered, when nobody has come again with the call.
  func expectRecovered() async throws {
    switch scenario.verb {
    case .add where scenario.isAttached:
      // A runtime that got no result deletes.
      #expect(try await pod.network.links() == links)
      #expect(held.count == links.count + 1)
      try await delete(pod)
      let left = try await leftovers()
      #expect(left == [])
    case .add, .failingAdd, .delete:
      try await removeEarlier()
      let left = try await leftovers()
      #expect(left == [])
    case .update, .failingUpdate:
      // What was attached stays so, and the call can be repeated.
      #expect(try await pod.network.links() == links)
      #expect(held.count == links.count + 1)
      try await expectAnswer(try await call())
    case .collect:
      try await expectAnswer(try await call())
    }
  }

  /// The answer of the call, and what is then there; with `detached` it is all gone again.
  func expectAnswer(_ run: ProgramResult) async throws {
    #expect(run.succeeded == !scenario.verb.fails, "\(run)")
    switch scenario.verb {
    case .add:
      try await removeEarlier()
      #expect(run.json?["ips"]?.array?.count == (scenario.network == .vmi6 ? 2 : 1))
      #expect(try await pod.network.links() == links)
      #expect(held.count == links.count + 1)
      try await delete(pod)
    case .failingAdd:
      let route = vrouter == nil ? "15.5.6.0/24" : "0.0.0.0/0"
      #expect(run.message?.contains(route) == true, "\(run)")
    case .delete: break
    case .update, .failingUpdate:
      let mtu = scenario.verb == .update ? 1400 : 1500
      #expect(try await pod.network.link("eth0")?["mtu"]?.int == mtu)
      #expect(held.count == links.count + 1)
      try await delete(pod)
    case .collect:
      #expect(try await pod.network.links() == [])
      #expect(try await kept.network.links() == ["eth0"])
      #expect(held.count == 2, "\(held)")
      try await delete(kept)
    }
  }

  /// The late DEL of an earlier sandbox, which must not disturb the later one.
  private func removeEarlier() async throws {
    try await vrouter?.removeEarlier {
      try await node.delete($0, configuration(), paths.merging($1) { $1 })
    }
  }

  /// ADD and DEL work as if nothing had been, and nothing is left at the end.
  func expectUsable() async throws {
    vrouter?.restoreAgent()
    let left = try await leftovers()
    #expect(left == [])
    try await add(pod)
    #expect(try await pod.network.links() == links)
    #expect(held.count == links.count + 1)
    try await delete(pod)
    let leftAtEnd = try await leftovers()
    #expect(leftAtEnd == [])
  }
}

extension JSONValue {
  /// With some members set; nil removes one.
  fileprivate func changed(_ changes: [String: JSONValue?]) -> JSONValue {
    var value = self
    for key in changes.keys.sorted() { value = value.setting(key, changes[key] ?? nil) }
    return value
  }
}

extension TestNode {
  /// Calls the real shim and does not wait for its end.
  func startShim(
    _ command: String, _ pod: TestPod, _ configuration: JSONValue, _ changes: [String: String?]
  ) async throws -> RunningProcess {
    let input = directory("input-\(try Unique.word())")
    try Files.write(input, configuration.bytes, mode: [.write, .create])
    var environment = pod.environment(command, changes)
    environment["PATH"] = "/usr/bin:/bin"
    let (variables, log, network) = (environment, directory("shim.log"), network)
    return try await onThread {
      try RunningProcess(
        ["/bin/sh", "-c", "exec \(Program.shim) < \(input)"], environment: variables, log: log,
        in: network)
    }
  }
}
