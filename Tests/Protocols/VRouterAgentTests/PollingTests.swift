import Addresses
import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

@testable import VRouterAgent

@Suite("Asking until everything is there")
struct PollingTests {
  private typealias Answer = AgentAnswer
  private static let one = [Fixture.configured(Fixture.vmi0, "0/1")]
  private static let two = [
    Fixture.configured(Fixture.vmi0, "0/2"),
    Fixture.configured(Fixture.vmi1, "1/2", network: "net-a"),
  ]

  @Test("An agent that does not know the pod yet is asked again after the pause, not before")
  func notFound() async throws {
    let here = try AgentFixture()
    here.agent.script("GET", "/vm-cfg", [.notFound, .notFound, .list(Self.two)])
    let results = try #require(await here.pollConfig().value)
    #expect(results.map(\.id) == [Fixture.vmi0, Fixture.vmi1])
    let line = "GET /vm-cfg/\(Fixture.name)"
    #expect(here.agent.lines == [line, line, line])
    #expect(here.pauses.value == [50, 50])
    #expect(Set(here.agent.requests.map(\.connection)).count == 3)
    #expect(here.agent.violations == [])
  }

  @Test("The order of the answer is kept")
  func order() async throws {
    let here = try AgentFixture()
    here.agent.script("GET", "/vm-cfg", [.list(Self.two.reversed())])
    #expect(await here.pollConfig().value?.map(\.annotations.index?.number) == [1, 0])
  }

