import Addresses
import FakeVRouter
import Glibc
import JSON
@_spi(Journal) import Linux
import TestSupport
import Testing

@testable import VRouterAgent

@Suite("Announcing and withdrawing ports")
struct PortTests {
  private func announce(
    _ here: AgentFixture, _ deadline: Deadline? = nil
  ) async -> Result<Void, VRouterError> {
    let client = here.client
    return await outcome { () throws(VRouterError) in
      try client.announce(Fixture.port, Permit(), deadline: deadline ?? soon)
    }
  }

  private func withdraw(
    _ here: AgentFixture, _ deadline: Deadline? = nil
  ) async -> Result<Void, VRouterError> {
    let client = here.client
    return await outcome { () throws(VRouterError) in
      try client.withdraw(
        Fixture.pod, containerID: Fixture.container, Permit(), deadline: deadline ?? soon)
    }
  }

  private static let keys = [
    "time", "vm-id", "vm-uuid", "vm-name", "host-ifname", "vm-ifname", "vm-namespace", "vn-uuid",
    "vmi-uuid",
  ]

  @Test("A port is announced with the nine texts that its file has, and never through a proxy")
  func announced() async throws {
    let here = try AgentFixture()
    let client = here.client
    let result = await outcome { () throws(VRouterError) in
      try client.add(Fixture.port, Permit(), deadline: soon)
    }
    #expect(result.value != nil)
    let request = try #require(here.agent.requests.first)
    #expect(here.agent.lines == ["POST /vm"])
    #expect(request.header("content-type") == "application/json")
    #expect(request.json?.object?.keys == Self.keys)
    let file = try Files.read(here.directory("ports/vm/\(Fixture.name)/\(Fixture.vmi0)"))
    #expect(file == request.body)
    #expect(here.agent.subscriptions.map(\.description) == ["\(Fixture.pod)/\(Fixture.vmi0)"])
    // One line of the log, with the body and without line ends.
    let line = try #require(here.log.value.first)
    #expect(here.log.value.count == 1 && line.hasPrefix("POST /vm { \"time\": \""), "\(line)")
    #expect(line.contains(": 200 in ") && line.hasSuffix(" ms: {}") && !line.contains("\n"))
  }

  @Test("Without the agent only the file is written")
  func fileOnly() async throws {
    let here = try AgentFixture()
    let client = here.client
    let result = await outcome { () throws(VRouterError) in
      try client.add(Fixture.port, updateAgent: false, Permit(), deadline: soon)
    }
    #expect(result.value != nil && here.agent.requests.isEmpty)
    #expect(TemporaryDirectory.files(below: here.directory("ports/vm")).count == 1)
  }

  @Test("What the agent refuses is not sent again, and it is refused in its own words")
  func refused() async throws {
    let here = try AgentFixture(pause: 1)
    here.agent.script("POST", "/vm", [.error(500, "{ Invalid Json string ==>  }")])
    let result = await announce(here)
    #expect(result.reason == .refused(status: 500, "Invalid Json string ==>"))
    #expect(here.agent.requests.count == 1)
    here.agent.script("POST", "/vm", [.text("{}", status: 201)])
    #expect(await announce(here).value != nil)
  }

  @Test("An announcement that did not get through is repeated after the pause")
  func repeated() async throws {
    let here = try AgentFixture()
    here.agent.script("POST", "/vm", [.close, .garbage, .memory])
    #expect(await announce(here).value != nil)
    #expect(here.agent.requests.count == 3 && here.pauses.value == [50, 50])
    here.agent.script("POST", "/vm", [.close])
    let text = await announce(here).lack ?? ""
    #expect(text.hasSuffix("the connection ended before an answer came"), "\(text)")
    #expect(here.agent.requests.count == 6)
  }

  @Test("An agent that comes up meanwhile hears of the port")
  func comesUp() async throws {
    let started = Locked(0)
    let agent = Locked<FakeAgent?>(nil)
    let here = try AgentFixture(pause: 200, retries: 3, isRunning: false) { _ in
      started.withLock { $0 += 1 }
      if started.value == 2 { try? agent.value?.start() }
    }
    agent.withLock { $0 = here.agent }
    #expect(await announce(here).value != nil)
    #expect(here.agent.subscriptions.count == 1)
  }

