import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// The agent or the daemon ends while one of them waits for the other.
@Suite(.daemonLog) struct RestartTests {
  /// A configuration whose polls last longer than a restart.
  private func patient(_ here: VRouterNode) -> JSONValue {
    here.network(["poll-timeout": 1, "poll-retries": 15])
  }

  /// Waits until a request of that kind is pending.
  private func isAsked(_ here: VRouterNode, _ line: String) async throws -> Bool {
    let agent = here.agent
    return try await eventually(within: 10_000) { agent.lines.contains { $0.hasPrefix(line) } }
  }

  @Test(
    "An agent that is restarted while it owes an answer to ADD ends with exactly the pod's port",
    arguments: ["GET /vm-cfg", "POST /vm", "GET /vm/"], [0, 2500])
  func agentRestarted(question: String, configurationAfter: Int) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      let network = patient(here)
      let words = question.split(separator: " ").map(String.init)
      here.agent.script(words[0], words[1], [.memory.after(milliseconds: 60_000), .memory])
      async let added = here.shim("ADD", pod, network)
      #expect(try await isAsked(here, question))
      let agent = here.agent
      try await onThread {
        try agent.restart(gap: 400, configurationAfter: configurationAfter)
      }
      let run = try await added
      #expect(run.succeeded, "\(run)")
      #expect(agent.subscriptions.map(\.interface) == [Fixture.vmi0])
      #expect(try await pod.network.addresses("eth0") == ["10.47.255.231/12"])
      #expect(here.portFile(Fixture.vmi0)?["vm-id"]?.string == Fixture.c1)
      try await here.delete(pod, network)
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("A DEL that does not name its pod and the ADD of the next sandbox do not run side by side")
  func namelessDelete() async throws {
    try await withVRouterNode { here in
      let (pod, next) = (
        try await TestPod(containerID: Fixture.c1), try await TestPod(containerID: Fixture.c2)
      )
      let before = try await here.state([pod, next])
      try await here.add(pod)
      here.agent.script("DELETE", "/vm", [.memory.after(milliseconds: 1000)])
      async let deleted: Void = here.delete(pod, environment: ["CNI_ARGS": nil])
      #expect(try await isAsked(here, "DELETE"))
      try await here.add(next)
      try await deleted
      #expect(here.agent.subscriptions.map(\.interface) == [Fixture.vmi0])
      #expect(here.portFile(Fixture.vmi0)?["vm-id"]?.string == Fixture.c2)
      here.agent.script("DELETE", "/vm", [])
      try await here.delete(next)
      #expect(try await here.leftovers(since: before, [pod, next]) == [])
    }
  }

