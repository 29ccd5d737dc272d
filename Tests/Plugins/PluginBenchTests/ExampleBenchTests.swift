import ExamplePlugin
import JSON
import PluginBench
import TestSupport
import Testing

/// The documentation's plugin on a node, with the addresses of a situation.
private struct CableScene: PluginScene {
  static let plugin = CablePlugin()
  static let daemon = Program.ofTests("cnid-example")

  let node: TestNode
  let ipam: SceneIPAM

  static func stage(
    _ options: TestNode.Options, _ setting: BenchSetting,
    _ body: (CableScene) async throws -> Void
  ) async throws {
    try await withTestNode(options) { node in
      try await body(CableScene(node: node, ipam: try SceneIPAM(node, setting.situation)))
    }
  }

  func configuration(_ verb: BenchVerb) -> JSONValue {
    [
      "cniVersion": "1.1.0", "name": "pods", "type": "cni-shim", "plugin": "cable",
      "daemonSocketDir": .string(node.socketDirectory),
      "ipam": verb == .failingAdd ? SceneIPAM.refused : ipam.configuration,
    ]
  }

  var environment: [String: String?] { ipam.environment }
  var held: [String] { node.leases + node.records + ipam.leases }
  func litter() async throws { try ipam.litter() }
}

@Suite("The documentation's plugin on the bench", .daemonLog)
struct ExampleBenchTests {
  @Test("ADD, CHECK, DEL twice, GC and STATUS work, and nothing is left")
  func life() async throws { try await PluginBench<CableScene>.live() }

  @Test("After a kill at any step of any call nothing is left, and the call can be repeated")
  func kills() async throws {
    try await PluginBench<CableScene>.killEverywhere(
      [.add, .failingAdd, .delete, .collect],
      situations: ["", "IPAM on disk", "IPv6", "routes"])
  }

  /// What the plugin's own work needs; the daemon's is the same as with macvlan (FaultTests).
  static let seams = ["socket", "sendto", "recvfrom", "setns"]

  @Test(
    "A system call fails at any place: an honest answer, and nothing left",
    arguments: Seam.all.filter { seams.contains($0.call) })
  func faults(seam: Seam) async throws {
    try await PluginBench<CableScene>.fail(seam)
  }
}