  @Test("A pod is withdrawn with the nine texts, most of them empty")
  func withdrawn() async throws {
    let here = try AgentFixture()
    #expect(await withdraw(here).value != nil)
    let request = try #require(here.agent.requests.first)
    #expect(here.agent.lines == ["DELETE /vm/\(Fixture.pod)"])
    #expect(request.json?.object?.keys == Self.keys)
    let filled = Self.keys.filter { request.text($0)?.isEmpty == false }
    #expect(filled == ["time", "vm-id", "vm-uuid"])
    #expect(request.text("vm-id") == Fixture.container)
    #expect(request.text("vm-uuid") == Fixture.pod.text)
  }

  @Test("A withdrawal that may pass later is tried three times in all, at once")
  func withdrawnAgain() async throws {
    let here = try AgentFixture(pause: 60_000)
    here.agent.script("DELETE", "/vm", [.error(500, "{ busy }"), .close, .memory])
    #expect(await withdraw(here).value != nil)
    #expect(here.agent.requests.count == 3 && here.pauses.value == [200, 200])
    here.agent.script("DELETE", "/vm", [.error(500, "{ busy }")])
    #expect(await withdraw(here).reason == .refused(status: 500, "busy"))
    #expect(here.agent.requests.count == 6)
  }

  @Test("A refusal that will not pass, silence and a closed port are not tried again")
  func notWithdrawn() async throws {
    let here = try AgentFixture()
    here.agent.script("DELETE", "/vm", [.unknownRequest])
    #expect(await withdraw(here).reason == .refused(status: 404, "Unknown Request"))
    here.agent.script("DELETE", "/vm", [.hang])
    let result = await withdraw(here, .after(milliseconds: 3000))
    guard case .unreachable(_, refused: false)? = result.reason else {
      Issue.record("\(result)")
      return
    }
    // The agent may read it only when the client has given up.
    #expect(try await becomes { here.agent.requests.count == 2 })
    await onThread { here.agent.stop() }
    guard case .unreachable(_, refused: true)? = await withdraw(here).reason else {
      Issue.record("nobody listens")
      return
    }
  }

  @Test("An agent answers if it says that it does not know the question's pod")
  func isAnswering() async throws {
    let here = try AgentFixture()
    let client = here.client
    func answering() async -> Result<Void, VRouterError> {
      await outcome { () throws(VRouterError) in try client.isAnswering(deadline: soon) }
    }
    #expect(await answering().value != nil)
    #expect(here.agent.lines == ["GET /vm/00000000-0000-0000-0000-000000000000"])
    here.agent.script("GET", "/vm", [.error(500, "{ Operation Not Supported }")])
    #expect(await answering().reason == .refused(status: 500, "Operation Not Supported"))
    await onThread { here.agent.stop() }
    guard case .unreachable(_, refused: true)? = await answering().reason else {
      Issue.record("nobody listens")
      return
    }
  }

  @Test("A proxy of the environment is never used")
  func proxy() async throws {
    await #expect(processExitsWith: .success) {
      let agent = FakeAgent(port: 0)
      let proxy = FakeAgent(port: 0)
      try agent.start()
      try proxy.start()
      for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"] {
        _ = unsafe setenv(name, "http://127.0.0.1:\(proxy.port)", 1)
      }
      let client = VRouter(
        server: IPAddress(v4: 0x7F00_0002), port: agent.port, files: PortFiles(directory: "/x"),
        pollMilliseconds: 1, pollRetries: 1)
      try await onThread { () throws(VRouterError) in try client.isAnswering(deadline: soon) }
      precondition(agent.requests.count == 1 && proxy.requests.isEmpty)
    }
  }

  @Test("A closed client writes no line any more")
  func closed() async throws {
    let here = try AgentFixture()
    _ = await withdraw(here)
    here.client.close()
    _ = await withdraw(here)
    #expect(here.log.value.count == 1 && here.agent.requests.count == 2)
  }

  @Test("A long answer is cut in the log")
  func longLine() async throws {
    let here = try AgentFixture()
    here.agent.script("DELETE", "/vm", [.text(String(repeating: "x", count: 100_000))])
    _ = await withdraw(here)
    let line = try #require(here.log.value.first)
    #expect(line.utf8.count < 5000 && line.hasSuffix("xxx…"))
  }
}
