import DelegatePlugin
import JSON
import Linux
import PluginBench
import TestSupport

/// A set on a node: macvlan as eth0, and macvlan with Debian's tuning behind it as net1.
struct DelegateScene: PluginScene {
  static let plugin = DelegatePlugin()

  let node: TestNode
  /// Whether no part is executed.
  let isBuiltIn: Bool

  static func stage(
    _ options: TestNode.Options, _ setting: BenchSetting,
    _ body: (DelegateScene) async throws -> Void
  ) async throws {
    let isBuiltIn = setting.situation == "built in"
    try await withTestNode(options) { node in
      try await body(DelegateScene(node: node, isBuiltIn: isBuiltIn))
    }
  }

  func configuration(_ verb: BenchVerb) -> JSONValue {
    var second: [JSONValue] = [macvlan("second", "10.1.3.0/24")]
    if !isBuiltIn { second.append(["type": "tuning", "mtu": 1400]) }
    var delegates: [JSONValue] = [
      macvlan("first", "10.1.2.0/24"), ["name": "second", "plugins": .array(second)],
    ]
    if verb == .failingAdd {
      delegates.append(["type": "tuning", "name": "third", "sysctl": ["net.nothing": "1"]])
    }
    // Only from this version on is anything collected; the reference tuning refuses it otherwise.
    let version: JSONValue = verb == .collect ? "1.1.0" : "1.0.0"
    return [
      "cniVersion": version, "name": "pods", "type": "cni-shim", "plugin": "delegate",
      "daemonSocketDir": .string(node.socketDirectory),
      "daemonTimeout": .number(JSONNumber(min(20 * Program.patience, 300))),
      "cacheDir": .string(node.directory("cache")), "delegates": .array(delegates),
    ]
  }

  private func macvlan(_ network: String, _ subnet: String) -> JSONValue {
    [
      "name": .string(network), "type": "macvlan", "master": "uplink",
      "ipam": ["type": "host-local", "subnet": .string(subnet)],
    ]
  }

  var environment: [String: String?] { ["CNI_PATH": Program.referencePlugins] }
  var links: [String] { ["eth0", "net1"] }
  /// The set, two parts, a lease of each, and what libcni would keep of two networks.
  var holdings: Int { 7 }
  var held: [String] { node.leases + node.records + cached }

  private var cached: [String] { TemporaryDirectory.files(below: node.directory("cache")) }

  func traces() async throws -> [String] { cached.map { "cached: \($0)" } }

  /// Every step of the set, and each step of its parts in turn.
  static let scenarios: [KillScenario] = [
    .init("record", .add), .init("attached", .add), .init("runDelegate", .add),
    .init("writeCache", .add), .init("writeCache#2", .add),
    .init("macvlan.record", .add), .init("macvlan.takeLease", .add),
    .init("macvlan.createLink", .add), .init("macvlan.configureLink", .add),
    .init("macvlan.attached", .add), .init("macvlan.record#2", .add),
    .init("macvlan.takeLease#2", .add), .init("macvlan.createLink#2", .add),
    .init("macvlan.configureLink#2", .add), .init("macvlan.attached#2", .add),
    .init("runDelegateDelete", .failingAdd), .init("macvlan.deleteLink", .failingAdd),
    .init("macvlan.deleteLink#2", .failingAdd),
    .init("runDelegateDelete", .delete), .init("removeCache", .delete),
    .init("removeCache#2", .delete), .init("macvlan.deleteLink", .delete),
    .init("macvlan.releaseLease", .delete), .init("macvlan.deleteLink#2", .delete),
    .init("macvlan.releaseLease#2", .delete), .init("collectDelegates", .collect),
    .init("macvlan.collectLeases", .collect),
  ]
}
