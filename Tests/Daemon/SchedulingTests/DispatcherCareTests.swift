import CNI
@testable import Scheduling
import Linux
import PluginKit
import Testing
import TestSupport

@Suite("Dispatcher: calls that are pointless")
struct DispatcherOvertakingTests {
  @Test("a DEL cancels the running ADD of its attachment, and the waiting one never runs")
  func overtaken() async throws {
    let desk = try Desk()
    try desk.submit("running", .add, attachment: "a", stamp: 1)
    #expect(await desk.has("running begins"))
    try desk.submit("waiting", .add, attachment: "a", stamp: 2)
    try desk.submit("elsewhere", .add, attachment: "b", stamp: 2)
    desk.dispatcher.overtakeAdds(of: "a", before: 3)
    #expect(await desk.has("running is cancelled"))
    #expect(await desk.has("waiting is overtaken"))
    desk.end("running", "waiting", "elsewhere")
    #expect(await desk.has("elsewhere ends"))
    #expect(!desk.events.value.contains("waiting begins"))
    #expect(!desk.events.value.contains { $0.hasPrefix("elsewhere is") })
  }

  @Test("a DEL leaves the ADDs alone that began after it, and calls of other verbs")
  func younger() async throws {
    let desk = try Desk()
    try desk.submit("check", .other, attachment: "a", stamp: 1)
    #expect(await desk.has("check begins"))
    try desk.submit("add", .add, attachment: "a", stamp: 5)
    desk.dispatcher.overtakeAdds(of: "a", before: 3)
    desk.end("check", "add")
    #expect(await desk.all(4) == ["check begins", "check ends", "add begins", "add ends"])
  }

  @Test("a waiting call whose client has hung up never runs; a running ADD is cancelled")
  func clientGone() async throws {
    let desk = try Desk(concurrent: 1)
    let running = try desk.submit("running", .add, attachment: "a")
    #expect(await desk.has("running begins"))
    let waiting = try desk.submit("waiting", .add, attachment: "b")
    desk.dispatcher.clientLeft(waiting)
    desk.dispatcher.clientLeft(running)
    #expect(
      await desk.all(3) == ["running begins", "waiting has no client", "running is cancelled"])
  }

  @Test("a DEL is done although its client has hung up", arguments: [false, true])
  func deleteWithoutClient(isRunning: Bool) async throws {
    let desk = try Desk(concurrent: 1)
    if !isRunning { try desk.submit("other", attachment: "b") }
    let id = try desk.submit("del", .delete, attachment: "a")
    if isRunning { #expect(await desk.has("del begins")) }
    desk.dispatcher.clientLeft(id)
    desk.end("del", "other")
    #expect(await desk.has("del ends"))
    #expect(!desk.events.value.contains("del is cancelled"))
  }
}

@Suite("Dispatcher: locks and background work")
struct DispatcherPlacesTests {
  @Test("calls of different attachments with one lock run one after the other")
  func locks() async throws {
    let desk = try Desk()
    try desk.submit("a", attachment: "a", lock: "pod")
    #expect(await desk.has("a begins"))
    try desk.submit("b", attachment: "b", lock: "pod")
    try desk.submit("c", attachment: "c", lock: "other pod")
    #expect(await desk.has("c begins"))
    #expect(!desk.events.value.contains("b begins"))
    desk.end("a")
    #expect(await desk.has("b begins"))
  }

  @Test("background work takes a quarter of the places at the most, and none of the clients'")
  func background() async throws {
    let desk = try Desk(concurrent: 8, queued: 0)
    for number in 0..<20 {
      try desk.submit("background \(number)", .background, attachment: "b\(number)")
    }
    for number in 0..<8 { try desk.submit("client \(number)", attachment: "c\(number)") }
    let events = await desk.all(10)
    #expect(events.filter { $0.hasPrefix("client") }.count == 8)
    #expect(events.filter { $0.hasPrefix("background") }.count == 2)
    #expect(desk.dispatcher.load.running == 8)
  }

  @Test("background work of an attachment comes before the calls that are younger")
  func order() async throws {
    let desk = try Desk()
    try desk.submit("recovery", .background, attachment: "a", stamp: 0)
    #expect(await desk.has("recovery begins"))
    try desk.submit("add", .add, attachment: "a", stamp: 7)
    try desk.submit("spooled", .background, attachment: "a", stamp: 5)
    desk.end("recovery", "add", "spooled")
    #expect(
      await desk.all(6) == [
        "recovery begins", "recovery ends", "spooled begins", "spooled ends", "add begins",
        "add ends",
      ])
  }

  @Test("when the daemon stops, running background work is cancelled and the rest is taken out")
  func stopped() async throws {
    let desk = try Desk(concurrent: 4)
    try desk.submit("one", .background, attachment: "a")
    #expect(await desk.has("one begins"))
    try desk.submit("two", .background, attachment: "b")
    desk.dispatcher.cancelBackground()
    #expect(await desk.all(3) == ["one begins", "two turned away", "one is cancelled"])
  }
}

