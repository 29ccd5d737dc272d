import JSON
import Linux
import MacvlanPlugin
import PluginBench
import TestSupport

/// The macvlan plugin on a node, with host-local or with an IPAM plugin on disk.
struct MacvlanScene: PluginScene {
  static let plugin = MacvlanPlugin()

  let node: TestNode
  private let setting: BenchSetting
  private let ipam: SceneIPAM

  static func stage(
    _ options: TestNode.Options, _ setting: BenchSetting,
    _ body: (MacvlanScene) async throws -> Void
  ) async throws {
    try await withTestNode(options) { node in
      let ipam = try SceneIPAM(node, setting.situation)
      try await body(MacvlanScene(node: node, setting: setting, ipam: ipam))
    }
  }

  func configuration(_ verb: BenchVerb) -> JSONValue {
    let network = node.macvlan(["ipam": ipam.configuration])
    return switch verb {
    case .add, .delete, .collect: network
    case .failingAdd: network.setting("ipam", SceneIPAM.refused)
    case .update: network.setting("mtu", 1400)
    // The kernel refuses it.
    case .failingUpdate: network.setting("mode", "passthru")
    }
  }

  var environment: [String: String?] { ipam.environment }
  var held: [String] { node.leases + node.records + ipam.leases }
  func litter() async throws { try ipam.litter() }
  func traces() async throws -> [String] { ipam.leases.map { "disk: \($0)" } }

  func faults(of answer: ProgramResult, _ verb: BenchVerb) -> [String] {
    SceneIPAM.faults(of: answer, verb)
  }

  static let scenarios: [KillScenario] = [
    .init("record", .add), .init("attached", .add),
    .init("attached", .add, "IPAM on disk"), .init("record", .add, "IPAM on disk"),
    .init("takeLease", .add),
    .init("createLink", .add), .init("createLink", .add, "IPAM on disk"),
    .init("markLink", .add, "IPAM on disk"), .init("runIPAM", .add, "IPAM on disk"),
    .init("configureLink", .add), .init("configureLink", .add, "IPAM on disk"),
    .init("awaitAddresses", .add, "IPv6"), .init("addRoutes", .add, "routes"),
    .init("deleteLink", .failingAdd), .init("releaseLease", .failingAdd),
    .init("runIPAMDelete", .delete, "IPAM on disk"), .init("deleteLink", .delete),
    .init("deleteLink", .delete, "IPAM on disk"), .init("releaseLease", .delete),
    .init("updateLink", .update), .init("restoreLink", .failingUpdate),
    .init("runIPAMDelete", .collect, "IPAM on disk"),
    .init("collectLeases", .collect, "IPAM on disk"), .init("deleteLink", .collect),
    .init("releaseLease", .collect), .init("collectLeases", .collect),
  ]
}
