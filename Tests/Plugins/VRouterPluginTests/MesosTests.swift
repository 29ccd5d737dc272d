import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// Mode `mesos`: a container is known by its id, and the node's Mesos manager is told of it first.
@Suite(.daemonLog) struct MesosTests {
  private static let id = Fixture.podUID

  /// A node whose agent knows the container, and a manager at another port.
  private func withManager(
    _ body: (VRouterNode, FakeAgent, TestPod, JSONValue) async throws -> Void
  ) async throws {
    try await withVRouterNode { here in
      let manager = FakeAgent(namespace: here.node.network.path, port: 6991)
      manager.script("POST", "/add_cni_info", [.text("{}")])
      manager.script("POST", "/del_cni_info", [.text("{}")])
      try manager.start()
      here.agent.change { $0.configure(Self.id, uuid: Self.id, Fixture.one) }
      let network = here.network([
        "mode": "mesos", "mesos-ip": "127.0.0.1", "mesos-port": "6991",
      ])
      try await body(here, manager, try await TestPod(containerID: Self.id), network)
      manager.stop()
    }
  }

  /// Mesos knows nothing of Kubernetes' arguments.
  private func shim(
    _ command: String, _ here: VRouterNode, _ pod: TestPod, _ network: JSONValue
  ) async throws -> ProgramResult {
    try await here.shim(command, pod, network, environment: ["CNI_ARGS": nil])
  }

  @Test("the manager hears of a container before the agent is asked, and when it goes")
  func life() async throws {
    try await withManager { here, manager, pod, network in
      let before = try await here.state([pod])
      let added = try await shim("ADD", here, pod, network)
      #expect(added.succeeded, "\(added)")
      let told = try #require(manager.requests.first)
      #expect(manager.lines == ["POST /add_cni_info"])
      #expect(told.json?.object?.keys == ["cid", "cmd", "args"])
      #expect(told.text("cid") == Self.id && told.text("cmd") == "ADD")
      let args = try JSONValue.parse(Array((told.text("args") ?? "").utf8))
      #expect(args.at("contrail", "mode") == "mesos")
      let asked = try #require(here.agent.requests.first)
      #expect(asked.line == "GET /vm-cfg/\(Self.id)")
      #expect(asked.arrived >= told.arrived)
      #expect(here.agent.requests("POST").first?.text("vm-name") == Self.id)
      #expect(try await pod.network.addresses("eth0") == ["10.47.255.231/12"])

      let deleted = try await shim("DEL", here, pod, network)
      #expect(deleted.succeeded, "\(deleted)")
      #expect(manager.lines == ["POST /add_cni_info", "POST /del_cni_info"])
      #expect(manager.requests.last?.text("cmd") == "DEL")
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test(
    "a manager that refuses or is not there fails ADD before the agent is asked, and nothing is left",
    arguments: [true, false])
  func refused(isThere: Bool) async throws {
    try await withManager { here, manager, pod, network in
      let before = try await here.state([pod])
      manager.script("POST", "/add_cni_info", [.error(500, "no")])
      if !isThere { manager.stop() }
      let run = try await shim("ADD", here, pod, network)
      #expect(run.code == (isThere ? 102 : 11), "\(run)")
      #expect(run.message?.hasPrefix("the Mesos manager") == true, "\(run)")
      #expect(here.agent.requests.isEmpty)
      if !isThere { try manager.start() }
      #expect(try await here.leftovers(since: before, [pod], within: 20_000) == [])
    }
  }

  @Test("a DEL that the manager cannot hear is told to it later")
  func owed() async throws {
    try await withManager { here, manager, pod, network in
      let before = try await here.state([pod])
      #expect(try await shim("ADD", here, pod, network).succeeded)
      manager.stop()
      #expect(try await shim("DEL", here, pod, network).succeeded)
      #expect(try await here.taps() == [])
      manager.forgetRequests()
      try manager.start()
      #expect(try await here.leftovers(since: before, [pod], within: 30_000) == [])
      #expect(manager.lines == ["POST /del_cni_info"])
    }
  }

  @Test("without a manager's address mode mesos is refused by name")
  func unconfigured() async throws {
    try await withManager { here, _, pod, network in
      let contrail = try #require(network["contrail"]).setting("mesos-ip", nil)
      let run = try await shim("ADD", here, pod, network.setting("contrail", contrail))
      #expect(run.code == 7 && run.message?.contains("contrail.mesos-ip") == true, "\(run)")
    }
  }
}