@Suite("Dispatcher: workers that do not come back")
struct DispatcherHangTests {
  private static let impatient = Dispatcher.Patience(untilAnswer: 0, untilGivenUp: 0)
  private static let past = Deadline(nanoseconds: 1)

  /// A desk with calls that have overrun their time; their workers hang.
  private func hanging(_ count: Int, kind: Job.Kind = .add) async throws -> Desk {
    let desk = try Desk(concurrent: 4, patience: Self.impatient)
    for number in 0..<count {
      try desk.submit("hung \(number)", kind, attachment: "h\(number)")
      #expect(await desk.has("hung \(number) begins"))
      desk.progress("hung \(number)")?.expectEnd(by: Self.past)
    }
    desk.dispatcher.lookAfter()
    return desk
  }

  @Test("its client is answered, its steps are fenced, its place is free, and it is counted")
  func givenUp() async throws {
    let desk = try await hanging(4)
    #expect(desk.dispatcher.hung == 4 && desk.dispatcher.givenUp == 4)
    #expect(desk.dispatcher.load.running == 0)
    #expect(desk.progress("hung 0")?.isFenced == true)
    #expect(desk.events.value.filter { $0.hasSuffix("is late") }.count == 4)
    for number in 0..<4 { try desk.submit("\(number)", attachment: "\(number)") }
    for number in 0..<4 { #expect(await desk.has("\(number) begins")) }
  }

  @Test(
    "up to three that hang are borne, with four the daemon counts as stuck until one comes back")
  func stuck() async throws {
    #expect(try await hanging(3).dispatcher.isStuck == false)
    let desk = try await hanging(4)
    #expect(desk.dispatcher.isStuck)
    desk.end("hung 2")
    #expect(await desk.has("hung 2 came back"))
    #expect(!desk.dispatcher.isStuck)
    #expect(desk.dispatcher.givenUp == 4)
  }

  @Test(
    "beside a call that hangs only a DEL of its attachment runs, and is told to keep the record")
  func onlyDelete() async throws {
    let desk = try await hanging(1)
    try desk.submit("add", .add, attachment: "h0")
    try desk.submit("recovery", .background, attachment: "h0")
    try desk.submit("del", .delete, attachment: "h0")
    #expect(await desk.has("del begins"))
    #expect(desk.progress("del")?.mustKeepRecord == true)
    #expect(desk.dispatcher.load.waiting == 1)
    desk.end("del", "hung 0")
    #expect(await desk.has("hung 0 came back"))
    #expect(await desk.has("add begins"))
    #expect(desk.progress("add")?.mustKeepRecord == false)
  }

  @Test("a GC that hangs does not keep its network to itself for ever")
  func garbageCollection() async throws {
    let desk = try Desk(patience: Self.impatient)
    try desk.submit("gc", exclusive: true)
    #expect(await desk.has("gc begins"))
    try desk.submit("add", .add, attachment: "a")
    #expect(desk.dispatcher.load.waiting == 1)
    desk.progress("gc")?.expectEnd(by: Self.past)
    desk.dispatcher.lookAfter()
    #expect(await desk.has("add begins"))
  }

  @Test("a call past its deadline is answered once, and goes on while it keeps its own time")
  func late() async throws {
    let desk = try Desk(patience: Dispatcher.Patience(untilAnswer: 0, untilGivenUp: 60_000))
    try desk.submit(
      "undoing", .add, attachment: "a", deadline: Deadline.after(seconds: 5))
    #expect(await desk.has("undoing begins"))
    desk.progress("undoing")?.expectEnd(by: .after(seconds: 60))
    #expect(
      try await becomes {
        desk.dispatcher.lookAfter()
        return desk.events.value.contains("undoing is late")
      })
    desk.dispatcher.lookAfter()
    desk.end("undoing")
    #expect(await desk.has("undoing ends"))
    #expect(desk.events.value == ["undoing begins", "undoing is late", "undoing ends"])
    #expect(desk.dispatcher.givenUp == 0)
  }
}