  @Test("Where nobody listens the tries are used up, with a pause between them and none at the end")
  func nobody() async throws {
    let here = try AgentFixture(pause: 1000, isRunning: false)
    let result = await here.pollConfig()
    #expect(
      result.lack == "connect 127.0.0.1:\(here.agent.port): Connection refused (ECONNREFUSED)")
    #expect(here.pauses.value == [1000, 1000])
    #expect(here.log.value.count == 3)
  }

  /// Answers that are not ready, and what is said of them.
  struct Lack: Sendable, CustomTestStringConvertible {
    let answer: AgentAnswer
    let text: String
    var testDescription: String { text }
    init(_ text: String, _ answer: AgentAnswer) { (self.text, self.answer) = (text, answer) }
  }

  /// Made for each use: LeakSanitizer does not see a constant's array behind an enumeration's tag.
  static var notReady: [Lack] {
    [
      Lack("the agent knows no such pod", .notFound),
      Lack("the agent answered 404: Unknown Request", .unknownRequest),
      Lack(
        "the agent answered 500: Operation Not Supported",
        .error(500, "{ Operation Not Supported }")),
      Lack("the agent answered 204", .text("", status: 204)),
      Lack("the agent knows no interface yet", .list([])),
      Lack("expected 2 interfaces, got 1", .list([Fixture.configured(Fixture.vmi0, "0/2")])),
      Lack(
        "expected 1 interfaces, got 2", .list([one[0], Fixture.configured(Fixture.vmi1, "0/1")])),
      Lack("has no index yet", .list([one[0].setting("annotations", nil)])),
      Lack("has no index yet", .list([Fixture.configured(Fixture.vmi0, "x")])),
      Lack("has no vm-uuid", .list([one[0].setting("vm-uuid", nil)])),
      Lack("an interface has no id", .list([one[0].setting("id", nil)])),
      Lack("an interface has no id", .list([5])),
      Lack("an interface is there twice", .list([two[0], two[0]])),
      Lack(
        "is of vm \(Fixture.other), not of \(Fixture.pod)",
        .list([Fixture.configured(Fixture.vmi0, "0/1", vm: Fixture.other)])),
      Lack("the answer is object, not an array", .text("{}")),
      Lack("the answer is no JSON: it is empty", .text("")),
      Lack("line 1, column 2: ends inside an array", .text("[")),
      Lack("the connection ended before an answer came", .close),
      Lack("the connection ended in the middle of the answer", .closeAfterHead),
      Lack("the connection ended in the middle of the answer", .truncated(one)),
      Lack("the answer is not acceptable", .garbage),
      Lack("the answer is not acceptable", .huge(bytes: 100 << 20, announced: true)),
      Lack("the answer is not acceptable", .huge(bytes: 100 << 20, announced: false)),
    ]
  }

  @Test(
    "What is not ready is asked for again, and is told when there is no time left",
    arguments: notReady
  )
  func lacks(_ lack: Lack) async throws {
    let here = try AgentFixture(pause: 20, retries: 2)
    here.agent.script("GET", "/vm-cfg", [lack.answer, .list(Self.one)])
    #expect(await here.pollConfig().value?.map(\.id) == [Fixture.vmi0])
    here.agent.script("GET", "/vm-cfg", [lack.answer])
    let text = await here.pollConfig().lack ?? ""
    #expect(text.contains(lack.text), "\(text)")
    #expect(here.agent.requests.count == 4 && here.agent.violations == [])
  }

  @Test("Interfaces of two pods of the same name are never taken together")
  func mixed() async throws {
    let here = try AgentFixture(pause: 1)
    let objects = [
      Fixture.configured(Fixture.vmi0, "0/2"),
      Fixture.configured(Fixture.vmi1, "1/2", vm: Fixture.other),
    ]
    here.agent.script("GET", "/vm-cfg", [.list(objects)])
    #expect(await here.pollConfig(nil).lack == "the interfaces are of several vms")
    // Whose pod it is need not be known, as for a static pod.
    here.agent.script(
      "GET", "/vm-cfg", [.list([Fixture.configured(Fixture.vmi0, "0/1", vm: Fixture.other)])])
    #expect(await here.pollConfig(nil).value?.first?.vmUUID == Fixture.other)
  }

  @Test("A name goes out byte for byte, and one that cannot is never asked for")
  func names() async throws {
    let here = try AgentFixture(pause: 1, retries: 1)
    let name = "__a-b__x.y-0%20&=;~"
    _ = await here.pollConfig(name: name)
    #expect(here.agent.lines == ["GET /vm-cfg/\(name)"])
    for name in ["", "..", "a/b", "a b", "a?b"] {
      #expect(await here.pollConfig(name: name).reason == .invalidName(name))
    }
    #expect(here.agent.requests.count == 1)
  }

  @Test("A request has five seconds")
  func requestTime() {
    #expect(AgentTime().requestMilliseconds == 5000)
  }

  @Test("An agent that never answers costs a request's time, and the next question comes")
  func hang() async throws {
    let here = try AgentFixture(retries: 2, requestTime: 2000)
    here.agent.script("GET", "/vm-cfg", [.hang])
    let result = await here.pollConfig(deadline: .after(seconds: 300))
    #expect(result.lack?.hasSuffix("no answer in time") == true, "\(result)")
    // The agent may read the last one only when the client has given up.
    #expect(try await becomes { here.agent.requests.count == 2 })
  }

  @Test("An agent that never answers costs no more than the deadline leaves")
  func hangAtDeadline() async throws {
    let here = try AgentFixture(retries: 2, requestTime: 300_000)
    here.agent.script("GET", "/vm-cfg", [.hang])
    let result = await here.pollConfig(deadline: .after(milliseconds: 3000))
    #expect(result.lack?.hasSuffix("no answer in time") == true, "\(result)")
    #expect(try await becomes { here.agent.requests.count == 1 })
    #expect(here.pauses.value == [])
  }

  @Test("An agent that drips costs a request's time too")
  func drip() async throws {
    let here = try AgentFixture(retries: 1, requestTime: 5000)
    here.agent.script("GET", "/vm-cfg", [.drip])
    let result = await here.pollConfig(deadline: .after(seconds: 300))
    #expect(result.lack?.contains("not complete in time") == true, "\(result)")
  }

  @Test("No pause is begun that the deadline does not leave time for")
  func shortDeadline() async throws {
    let here = try AgentFixture(pause: 3_600_000)
    here.agent.script("GET", "/vm-cfg", [.notFound])
    let result = await here.pollConfig(deadline: .after(seconds: 600))
    #expect(result.lack == "the agent knows no such pod")
    #expect(here.agent.requests.count == 1 && here.pauses.value == [])
  }

  @Test("Cancelling ends a pause and an answer's wait", arguments: [true, false])
  func cancelled(inPause: Bool) async throws {
    let here = try AgentFixture(pause: 500_000, requestTime: 500_000, onPause: nil)
    here.agent.script("GET", "/vm-cfg", [inPause ? .notFound : .hang])
    let cancellation = try Cancellation()
    let (agent, pauses) = (here.agent, here.pauses)
    async let polled = here.pollConfig(deadline: .after(seconds: 600, cancellation: cancellation))
    let isAsked = try await eventually {
      agent.requests.count == 1 && (!inPause || pauses.value.count == 1)
    }
    cancellation.cancel()
    let result = await polled
    #expect(isAsked && result.reason == .cancelled, "\(result)")
    #expect(agent.requests.count == 1)
  }

  @Test("An answer in single bytes is read like any other")
  func split() async throws {
    let here = try AgentFixture(retries: 1)
    here.agent.script("GET", "/vm-cfg", [AgentAnswer.list(Self.one).split(into: 1)])
    #expect(await here.pollConfig().value?.count == 1)
  }

  // MARK: Addresses

  private func ready(_ id: VRouterUUID = Fixture.vmi0, _ changes: [String: JSONValue?] = [:])
    -> AgentAnswer
  {
    .list([Fixture.ready(id).setting(changes)])
  }

  @Test("Each interface is asked for by itself, and only those that are missing again")
  func each() async throws {
    let here = try AgentFixture()
    let path = "/vm/\(Fixture.pod)"
    here.agent.script("GET", "\(path)/\(Fixture.vmi0)", [ready()])
    here.agent.script("GET", "\(path)/\(Fixture.vmi1)", [.notFound, ready(Fixture.vmi1)])
    let found = try #require(await here.pollVM([Fixture.vmi0, Fixture.vmi1]).value)
    #expect(Set(found.keys) == [Fixture.vmi0, Fixture.vmi1])
    #expect(
      here.agent.lines == [
        "GET \(path)/\(Fixture.vmi0)", "GET \(path)/\(Fixture.vmi1)", "GET \(path)/\(Fixture.vmi1)",
      ])
    #expect(here.pauses.value == [50])
  }

  static let unreadyMembers: [(String, [String: JSONValue?])] = [
    ("is not in the answer", ["id": .string(Fixture.vmi1.text)]),
    (
      "is of vm \(Fixture.other), not of \(Fixture.pod)",
      ["instance-id": .string(Fixture.other.text)]
    ),
    ("is of vm (none), not of \(Fixture.pod)", ["instance-id": nil]),
    ("has no MAC address yet", ["mac-address": "00:00:00:00:00:00"]),
    ("has no MAC address yet", ["mac-address": "ff:ff:ff:ff:ff:ff"]),
    ("has no address yet", ["ip-address": nil, "plen": nil]),
    ("has no address yet", ["ip-address": "0.0.0.0"]),
    ("has no usable prefix length", ["plen": 40]),
  ]

  @Test(
    "An answer that is not about this interface of this pod, or not all of it, is not ready",
    arguments: unreadyMembers)
  func unready(_ text: String, _ changes: [String: JSONValue?]) async throws {
    let here = try AgentFixture(pause: 1, retries: 2)
    here.agent.script("GET", "/vm/", [ready(Fixture.vmi0, changes), ready()])
    #expect(await here.pollVM().value?[Fixture.vmi0]?.ipv4?.prefixLength == 12)
    here.agent.script("GET", "/vm/", [ready(Fixture.vmi0, changes)])
    #expect(await here.pollVM().lack == "interface \(Fixture.vmi0) \(text)")
    #expect(here.agent.requests.count == 4)
  }

  private static let onlyV6: [String: JSONValue?] = [
    "ip-address": nil, "plen": nil, "v6-ip-address": "fd00::5",
  ]

  @Test("IPv6 alone counts when it is seen twice running")
  func onlyIPv6() async throws {
    let here = try AgentFixture(pause: 1, retries: 5)
    let v6 = ready(Fixture.vmi0, Self.onlyV6)
    here.agent.script("GET", "/vm/", [v6])
    let found = try #require(await here.pollVM().value?[Fixture.vmi0])
    #expect(found.ipv4 == nil && found.ipv6?.address == IPAddress("fd00::5"))
    #expect(here.agent.requests.count == 2)
    // IPv4 that follows is waited for.
    here.agent.script("GET", "/vm/", [v6, ready()])
    #expect(await here.pollVM().value?[Fixture.vmi0]?.ipv4 != nil)
    here.agent.script("GET", "/vm/", [v6, .notFound, v6, ready()])
    #expect(await here.pollVM().value?[Fixture.vmi0]?.ipv4 != nil)
  }

  @Test("Who asks only once takes IPv6 at once")
  func onlyIPv6Once() async throws {
    let here = try AgentFixture(retries: 1)
    here.agent.script("GET", "/vm/", [ready(Fixture.vmi0, Self.onlyV6)])
    #expect(await here.pollVM().value?[Fixture.vmi0]?.ipv6 != nil)
  }

  @Test("An agent that is too old for the question is asked for all interfaces, once a round")
  func oldAgent() async throws {
    let here = try AgentFixture(pause: 1)
    let path = "/vm/\(Fixture.pod)"
    for id in [Fixture.vmi0, Fixture.vmi1] {
      here.agent.script("GET", "\(path)/\(id)", [.unknownRequest])
    }
    let both = AgentAnswer.list([Fixture.ready(Fixture.vmi0), Fixture.ready(Fixture.vmi1)])
    here.agent.script("GET", path, [.notFound, both])
    let found = try #require(await here.pollVM([Fixture.vmi0, Fixture.vmi1]).value)
    #expect(found.count == 2)
    #expect(
      here.agent.lines == ["GET \(path)/\(Fixture.vmi0)", "GET \(path)", "GET \(path)"])
  }

  @Test("Of several interfaces the one that is missing is named")
  func missingOne() async throws {
    let here = try AgentFixture(pause: 1, retries: 2)
    here.agent.script("GET", "/vm/\(Fixture.pod)/\(Fixture.vmi0)", [.notFound])
    here.agent.script("GET", "/vm/\(Fixture.pod)/\(Fixture.vmi1)", [ready(Fixture.vmi1)])
    #expect(
      await here.pollVM([Fixture.vmi0, Fixture.vmi1]).lack
        == "interface \(Fixture.vmi0): the agent answered 404: Not Found")
  }
}
