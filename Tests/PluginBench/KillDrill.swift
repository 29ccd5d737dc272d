import JSON
import Linux
import PluginKit
import TestSupport
import Testing

/// One run of a scene: its daemons, its calls, and what is expected afterwards.
struct KillDrill<Scene: PluginScene> {
  let scene: Scene
  let setting: BenchSetting
  private let calls: BenchCalls
  private let before: Snapshot

  private var node: TestNode { scene.node }
  private var pod: TestPod { setting.pod }
  private var kept: TestPod { setting.kept }

  /// Has a first daemon make what the call needs; no daemon runs afterwards.
  init(_ scene: Scene, _ setting: BenchSetting) async throws {
    (self.scene, self.setting) = (scene, setting)
    calls = BenchCalls(scene)
    let node = scene.node
    try await node.start()
    before = try await node.snapshot([setting.pod, setting.kept])
    try await scene.leave(calls)
    if setting.verb.needsAttachment { try await calls.add(setting.pod) }
    if setting.verb == .collect {
      try await calls.add(setting.kept)
      try await scene.litter()
    }
    try await node.stop()
    scene.changeSurroundings()
  }

  /// Starts a daemon that dies after a step, without waiting for anything.
  func launch(doomedAt step: String) async throws {
    let point = step.contains(".") ? step : "\(Scene.plugin.name).\(step)"
    try await node.launch(through: "export CNID_KILL_AFTER=\(point)")
  }

  /// The configuration of the call that is put to the test.
  private var given: JSONValue {
    let configuration = scene.configuration(setting.verb)
    guard setting.verb == .collect else { return configuration }
    return configuration.setting(
      "cni.dev/valid-attachments",
      [["containerID": .string(kept.containerID), "ifname": "eth0"]]
    ).setting("gcLiving", true)
  }

  /// The call; the shim waits for the next daemon if this one dies.
  func call() async throws -> ProgramResult {
    try await node.shim(setting.verb.command, pod, given, scene.environment)
  }

  /// The same call by a runtime that can be killed with its shim.
  func callWithoutWaiting() async throws -> RunningProcess {
    try await node.startShim(setting.verb.command, pod, given, scene.environment)
  }

  /// Waits until the daemon has died of its own SIGKILL.
  func died() async throws -> Bool {
    try await node.daemon?.ended(within: 30_000) == .signalled(9)
  }

  // MARK: Afterwards

  /// What differs from the beginning, once the recovery has had its time.
  private func leftovers() async throws -> [String] {
    try await settled(within: 15_000) {
      let now = try await node.snapshot([pod, kept])
      return Snapshot.difference(before, now, process: false) + (try await scene.traces())
    }
  }

  private func expectAttached(_ pod: TestPod, after verb: BenchVerb) async throws {
    #expect(try await scene.faults(of: pod, after: verb) == [])
    #expect(scene.held.count == scene.holdings, "\(scene.held)")
  }

  /// The state after the next daemon has recovered, when nobody has repeated the call.
  func expectRecovered(from step: String) async throws {
    switch setting.verb {
    case .add where step == "attached":
      // What was attached stays so. A runtime that got no result deletes.
      try await scene.tidy(calls)
      try await expectAttached(pod, after: .add)
      try await calls.delete(pod)
      #expect(try await leftovers() == [])
    case .add, .failingAdd, .delete:
      try await scene.tidy(calls)
      #expect(try await leftovers() == [])
    case .update, .failingUpdate:
      // What was attached stays so, and the call can be repeated.
      #expect(scene.held.count == scene.holdings, "\(scene.held)")
      try await expectAnswer(try await call())
    case .collect:
      try await expectAnswer(try await call())
    }
  }

  /// The answer of the call, and what is then there; afterwards it is all gone again.
  func expectAnswer(_ run: ProgramResult) async throws {
    #expect(run.succeeded == !setting.verb.fails, "\(run)")
    #expect(scene.faults(of: run, setting.verb) == [], "\(run)")
    switch setting.verb {
    case .add:
      try await scene.tidy(calls)
      try await expectAttached(pod, after: .add)
      try await calls.delete(pod)
    case .failingAdd, .delete: break
    case .update, .failingUpdate:
      try await expectAttached(pod, after: setting.verb)
      try await calls.delete(pod)
    case .collect:
      #expect(try await scene.traces(in: pod) == [])
      try await expectAttached(kept, after: .collect)
      try await calls.delete(kept)
    }
  }

  /// ADD and DEL work as if nothing had been, and nothing is left at the end.
  func expectUsable() async throws {
    scene.restoreSurroundings()
    #expect(try await leftovers() == [])
    try await calls.add(pod)
    try await expectAttached(pod, after: .add)
    try await calls.delete(pod)
    #expect(try await leftovers() == [])
  }
}
