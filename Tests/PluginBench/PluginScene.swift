package import JSON
package import PluginKit
package import TestSupport

/// The pods of a run, and what happens in it.
package struct BenchSetting: Sendable {
  /// Which of the scene's situations it is; empty for the usual one.
  package let situation: String
  /// The call that is put to the test.
  package let verb: BenchVerb
  /// The pod of the call.
  package let pod: TestPod
  /// Another pod, which GC keeps.
  package let kept: TestPod

  /// Makes two pods.
  package init(_ verb: BenchVerb = .add, situation: String = "") async throws {
    (self.situation, self.verb) = (situation, verb)
    pod = try await TestPod()
    kept = try await TestPod("kept")
  }
}

/// What the bench must know of a plugin: how it is called on a node, and what it leaves there.
///
/// A scene is created for each run, before the daemon starts. The defaults fit a plugin that
/// creates the link `eth0` in the pod and takes a lease for it.
package protocol PluginScene: Sendable {
  associatedtype Plugin: NetworkPlugin

  /// The plugin, for its name and its steps.
  static var plugin: Plugin { get }
  /// The daemon that has the plugin.
  static var daemon: String { get }
  /// Creates a node for a run, hands the scene on it to a body and takes it down again.
  static func stage(
    _ options: TestNode.Options, _ setting: BenchSetting, _ body: (Self) async throws -> Void
  ) async throws

  /// The node.
  var node: TestNode { get }
  /// The network's configuration for a call, as the shim reads it.
  func configuration(_ verb: BenchVerb) -> JSONValue
  /// What the calls have in their environment besides.
  var environment: [String: String?] { get }

  /// Leaves what the call has to find, while a first daemon serves the node.
  func leave(_ calls: BenchCalls) async throws
  /// Leaves, for a GC, what has lost its record.
  func litter() async throws
  /// Changes the surroundings just before the call, and sets them back afterwards.
  func changeSurroundings()
  func restoreSurroundings()
  /// Removes what `leave` has left, after the call.
  func tidy(_ calls: BenchCalls) async throws

  /// The links that the plugin creates in a pod.
  var links: [String] { get }
  /// How many things there are for one attachment, of those that `held` lists.
  var holdings: Int { get }
  /// Records, leases and whatever else each attachment has.
  var held: [String] { get }
  /// What is wrong about a call's answer; empty if nothing is.
  func faults(of answer: ProgramResult, _ verb: BenchVerb) -> [String]
  /// What is wrong about a pod that is attached after a call; empty if nothing is.
  func faults(of pod: TestPod, after verb: BenchVerb) async throws -> [String]
  /// What shows in a pod that it is attached; empty if it is not.
  func traces(in pod: TestPod) async throws -> [String]
  /// What shows elsewhere than in the node's links, leases and records that something is attached.
  func traces() async throws -> [String]
}

extension PluginScene {
  package static var daemon: String { Program.daemon }
  package var environment: [String: String?] { [:] }
  package func leave(_ calls: BenchCalls) async throws {}
  package func litter() async throws {}
  package func changeSurroundings() {}
  package func restoreSurroundings() {}
  package func tidy(_ calls: BenchCalls) async throws {}
  package var links: [String] { ["eth0"] }
  package var holdings: Int { links.count + 1 }
  package var held: [String] { node.leases + node.records }
  package func faults(of answer: ProgramResult, _ verb: BenchVerb) -> [String] { [] }

  package func faults(of pod: TestPod, after verb: BenchVerb) async throws -> [String] {
    let found = try await pod.network.links()
    if found != links { return ["links: \(found)"] }
    guard verb == .update || verb == .failingUpdate else { return [] }
    let mtu = try await pod.network.link("eth0")?["mtu"]?.int
    return mtu == (verb == .update ? 1400 : 1500) ? [] : ["MTU \(mtu ?? 0)"]
  }

  package func traces(in pod: TestPod) async throws -> [String] { try await pod.network.links() }
  package func traces() async throws -> [String] { [] }
}

/// The calls of a scene's runtime.
package struct BenchCalls: Sendable {
  let node: TestNode
  let configuration: JSONValue
  let environment: [String: String?]

  init<Scene: PluginScene>(_ scene: Scene) {
    node = scene.node
    configuration = scene.configuration(.add)
    environment = scene.environment
  }

  /// ADD that must succeed, with some more variables.
  package func add(_ pod: TestPod, _ changes: [String: String?] = [:]) async throws {
    try await node.add(pod, configuration, environment.merging(changes) { $1 })
  }

  /// DEL that must succeed.
  package func delete(_ pod: TestPod, _ changes: [String: String?] = [:]) async throws {
    try await node.delete(pod, configuration, environment.merging(changes) { $1 })
  }
}
