import JSON
import Linux
import OVSPlugin
import PluginBench
import TestSupport

/// The Open vSwitch plugin on a node with a real switch.
struct OVSScene: PluginScene {
  static let plugin = OVSPlugin()

  var node: TestNode { here.node }
  private let here: OVSNode
  private let setting: BenchSetting
  private let ipam: SceneIPAM
  /// Stands in for ovn-controller while the scene lives.
  private let controller: Controller?

  static func stage(
    _ options: TestNode.Options, _ setting: BenchSetting, _ body: (OVSScene) async throws -> Void
  ) async throws {
    try await withTestNode(options) { node in
      let here = try await OVSNode(node)
      let ipam = try SceneIPAM(node, setting.situation)
      let isOVN = setting.situation == "OVN"
      if isOVN {
        try await here.ovs.vsctl(
          "set", "Open_vSwitch", ".", "external_ids:ovn-remote=unix:/nowhere",
          "external_ids:ovn-bridge=br0")
      }
      try await body(
        OVSScene(
          here: here, setting: setting, ipam: ipam, controller: isOVN ? Controller(here) : nil))
    }
  }

  func configuration(_ verb: BenchVerb) -> JSONValue {
    var network = here.network(["ipam": ipam.configuration])
    switch setting.situation {
    case "limited":
      let limits: JSONValue = ["ingressRate": 8_000_000, "egressRate": 9_000_000]
      network = network.setting("runtimeConfig", ["bandwidth": limits])
    case "OVN": network = network.setting("args", ["cni": ["ovnPort": "lsp"]])
    default: break
    }
    return switch verb {
    case .add, .delete, .collect: network
    case .failingAdd: network.setting("ipam", SceneIPAM.refused)
    case .update:
      network.setting([
        "mtu": 1400, "vlan": 20, "runtimeConfig": ["bandwidth": ["ingressRate": 7_000_000]],
      ])
    // The kernel refuses the MTU.
    case .failingUpdate: network.setting(["mtu": 50, "vlan": 20])
    }
  }

  var environment: [String: String?] { ipam.environment }
  var held: [String] { node.leases + node.records + ipam.leases }

  func faults(of answer: ProgramResult, _ verb: BenchVerb) -> [String] {
    SceneIPAM.faults(of: answer, verb)
  }

  func traces() async throws -> [String] {
    try await here.ovs.ports("br0").map { "port: \($0)" }
      + here.ovs.records("QoS").map { "queue: \($0)" } + ipam.leases.map { "disk: \($0)" }
  }

  /// A lease, and a port and a link with an attachment's marks.
  func litter() async throws {
    try ipam.litter()
    try await node.network.ip(
      "link add lonely type veth peer name lonely-peer",
      "link set lonely alias cnid:long-gone/eth0")
    try await here.ovs.vsctl(
      "add-port", "br0", "lonely", "--", "set", "Port", "lonely", "external_ids:owner=cnid",
      "external_ids:sandbox=long-gone", "external_ids:contIface=eth0", "external_ids:network=pods")
  }

  static let scenarios: [KillScenario] = [
    .init("record", .add), .init("attached", .add),
    .init("attached", .add, "IPAM on disk"), .init("takeLease", .add), .init("createLinks", .add),
    .init("createLinks", .add, "IPAM on disk"), .init("markLinks", .add),
    .init("runIPAM", .add, "IPAM on disk"), .init("setOffload", .add), .init("addPort", .add),
    .init("addPort", .add, "limited"), .init("awaitPort", .add), .init("configureLink", .add),
    .init("awaitLink", .add), .init("limitBandwidth", .add, "limited"),
    .init("awaitFlows", .add, "OVN"), .init("addIPv6", .add, "IPv6"),
    .init("awaitAddresses", .add, "IPv6"), .init("addRoutes", .add, "routes"),
    .init("removePort", .failingAdd, "limited"), .init("deleteLink", .failingAdd),
    .init("runIPAMDelete", .delete, "IPAM on disk"), .init("removePort", .delete, "limited"),
    .init("deleteLink", .delete), .init("releaseLease", .delete), .init("collectPorts", .collect),
    .init("collectLinks", .collect), .init("collectLeases", .collect),
    .init("removePort", .collect), .init("updatePort", .update), .init("limitBandwidth", .update),
    .init("updateLinks", .update), .init("restorePort", .failingUpdate),
  ]
}
