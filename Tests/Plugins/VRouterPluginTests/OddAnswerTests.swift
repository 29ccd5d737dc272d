import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// Answers that are whole and make no sense, and ADDs that fail in the middle:
/// nothing of them stays.
@Suite(.daemonLog) struct OddAnswerTests {
  private func withPod(
    _ interfaces: [AgentInterface] = Fixture.one,
    _ body: (VRouterNode, TestPod, VRouterNode.State) async throws -> Void
  ) async throws {
    try await withVRouterNode { here in
      here.agent.change { $0.configure(Fixture.name, uuid: Fixture.podUID, interfaces) }
      let pod = try await TestPod(containerID: Fixture.c1)
      try await body(here, pod, try await here.state([pod]))
    }
  }

  /// Polls that come quickly.
  private func quick(_ here: VRouterNode) -> JSONValue {
    here.network(["poll-timeout": JSONValue(text: "0.1")])
  }

  @Test(
    "A name that no interface can have is refused before anything is made",
    arguments: ["../x", "a/b", "sixteencharacter", "lo", "eth0", ".", "a b", "a:b"])
  func interfaceName(name: String) async throws {
    let interfaces = [
      Fixture.interface(Fixture.vmi0, 0, of: 2),
      Fixture.interface(Fixture.vmi1, 1, of: 2, "net-a", named: name),
    ]
    try await withPod(interfaces) { here, pod, before in
      let run = try await here.shim("ADD", pod, quick(here))
      #expect(run.isFailure, "\(run)")
      #expect(here.agent.requests("POST").isEmpty)
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test(
    "An address that is none is no address yet",
    arguments: [
      ("ip-address", "x"), ("ip-address", "10.0.0.256"), ("ip-address", "fd00::1"), ("plen", 33),
      ("plen", -1), ("plen", "12"), ("ip-address", 7), ("mac-address", "02:0b:6d"),
      ("mac-address", "ff:ff:ff:ff:ff:ff"), ("mac-address", "01:00:5e:00:00:01"), ("id", "x"),
      ("instance-id", nil), ("ip-address", nil),
    ] as [(String, JSONValue?)])
  func address(key: String, value: JSONValue?) async throws {
    try await withPod { here, pod, before in
      here.agent.script("GET", "/vm/", [.list([Fixture.vm(Fixture.vmi0).setting(key, value)])])
      let run = try await here.shim("ADD", pod, quick(here))
      #expect(run.isFailure && run.code == 11, "\(run)")
      #expect(here.agent.requests("GET", "/vm/").count == 3)
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test(
    "A list of interfaces that lacks something is no list yet",
    arguments: [
      ("id", nil), ("id", 5), ("vm-uuid", nil), ("vm-uuid", "x"), ("vm-uuid", [:]),
      ("annotations", "x"), ("annotations", [7]), ("annotations", ["{index:x/1}"]),
      ("annotations", ["{index:0}"]), ("annotations", ["{index:0/99999999999999999999}"]),
      ("annotations", ["{index:-1/1}"]), ("annotations", nil),
    ] as [(String, JSONValue?)])
  func configuration(key: String, value: JSONValue?) async throws {
    try await withPod { here, pod, before in
      here.agent.script(
        "GET", "/vm-cfg", [.list([Fixture.cfg(Fixture.vmi0).setting(key, value)]), .memory])
      try await here.add(pod, quick(here))
      #expect(here.story == ["CFG", "CFG", "POST VMI0", "P2 VMI0"])
      try await here.delete(pod, quick(here))
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test(
    "A body that is no list of objects is no answer yet",
    arguments: ["", "null", "{}", "7", "[7]", "[[]]", "[null]", "{\"error\":\"{ Not Found }\"}"])
  func body(text: String) async throws {
    try await withPod { here, pod, _ in
      here.agent.script("GET", "/vm-cfg", [.text(text), .memory])
      here.agent.script("GET", "/vm/", [.text(text), .memory])
      try await here.add(pod, quick(here))
      #expect(here.story == ["CFG", "CFG", "POST VMI0", "P2 VMI0", "P2 VMI0"])
    }
  }

  @Test("The interface that never gets its address takes the other with it")
  func secondNeverReady() async throws {
    try await withPod(Fixture.two) { here, pod, before in
      here.agent.change { $0.interfaces[Fixture.vmi1]?.ipv4 = nil }
      let run = try await here.shim("ADD", pod, quick(here))
      #expect(run.isFailure && run.code == 11, "\(run)")
      #expect(run.message?.contains(Fixture.vmi1) == true, "\(run)")
      #expect(try await here.leftovers(since: before, [pod]) == [])
      #expect(here.story.count { $0 == "DEL" } == 1)
    }
  }

  @Test("A second port that is refused takes the first with it")
  func secondRefused() async throws {
    try await withPod(Fixture.two) { here, pod, before in
      here.agent.script("POST", "/vm", [.memory, .error(500, "{ no more }")])
      let run = try await here.shim("ADD", pod, quick(here))
      #expect(run.isFailure && run.code == 102, "\(run)")
      #expect(here.agent.requests("POST").count == 2)
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("An ADD that cannot be taken back at once is taken back later")
  func undoneLater() async throws {
    try await withPod(Fixture.two) { here, pod, before in
      here.agent.script("POST", "/vm", [.memory, .error(500, "{ no more }")])
      here.agent.script("DELETE", "/vm", [.error(500, "{ not now }")])
      let run = try await here.shim("ADD", pod, quick(here))
      #expect(run.isFailure && run.code == 102, "\(run)")
      #expect(try await here.taps() == [] && here.agent.subscriptions.count == 1)
      here.agent.script("DELETE", "/vm", [])
      #expect(try await here.leftovers(since: before, [pod], within: 40_000) == [])
    }
  }

  @Test("An ADD that its runtime has given up leaves nothing", arguments: ["/vm-cfg", "/vm/"])
  func givenUp(prefix: String) async throws {
    try await withPod { here, pod, before in
      here.agent.script("GET", prefix, [.hang])
      let network = here.network(["add-timeout": 60])
      let run = try await here.node.network.run(
        ["timeout", "-s", "KILL", "1", Program.shim],
        environment: pod.environment(
          "ADD", ["CNI_ARGS": PodIdentity.web0.arguments(pod.containerID), "PATH": "/usr/bin"]),
        input: network.bytes)
      #expect(!run.succeeded)
      let start = KernelClock.monotonic
      try await here.delete(pod, network)
      // The agent would be waited for five seconds.
      #expect(KernelClock.monotonic - start < 4_500_000_000 * UInt64(Program.patience))
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("Without any key of its own the agent's directory is made where it always is")
  func defaults() async throws {
    try await withPod { here, pod, _ in
      try here.clearDisk()
      let network = here.network(top: ["contrail": nil])
      let result = try await here.add(pod, network)
      #expect(result.at("ips", 0, "address") == "10.47.255.231/12")
      let directory = here.directory("lib/contrail/ports/vm/\(Fixture.name)")
      #expect(try Files.list(directory) == [Fixture.vmi0])
      #expect(try Files.status(directory).permissions & 0o777 == 0o755)
      #expect(try Files.status("\(directory)/\(Fixture.vmi0)").permissions & 0o777 == 0o644)
      try await here.delete(pod, network)
      #expect(TemporaryDirectory.files(below: here.directory("lib/contrail")) == [])
      #expect(here.agent.subscriptions == [])
    }
  }
}
