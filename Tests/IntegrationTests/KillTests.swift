import JSON
import Linux
import TestSupport
import Testing

/// `kill -9` of the shipped daemon after every step of every plugin.
@Suite(.daemonLog) struct KillTests {
  /// What the runtime does when its daemon dies.
  enum Runtime: String, CaseIterable, Sendable {
    /// Its shim waits for the next daemon and comes again.
    case waits
    /// It gives the call up; nobody comes again.
    case givesUp = "gives up"
  }

  @Test("Every step of every plugin is reached by a scenario, and no plugin has lost steps")
  func complete() async throws {
    for plugin in KilledPlugin.all where plugin.name != "ovs" || OVSTree.directory != nil {
      #expect(plugin.steps.count >= plugin.minimum, "\(plugin.name)")
      let reached = Set(
        (KillScenario.all + KillScenario.nested).filter { $0.plugin == plugin.name }.map(\.step))
      // After each writing of the record is a place of its own.
      #expect(reached == Set(plugin.steps.isEmpty ? [] : plugin.steps + ["record", "attached"]))
    }
  }

  @Test("The daemon has no plugin that is not in the list of these tests")
  func plugins() async throws {
    try await withTestNode { node in
      let run = try await node.shim(
        "ADD", try await TestPod(), node.macvlan(["plugin": "no-such-plugin"]))
      #expect(run.code == 7, "\(run)")
      let listed = run.message?.components(after: "this cnid has: ") ?? []
      #expect(Set(listed) == Set(KilledPlugin.all.map(\.name)), "\(run)")
    }
  }

  @Test(
    "After a kill nothing is left, a repeated call works, and so do ADD and DEL",
    arguments: KillScenario.all, Runtime.allCases)
  func killed(scenario: KillScenario, runtime: Runtime) async throws {
    try await kill(scenario, runtime)
  }

  @Test(
    "The same where the links are on VLANs", .fullKernel("8021q"),
    arguments: KillScenario.nested, Runtime.allCases)
  func killedOnVLAN(scenario: KillScenario, runtime: Runtime) async throws {
    try await kill(scenario, runtime)
  }

  private func kill(_ scenario: KillScenario, _ runtime: Runtime) async throws {
    try await withDrill(scenario) { node, drill in
      switch runtime {
      case .waits:
        async let called = drill.call()
        #expect(try await drill.died(), "\(scenario.point) was not reached")
        try await node.start()
        try await drill.expectAnswer(try await called)
      case .givesUp:
        let call = try await drill.callWithoutWaiting()
        #expect(try await drill.died(), "\(scenario.point) was not reached")
        // A shim with a DEL ends by itself, for nobody would come again with it.
        if scenario.verb == .delete {
          #expect(try await call.ended() == .exited(0))
        } else {
          call.signal(.kill)
          _ = try await call.ended()
        }
        try await node.start()
        try await drill.expectRecovered()
      }
      try await drill.expectUsable()
    }
  }

  @Test(
    "A daemon that is killed again and again while it recovers comes to the end of it at last",
    arguments: [
      KillScenario(plugin: "macvlan", step: "addRoutes", verb: .add, network: .routes),
      KillScenario(plugin: "macvlan", step: "configureLink", verb: .add, network: .disk),
      KillScenario(plugin: "macvlan", step: "deleteLink", verb: .delete, network: .local),
    ]
      + KillScenario.all.filter {
        $0.point == "ovs.addPort" && $0.network == .limited || $0.point == "vrouter.addRoutes"
      })
  func killedAgain(scenario: KillScenario) async throws {
    try await withDrill(scenario) { node, drill in
      let call = try await drill.callWithoutWaiting()
      #expect(try await drill.died())
      call.signal(.kill)
      _ = try await call.ended()
      var undo =
        scenario.network == .disk
        ? ["runIPAMDelete", "deleteLink"] : ["deleteLink", "releaseLease"]
      if scenario.plugin == "ovs" { undo.insert("removePort", at: 0) }
      if scenario.plugin == "vrouter" { undo = ["deleteLinks", "removePorts", "withdrawPorts"] }
      for step in undo {
        try await node.launch(through: "export CNID_KILL_AFTER=\(scenario.plugin).\(step)")
        #expect(try await drill.died(), "\(step) was not reached while recovering")
      }
      try await node.start()
      try await drill.expectRecovered()
      try await drill.expectUsable()
    }
  }
}

/// Makes a node for a scenario, with a vRouter agent if it is one of that plugin.
private func withDrill(
  _ scenario: KillScenario, _ body: (TestNode, KillDrill) async throws -> Void
) async throws {
  let options = TestNode.Options(startsDaemon: false)
  if scenario.plugin == "vrouter" {
    try await withVRouterNode(options) { here in
      try await body(here.node, try await KillDrill(here.node, scenario, here))
    }
  } else {
    try await withTestNode(options) { node in
      try await body(node, try await KillDrill(node, scenario))
    }
  }
}

extension String {
  /// The parts of a list that follows a text.
  fileprivate func components(after text: String) -> [String] {
    guard let range = firstRange(of: text) else { return [] }
    return self[range.upperBound...].split(separator: ", ").map(String.init)
  }
}