  @Test("A DEL that found no daemon and the ADD of the next sandbox do not run side by side")
  func spooledDelete() async throws {
    try await withVRouterNode { here in
      let (pod, next) = (
        try await TestPod(containerID: Fixture.c1), try await TestPod(containerID: Fixture.c2)
      )
      let before = try await here.state([pod, next])
      try await here.add(pod)
      try await here.node.kill()
      try await here.delete(pod)
      // While the agent takes its time to forget the old port it must not be told of the new one.
      here.agent.script("DELETE", "/vm", [.memory.after(milliseconds: 1000)])
      here.agent.forgetRequests()
      try await here.node.start()
      try await here.add(next)
      let agent = here.agent
      #expect(
        try await eventually(within: 10_000) {
          agent.requests("DELETE").allSatisfy { $0.status == 200 }
        })
      let post = try #require(agent.requests("POST").first)
      // The daemon may go on before the agent's thread notes that all of the answer has gone out.
      #expect(agent.requests("DELETE").allSatisfy { ($0.answering ?? .max) <= post.arrived })
      #expect(agent.subscriptions.map(\.interface) == [Fixture.vmi0])
      #expect(here.portFile(Fixture.vmi0)?["vm-id"]?.string == Fixture.c2)
      here.agent.script("DELETE", "/vm", [])
      try await here.delete(next)
      #expect(try await here.leftovers(since: before, [pod, next]) == [])
    }
  }

  @Test(
    "An agent that has taken the port and dies before it says so reads it from the file when it starts"
  )
  func answerLost() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      let network = patient(here)
      here.agent.script("GET", "/vm/", [.hang, .memory])
      async let added = here.shim("ADD", pod, network)
      #expect(try await isAsked(here, "GET /vm/"))
      let agent = here.agent
      #expect(agent.subscriptions.count == 1)
      agent.forgetRequests()
      try await onThread { try agent.restart(gap: 400) }
      let run = try await added
      #expect(run.succeeded, "\(run)")
      // It was not told again: the file was enough.
      #expect(!agent.lines.contains("POST /vm") && agent.subscriptions.count == 1)
      try await here.delete(pod, network)
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test(
    "An agent that goes for good in the middle of ADD fails it with code 11, and revives nothing later",
    arguments: ["POST /vm", "GET /vm/"])
  func agentGone(question: String) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      let words = question.split(separator: " ").map(String.init)
      here.agent.script(words[0], words[1], [.memory.after(milliseconds: 60_000), .memory])
      async let added = here.shim("ADD", pod)
      #expect(try await isAsked(here, question))
      let agent = here.agent
      await onThread { agent.stop() }
      let run = try await added
      #expect(run.code == 11, "\(run)")
      try await onThread { try agent.start() }
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("What the agent is owed survives the daemon's death", arguments: ["500", "hang"])
  func owed(how: String) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      here.agent.script("DELETE", "/vm", [how == "hang" ? .hang : .error(500, "{ busy }")])
      try await here.delete(pod)
      #expect(here.node.records.count == 1 && here.agent.subscriptions.count == 1)
      try await here.node.kill()
      here.agent.script("DELETE", "/vm", [])
      here.agent.forgetRequests()
      try await here.node.start()
      let left = try await here.leftovers(since: before, [pod], within: 20_000)
      #expect(left == [])
      #expect(here.story == ["DEL"])
    }
  }

  @Test("A daemon that dies while a hanging agent is told of a DEL tells it after its restart")
  func killedInDelete() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      here.agent.script("DELETE", "/vm", [.hang])
      async let deleted = here.shim("DEL", pod)
      #expect(try await isAsked(here, "DELETE /vm"))
      try await here.node.kill()
      // The shim leaves the DEL in the spool.
      let run = try await deleted
      #expect(run.succeeded && run.output.isEmpty, "\(run)")
      here.agent.script("DELETE", "/vm", [])
      try await here.node.start()
      let left = try await here.leftovers(since: before, [pod], within: 20_000)
      #expect(left == [])
    }
  }

  @Test("What is owed is paid before the pod comes again, and never against it")
  func owedAndAddedAgain() async throws {
    try await withVRouterNode { here in
      let (pod, next) = (
        try await TestPod(containerID: Fixture.c1), try await TestPod(containerID: Fixture.c2)
      )
      let before = try await here.state([pod, next])
      try await here.add(pod)
      here.agent.script("DELETE", "/vm", [.error(500, "{ busy }")])
      try await here.delete(pod)
      try await here.node.kill()
      try await here.node.start()
      let early = try await here.shim("ADD", next)
      #expect(early.code == 102, "\(early)")
      here.agent.script("DELETE", "/vm", [])
      try await here.add(next)
      try await here.node.kill()
      here.agent.forgetRequests()
      try await here.node.start()
      let node = here.node
      let isQuiet = try await eventually(within: 20_000) { node.records.count == 1 }
      #expect(isQuiet && !here.story.contains("DEL"), "\(here.story)")
      #expect(here.agent.subscriptions.map(\.interface) == [Fixture.vmi0])
      #expect(try await next.network.links() == ["eth0"])
      #expect(here.portFile(Fixture.vmi0)?["vm-id"]?.string == Fixture.c2)
      try await here.delete(next)
      let left = try await here.leftovers(since: before, [pod, next], within: 20_000)
      #expect(left == [])
    }
  }

  @Test("After a restart of both the port is the agent's again, and DEL finds all of it")
  func both() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      try await here.node.kill()
      let agent = here.agent
      try await onThread { try agent.restart() }
      #expect(agent.subscriptions.map(\.interface) == [Fixture.vmi0])
      try await here.node.start()
      try await here.delete(pod)
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("After a reboot the files of the old boot go, and nobody else's")
  func reboot() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([])
      try await here.add(pod)
      let other = "\(here.portFiles)/k8s__default__other"
      try Files.makeDirectory(other, permissions: 0o755)
      try Files.write(
        "\(other)/\(Fixture.vmi2)", Array(#"{"vm-id":"x","host-ifname":"tapeth0-000000"}"#.utf8),
        mode: [.write, .create])
      try await here.node.kill()
      let agent = here.agent
      await onThread { agent.stop() }
      // What a reboot does: no links, another boot id, and an agent that starts when it likes.
      try await here.node.network.ip("link delete tapeth0-5f0c7a")
      let records = "\(here.node.stateDirectory)/attachments"
      let name = try #require(here.node.records.first)
      let text = String(decoding: try Files.read("\(records)/\(name)"), as: UTF8.self)
      let boot = String(
        decoding: try Files.read("/proc/sys/kernel/random/boot_id").prefix(36), as: UTF8.self)
      try Files.write(
        "\(records)/\(name)",
        Array(text.replacing(boot, with: "11111111-2222-3333-4444-555555555555").utf8),
        mode: [.write, .truncate])
      try await here.node.start()
      let node = here.node
      let isDone = try await eventually(within: 15_000) { node.records.isEmpty }
      #expect(isDone && here.portFile(Fixture.vmi0) == nil)
      #expect(try Files.list(here.portFiles) == ["k8s__default__other"])
      TemporaryDirectory.removeTree(other)
      try await onThread { try agent.start() }
      let left = try await here.leftovers(since: before)
      #expect(left == [])
    }
  }
}
