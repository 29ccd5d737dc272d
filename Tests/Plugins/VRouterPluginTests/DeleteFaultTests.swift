import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// DEL with an agent that fails.
@Suite(.daemonLog) struct DeleteFaultTests {
  @Test(
    "DEL succeeds while the agent fails or hangs, and the agent hears of it later",
    arguments: ["500", "hang", "drip", "huge", "close", "cut", "garbage"])
  func agentFails(how: String) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      here.agent.forgetRequests()
      let answers: [String: AgentAnswer] = [
        "500": .error(500, "{ Operation Not Supported }"), "hang": .hang, "close": .close,
        "garbage": .garbage, "drip": .drip, "huge": .huge(bytes: 100 << 20, announced: true),
        "cut": .closeAfterHead,
      ]
      here.agent.script("DELETE", "/vm", [try #require(answers[how])])
      let run = try await here.shim("DEL", pod)
      #expect(run.succeeded && run.output.isEmpty, "\(run)")
      #expect(run.milliseconds < 15_000 * Program.patience)
      #expect(try await here.taps() == [])
      #expect(here.portFile(Fixture.vmi0) == nil)
      #expect(here.story.contains("DEL"))

      here.agent.forgetRequests()
      here.agent.script("DELETE", "/vm", [])
      let left = try await here.leftovers(since: before, [pod], within: 40_000)
      #expect(left == [])
      #expect(here.agent.requests("DELETE").count { $0.status == 200 } == 1)
    }
  }

  @Test("A port file that the agent writes late, before it forgets the port, is removed as well")
  func lateAgent() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      here.agent.script("POST", "/vm", [.error(500, "{ busy }")])
      here.agent.script("DELETE", "/vm", [.memory.after(milliseconds: 3500)])
      async let run = here.shim("ADD", pod)
      let late = here.port(Fixture.vmi0, "eth0", "tapeth0-5f0c7a", pod)
      // At once when the agent is asked, before it answers.
      let isWritten = try await becomes {
        guard !here.agent.requests("DELETE").isEmpty else { return false }
        let directory = "\(here.portFiles)/\(Fixture.name)"
        try Files.makeDirectories(directory)
        try Files.write("\(directory)/\(Fixture.vmi0)", late.bytes, mode: [.write, .create])
        return true
      }
      #expect(isWritten)
      #expect(try await run.isFailure)
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("What is owed is paid before the pod is added again, and not afterwards")
  func addedAgain() async throws {
    try await withVRouterNode { here in
      let (pod, next) = (
        try await TestPod(containerID: Fixture.c1), try await TestPod(containerID: Fixture.c2)
      )
      try await here.add(pod)
      here.agent.script("DELETE", "/vm", [.error(500, "{ busy }")])
      try await here.delete(pod)
      // The agent would take the new link for the old one.
      let early = try await here.shim("ADD", next)
      #expect(early.code == 102, "\(early)")
      #expect(early.message?.contains("has not yet forgotten sandbox") == true, "\(early)")
      #expect(try await here.taps() == [])
      here.agent.script("DELETE", "/vm", [])
      try await here.add(next)
      here.agent.forgetRequests()
      let isQuiet = try await eventually(within: 15_000) { here.node.records.count == 1 }
      #expect(isQuiet)
      #expect(!here.story.contains("DEL"))
      #expect(here.agent.subscriptions.map(\.interface) == [Fixture.vmi0])
      #expect(try await here.taps() == ["tapeth0-5f0c7a"])
      try await here.delete(next)
      #expect(here.agent.subscriptions == [] && here.node.records == [])
    }
  }

  @Test("A DEL without a record that the agent did not hear is told again")
  func unrecorded() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      try await here.loseRecords()
      here.agent.script("DELETE", "/vm", [.error(500, "{ busy }")])
      try await here.delete(pod)
      #expect(here.node.records.count == 1)
      here.agent.script("DELETE", "/vm", [])
      let isTold = try await eventually(within: 30_000) { here.node.records == [] }
      #expect(isTold && here.agent.subscriptions == [])
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("An agent that is away has forgotten everything: nothing is owed to it")
  func agentDown() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      here.agent.stop()
      here.agent.forgetRequests()
      let run = try await here.shim("DEL", pod)
      #expect(run.succeeded && run.output.isEmpty, "\(run)")
      #expect(run.milliseconds < 5000 * Program.patience)
      #expect(here.node.records == [])
      try here.agent.start()
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      #expect(here.agent.requests.isEmpty)
    }
  }

  @Test("Without a record the same")
  func agentDownWithoutRecord() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      try await here.loseRecords()
      here.agent.stop()
      try await here.delete(pod)
      try here.agent.start()
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("An interface that the control plane took away first leaves nothing that a restart revives")
  func configurationFirst() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      here.agent.change { $0.deleteConfiguration(Fixture.name, uuid: Fixture.podUID) }
      try await here.delete(pod)
      // The agent itself has lost the way to what it was told.
      #expect(here.agent.subscriptions.count == 1)
      #expect(try await here.taps() == [])
      let agent = here.agent
      try await onThread { try agent.restart() }
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test(
    "Whatever link a port file names, DEL takes no other's and does not fail",
    arguments: [
      "", "uplink", "tap", "tap/x", "tapaaaaaaaaaaaaaaaaaaaaaaaaaa", "tap\u{0}", "tapéééééééééééé",
      "tapbridge",
    ])
  func oddLink(name: String) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      try await here.node.network.ip("link add tapbridge type bridge")
      let before = try await here.state([pod])
      try Files.makeDirectory("\(here.portFiles)/\(Fixture.name)")
      for (id, ifname) in [(Fixture.vmi0, "eth0"), (Fixture.vmi1, "éééééééééé")] {
        let file = here.port(id, ifname, name, pod)
        try Files.write(
          "\(here.portFiles)/\(Fixture.name)/\(id)", file.bytes, mode: [.write, .create])
      }
      try await here.delete(pod)
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }
}
