import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// Calls that end while they wait for the agent, and what many calls leave in the daemon.
@Suite(.daemonLog) struct WaitingTests {
  /// The questions of ADD, each of which may never be answered.
  static let questions = ["GET /vm-cfg", "POST /vm", "GET /vm/"]

  /// Lets the agent hang at a question, once.
  private func hang(_ here: VRouterNode, at question: String) {
    let words = question.split(separator: " ").map(String.init)
    here.agent.script(words[0], words[1], [.hang, .memory])
  }

  private func isAsked(_ here: VRouterNode, _ question: String) async throws -> Bool {
    let agent = here.agent
    return try await eventually(within: 10_000) { agent.lines.contains { $0.hasPrefix(question) } }
  }

  @Test(
    "An ADD whose runtime has gone is taken back at once, wherever it waits", arguments: questions)
  func clientGone(question: String) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      hang(here, at: question)
      let input = here.directory("input")
      try Files.write(input, here.network().bytes, mode: [.write, .create])
      let environment = pod.environment(
        "ADD", ["CNI_ARGS": PodIdentity.web0.arguments(pod.containerID), "PATH": "/usr/bin:/bin"])
      let (log, network) = (here.directory("shim.log"), here.node.network)
      let shim = try await onThread {
        try RunningProcess(
          ["/bin/sh", "-c", "exec \(Program.shim) < \(input)"], environment: environment, log: log,
          in: network)
      }
      #expect(try await isAsked(here, question))
      shim.signal(.kill)
      _ = try await shim.ended()
      // The agent would have been waited for five seconds.
      let left = try await here.leftovers(since: before, [pod], within: 4500)
      #expect(left == [])
    }
  }

  @Test("A DEL ends its ADD, wherever that waits", arguments: questions)
  func deleted(question: String) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      hang(here, at: question)
      async let added = here.shim("ADD", pod)
      #expect(try await isAsked(here, question))
      let run = try await here.shim("DEL", pod)
      #expect(run.succeeded && run.milliseconds < 4500 * Program.patience, "\(run)")
      let add = try await added
      #expect(!add.succeeded && add.code != 999, "\(add)")
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("A daemon that is stopped while ADDs wait for the agent ends in time and leaves nothing")
  func stopped() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      here.agent.script("GET", "/vm/", [.hang])
      async let added = here.shim("ADD", pod, here.network(top: ["daemonTimeout": 60]))
      #expect(try await isAsked(here, "GET /vm/"))
      #expect(try await here.node.stop(within: 12_000 * Program.patience) == .exited(0))
      here.agent.script("GET", "/vm/", [])
      try await here.node.start()
      // The shim has waited for the next daemon, or was answered by the last.
      let run = try await added
      if run.succeeded { try await here.delete(pod) } else { #expect(run.code == 11, "\(run)") }
      let left = try await here.leftovers(since: before, [pod], within: 10_000)
      #expect(left == [])
    }
  }

  @Test(
    "Calls with an agent that fails now and then leave no descriptor, no thread and no memory behind",
    .shippedPrograms("memory is the sanitizer's"))
  func endurance() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      let network = here.network(["poll-timeout": JSONValue(text: "0.02")])
      func rounds(_ count: Int) async throws {
        for round in 0..<count {
          switch round % 5 {
          case 0: here.agent.script("GET", "/vm-cfg", [.notFound, .close, .memory])
          case 1: here.agent.script("GET", "/vm/", [.garbage, .notFound, .memory])
          case 2: here.agent.script("POST", "/vm", [.error(500, "{ busy }"), .memory])
          case 3: here.agent.script("DELETE", "/vm", [.error(500, "{ busy }"), .memory])
          default: break
          }
          let run = try await here.shim("ADD", pod, network)
          #expect(run.succeeded != (round % 5 == 2), "\(run)")
          try await here.delete(pod, network)
        }
      }
      try await rounds(10)
      let first = try #require(here.node.daemon?.usage)
      try await rounds(50)
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      // The last call's threads and connections end a little after its answer.
      let more = try await settled(within: 20_000) {
        let now = try #require(here.node.daemon?.usage)
        let isBack =
          now.descriptors <= first.descriptors + 2 && now.threads <= first.threads + 3
        return isBack ? [] : ["\(first) -> \(now)"]
      }
      #expect(more == [])
      let last = try #require(here.node.daemon?.usage)
      #expect(last.resident <= first.resident + 2048, "\(first) -> \(last)")
      print("figure: 50 ADDs and DELs with vrouter: \(first) -> \(last)")
    }
  }
}
