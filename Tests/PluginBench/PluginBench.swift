import TestSupport
import Testing

import JSON
import Linux
import PluginKit

/// A plugin's tests that only need its scene: a life of a pod, a SIGKILL after each step, failing
/// system calls.
package enum PluginBench<Scene: PluginScene> {
  /// The plugin's name.
  package static var name: String { Scene.plugin.name }

  /// The names of the plugin's steps, from its own list.
  package static var steps: [String] { names(of: Scene.Plugin.Step.self) }

  private static func names<Step: PluginStep>(of: Step.Type) -> [String] {
    Step.allCases.map(\.rawValue)
  }

  private static func stage(
    _ setting: BenchSetting, _ body: (KillDrill<Scene>) async throws -> Void
  ) async throws {
    var options = TestNode.Options(startsDaemon: false)
    options.program = Scene.daemon
    try await Scene.stage(options, setting) { scene in
      try await body(try await KillDrill(scene, setting))
    }
  }

  // MARK: A life

  /// STATUS, ADD, CHECK, DEL, DEL again and GC on a real node; nothing is left at the end.
  package static func live(situation: String = "") async throws {
    let setting = try await BenchSetting(.add, situation: situation)
    try await stage(setting) { drill in
      let (scene, pod) = (drill.scene, setting.pod)
      let (node, environment) = (scene.node, scene.environment)
      let configuration = scene.configuration(.add)
      try await node.start()
      let status = try await node.shim("STATUS", pod, configuration, environment)
      #expect(status.succeeded, "\(status)")
      let result = try await node.add(pod, configuration, environment)
      #expect(try await scene.faults(of: pod, after: .add) == [])
      let check = try await node.shim(
        "CHECK", pod, configuration.setting("prevResult", result), environment)
      #expect(check.succeeded, "\(check)")
      for _ in 0..<2 { try await node.delete(pod, configuration, environment) }
      let none: JSONValue = []
      let collected = try await node.shim(
        "GC", pod, configuration.setting("cni.dev/valid-attachments", none), environment)
      #expect(collected.succeeded, "\(collected)")
      try await drill.expectUsable()
    }
  }

  // MARK: Kills

  /// `kill -9` of the daemon after a step, and what must be so afterwards.
  package static func kill(_ scenario: KillScenario, _ conduct: RuntimeConduct) async throws {
    let setting = try await BenchSetting(scenario.verb, situation: scenario.situation)
    try await stage(setting) { drill in
      try await drill.launch(doomedAt: scenario.step)
      try await drill.scene.node.waitUntilReady()
      switch conduct {
      case .waits:
        async let called = drill.call()
        #expect(try await drill.died(), "\(scenario.step) was not reached")
        try await drill.scene.node.start()
        var answer = try await called
        // The shim of a GC waits only two seconds for the next daemon; its runtime calls again.
        if scenario.verb == .collect, answer.code == 11 { answer = try await drill.call() }
        try await drill.expectAnswer(answer)
      case .givesUp:
        try await giveUp(scenario, drill)
        try await drill.scene.node.start()
        try await drill.expectRecovered(from: scenario.step)
      }
      try await drill.expectUsable()
    }
  }

  /// The call of a runtime that does not live through its daemon's death.
  private static func giveUp(
    _ scenario: KillScenario, _ drill: KillDrill<Scene>
  ) async throws {
    let call = try await drill.callWithoutWaiting()
    #expect(try await drill.died(), "\(scenario.step) was not reached")
    // A shim with a DEL ends by itself, because the DEL waits in the spool.
    if scenario.verb == .delete {
      #expect(try await call.ended() == .exited(0))
    } else {
      call.signal(.kill)
      _ = try await call.ended()
    }
  }

  /// The same, and further kills while the next daemons recover, each after one of the steps of the
  /// undo.
  package static func kill(_ scenario: KillScenario, andInUndo undo: [String]) async throws {
    let setting = try await BenchSetting(scenario.verb, situation: scenario.situation)
    try await stage(setting) { drill in
      try await drill.launch(doomedAt: scenario.step)
      try await drill.scene.node.waitUntilReady()
      try await giveUp(scenario, drill)
      for step in undo {
        try await drill.launch(doomedAt: step)
        #expect(try await drill.died(), "\(step) was not reached while recovering")
      }
      try await drill.scene.node.start()
      try await drill.expectRecovered(from: scenario.step)
      try await drill.expectUsable()
    }
  }

  /// The steps of a call that nobody disturbs, and the steps of the undo if it fails.
  package static func rehearse(_ verb: BenchVerb, situation: String = "") async throws -> [String] {
    let setting = try await BenchSetting(verb, situation: situation)
    let found = Locked<[String]>([])
    try await stage(setting) { drill in
      let node = drill.scene.node
      try await node.start()
      let run = try await drill.call()
      let steps = try await doneSteps(node)
      found.withLock { $0 = steps }
      try await drill.expectAnswer(run)
      try await drill.expectUsable()
    }
    return found.value
  }

  /// The plugin's steps that a daemon has done since its start, by its metrics.
  private static func doneSteps(_ node: TestNode) async throws -> [String] {
    let page = try await node.http("GET", "/metrics").text
    return steps.filter { step in
      page.split(separator: "\n").contains { line in
        line.hasPrefix("cnid_step_duration_seconds_count")
          && line.contains("plugin=\"\(Scene.plugin.name)\"") && line.contains("step=\"\(step)\"")
      }
    }
  }

  /// The places of a call at which the daemon can be killed.
  private static func places(of verb: BenchVerb, _ situation: String) async throws -> [String] {
    let steps = try await rehearse(verb, situation: situation)
    switch verb {
    // After each writing of the record is a place of its own.
    case .add: return ["record"] + steps + ["attached"]
    // The step that fails is no place; what undoes the call is.
    case .failingAdd:
      let undo = try await rehearse(.delete, situation: situation)
      return steps.filter { undo.contains($0) }
    case .failingUpdate:
      let forward = try await rehearse(.update, situation: situation)
      return steps.filter { !forward.contains($0) }
    case .delete, .update, .collect: return steps
    }
  }

  /// `kill -9` after each step of each of these calls, by both kinds of runtime; every step of the
  /// plugin must be among them.
  ///
  /// Of a further situation only those steps of a call are killed that none before it had.
  package static func killEverywhere(
    _ verbs: [BenchVerb] = BenchVerb.allCases, situations: [String] = [""]
  ) async throws {
    var killed: [BenchVerb: Set<String>] = [:]
    for situation in situations {
      for verb in verbs {
        for step in try await places(of: verb, situation)
        where killed[verb, default: []].insert(step).inserted {
          for conduct in RuntimeConduct.allCases {
            try await kill(KillScenario(step, verb, situation), conduct)
          }
        }
      }
    }
    let reached = killed.values.reduce(into: Set<String>()) { $0.formUnion($1) }
    #expect(reached == Set(steps + ["record", "attached"]))
  }
}
