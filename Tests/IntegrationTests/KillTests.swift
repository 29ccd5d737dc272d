import JSON
import PluginBench
import TestSupport
import Testing

/// `kill -9` of the shipped daemon after every step of every plugin.
@Suite(.daemonLog) struct KillTests {
  @Test("Every step of macvlan is reached by a scenario")
  func allOfMacvlan() { expectAll(MacvlanScene.self, MacvlanScene.scenarios) }

  @Test("Every step of ovs is reached by a scenario")
  func allOfOVS() { expectAll(OVSScene.self, OVSScene.scenarios) }

  @Test("Every step of vrouter is reached by a scenario")
  func allOfVRouter() { expectAll(VRouterScene.self, VRouterScene.scenarios + VRouterScene.nested) }

  @Test("Every step of delegate is reached by a scenario")
  func allOfDelegate() { expectAll(DelegateScene.self, DelegateScene.scenarios) }

  private func expectAll<Scene: PluginScene>(_: Scene.Type, _ scenarios: [KillScenario]) {
    // Those of parts are their own plugins', and the second time is the same step.
    let own = scenarios.map(\.step).filter { !$0.contains(".") }
      .map { $0.split(separator: "#").first.map(String.init) ?? $0 }
    // After each writing of the record is a place of its own.
    #expect(Set(own) == Set(PluginBench<Scene>.steps + ["record", "attached"]))
  }

  @Test("The daemon has no plugin that is not in these tests, but the one without steps")
  func plugins() async throws {
    try await withTestNode { node in
      let run = try await node.shim(
        "ADD", try await TestPod(), node.macvlan(["plugin": "no-such-plugin"]))
      #expect(run.code == 7, "\(run)")
      let listed = run.message?.components(after: "this cnid has: ") ?? []
      let tested = [
        PluginBench<MacvlanScene>.name, PluginBench<OVSScene>.name, PluginBench<VRouterScene>.name,
        PluginBench<DelegateScene>.name, "kubernetes.io/no-op",
      ]
      #expect(Set(listed) == Set(tested), "\(run)")
    }
  }

  @Test(
    "After a kill in macvlan nothing is left, a repeated call works, and so do ADD and DEL",
    arguments: MacvlanScene.scenarios, RuntimeConduct.allCases)
  func killedInMacvlan(scenario: KillScenario, conduct: RuntimeConduct) async throws {
    try await PluginBench<MacvlanScene>.kill(scenario, conduct)
  }

  @Test(
    "The same with ovs", .openVSwitch, arguments: OVSScene.scenarios, RuntimeConduct.allCases)
  func killedInOVS(scenario: KillScenario, conduct: RuntimeConduct) async throws {
    try await PluginBench<OVSScene>.kill(scenario, conduct)
  }

  @Test("The same with sets", arguments: DelegateScene.scenarios, RuntimeConduct.allCases)
  func killedInDelegate(scenario: KillScenario, conduct: RuntimeConduct) async throws {
    try await PluginBench<DelegateScene>.kill(scenario, conduct)
  }

  @Test("The same with vrouter", arguments: VRouterScene.scenarios, RuntimeConduct.allCases)
  func killedInVRouter(scenario: KillScenario, conduct: RuntimeConduct) async throws {
    try await PluginBench<VRouterScene>.kill(scenario, conduct)
  }

  @Test(
    "The same where the links are on VLANs", .fullKernel("8021q"),
    arguments: VRouterScene.nested, RuntimeConduct.allCases)
  func killedOnVLAN(scenario: KillScenario, conduct: RuntimeConduct) async throws {
    try await PluginBench<VRouterScene>.kill(scenario, conduct)
  }

  @Test(
    "A daemon that is killed again and again while it recovers comes to the end of it at last",
    arguments: [
      (KillScenario("addRoutes", .add, "routes"), ["deleteLink", "releaseLease"]),
      (KillScenario("configureLink", .add, "IPAM on disk"), ["runIPAMDelete", "deleteLink"]),
      (KillScenario("deleteLink", .delete), ["deleteLink", "releaseLease"]),
    ])
  func killedAgain(scenario: KillScenario, undo: [String]) async throws {
    try await PluginBench<MacvlanScene>.kill(scenario, andInUndo: undo)
  }

  @Test("The same with ovs", .openVSwitch)
  func killedAgainInOVS() async throws {
    try await PluginBench<OVSScene>.kill(
      KillScenario("addPort", .add, "limited"),
      andInUndo: ["removePort", "deleteLink", "releaseLease"])
  }

  @Test("The same with vrouter")
  func killedAgainInVRouter() async throws {
    try await PluginBench<VRouterScene>.kill(
      KillScenario("addRoutes", .add),
      andInUndo: ["deleteLinks", "removePorts", "withdrawPorts"])
  }
}

extension String {
  /// The parts of a list that follows a text.
  fileprivate func components(after text: String) -> [String] {
    guard let range = firstRange(of: text) else { return [] }
    return self[range.upperBound...].split(separator: ", ").map(String.init)
  }
}
