import CNI
import Linux
import Netlink
import PluginKit
@testable import Scheduling
import Testing
import TestSupport

@Suite("Dispatcher: running calls that ask for more")
struct DispatcherAskingTests {
  /// Submits work that does something with its progress, and with what the dispatcher knows it by.
  private func submit(
    _ claim: Claim, to dispatcher: Dispatcher,
    _ body: @escaping @Sendable (CallProgress, UInt64) -> Void
  ) throws {
    let own = Watched<(CallProgress, UInt64)?>(nil)
    let work = QuickWork {
      _ = own.wait { $0 != nil }
      if let (progress, id) = own.value { body(progress, id) }
    }
    let job = Job(kind: .other, claim: claim, stamp: 0, deadline: .never, work: work)
    let id = try dispatcher.submit(job)
    own.change { $0 = (work.progress, id) }
  }

  @Test("a lock that another call has is waited for, without a place, and held for the body only")
  func whileAlone() async throws {
    let desk = try Desk(concurrent: 1)
    let door = Door()
    try submit(Claim(locks: ["pod"]), to: desk.dispatcher) { progress, _ in
      // Outside, so that its place is free.
      try? progress.waiting { () throws(CNIError) in
        desk.events.change { $0.append("call begins") }
        door.pass()
      }
    }
    #expect(await desk.has("call begins"))
    let (request, host) = (try PodRequest.collection, try PluginHost.idle())
    try submit(Claim(aloneIn: ["net"]), to: desk.dispatcher) { progress, _ in
      let call = PluginCall<NoopPlugin.Step>(
        host: host, plugin: "p", request: request, record: nil, progress: progress)
      try? call.whileAlone("pod") { () throws(CNIError) in
        desk.events.change { $0.append("alone") }
      }
      desk.events.change { $0.append("GC ends") }
    }
    // The GC waits without a place.
    try desk.submit("other", network: "other")
    #expect(await desk.has("other begins"))
    #expect(!desk.events.value.contains("alone"))
    door.open()
    #expect(await desk.has("GC ends"))
    #expect(desk.events.value.suffix(2) == ["alone", "GC ends"])
    try desk.submit("later", lock: "pod", network: "net")
    desk.end("other", "later")
    #expect(await desk.has("later ends"))
  }

  @Test("a lock that the call itself began with is no reason to wait")
  func ownLock() async throws {
    let desk = try Desk()
    let (request, host) = (try PodRequest.collection, try PluginHost.idle())
    try submit(Claim(locks: ["pod"]), to: desk.dispatcher) { progress, _ in
      let call = PluginCall<NoopPlugin.Step>(
        host: host, plugin: "p", request: request, record: nil, progress: progress)
      try? call.whileAlone("pod") { () throws(CNIError) in }
      desk.events.change { $0.append("done") }
    }
    #expect(await desk.has("done"))
  }

  @Test("a call waits for what it asks for until its deadline, and goes without it then")
  func deadline() async throws {
    let desk = try Desk()
    try desk.submit("busy", attachment: "a/net1")
    #expect(await desk.has("busy begins"))
    try submit(Claim(attachments: ["a/eth0"]), to: desk.dispatcher) { progress, id in
      do throws(CNIError) {
        try desk.dispatcher.claim(
          Claim(attachments: ["a/net1"]), for: id, progress, .after(milliseconds: 20))
      } catch {
        desk.events.change { $0.append("\(error.code)") }
      }
    }
    #expect(await desk.has("\(CNIErrorCode.deadline)"))
    // Nothing of it is left behind.
    desk.end("busy")
    try desk.submit("next", attachment: "a/net1")
    #expect(await desk.has("next begins"))
  }

  @Test("a DEL cancels an ADD by what it began with, and not by a part that it asked for later")
  func overtaken() async throws {
    let desk = try Desk()
    let door = Door()
    let work = DeskWork("set", door, desk.events)
    let id = try desk.dispatcher.submit(
      Job(
        kind: .add, claim: Claim(attachments: ["a/eth0"]), stamp: 1, deadline: .never, work: work))
    #expect(await desk.has("set begins"))
    try desk.dispatcher.claim(
      Claim(attachments: ["a/net1"]), for: id, work.progress, .never)
    desk.dispatcher.overtakeAdds(of: "a/net1", before: 2)
    #expect(!desk.events.value.contains("set is cancelled"))
    desk.dispatcher.overtakeAdds(of: "a/eth0", before: 2)
    #expect(await desk.has("set is cancelled"))
    door.open()
  }

  @Test("a call that was given up holds nothing of what it asked for")
  func givenUp() async throws {
    let desk = try Desk(
      patience: Dispatcher.Patience(untilAnswer: 0, untilGivenUp: 0))
    let door = Door()
    let work = DeskWork("set", door, desk.events)
    let id = try desk.dispatcher.submit(
      Job(
        kind: .add, claim: Claim(attachments: ["a/eth0"]), stamp: 1, deadline: .never, work: work))
    #expect(await desk.has("set begins"))
    try desk.dispatcher.claim(
      Claim(attachments: ["a/net1"], aloneIn: ["n"]), for: id, work.progress, .never)
    work.progress.expectEnd(by: Deadline(nanoseconds: 1))
    desk.dispatcher.lookAfter()
    try desk.submit("in n", network: "n")
    try desk.submit("del", .delete, attachment: "a/net1")
    #expect(await desk.has("in n begins"))
    #expect(await desk.has("del begins"))
    #expect(desk.progress("del")?.mustKeepRecord == true)
    door.open()
  }
}

@Suite("Dispatcher: background work that waits")
struct DispatcherBackgroundWaitTests {
  private func submitHanging(_ count: Int, _ desk: Desk, _ door: Door) throws {
    for number in 0..<count {
      let progress = Locked<CallProgress?>(nil)
      let work = QuickWork {
        guard let own = progress.value else { return }
        try? own.waiting { () throws(CNIError) in
          desk.events.change { $0.append("\(number) waits") }
          door.pass()
        }
      }
      progress.withLock { $0 = work.progress }
      try desk.dispatcher.submit(
        Job(
          kind: .background, claim: Claim(attachments: ["h\(number)"]), stamp: 0,
          deadline: .never, work: work))
    }
  }

  @Test("background work that waits for somebody outside leaves its place to other background work")
  func places() async throws {
    let desk = try Desk(concurrent: 4)
    let door = Door()
    defer { door.open() }
    try submitHanging(6, desk, door)
    try desk.submit("other", .background, attachment: "b")
    #expect(await desk.has("other begins"))
    for number in 0..<6 { #expect(await desk.has("\(number) waits")) }
  }

  @Test("not more of it is begun than four times the clients' places")
  func bounded() async throws {
    let desk = try Desk(concurrent: 2)
    let door = Door()
    try submitHanging(12, desk, door)
    #expect(await desk.all(8).count == 8)
    #expect(desk.dispatcher.backgroundLoad == 8)
    door.open()
    #expect(await desk.all(12).count == 12)
  }

  @Test("a spooled DEL goes through at once although recovery hangs in all of its places")
  func spooled() async throws {
    let desk = try Desk(concurrent: 16)
    for number in 0..<8 {
      try desk.submit("finish \(number)", .background, attachment: "f\(number)")
    }
    #expect(await desk.all(4).count == 4)
    try desk.submit("spooled", .spooled, attachment: "s")
    #expect(await desk.has("spooled begins"))
    #expect(desk.events.value.filter { $0.hasPrefix("finish") }.count == 4)
  }

  @Test("a wait within a wait gives the place back and takes it again once")
  func nested() async throws {
    let progress = CallProgress()
    let place = CountingPlace()
    progress.runs(at: place)
    try progress.waiting { () throws(CNIError) in
      try progress.waiting { () throws(CNIError) in }
      #expect(place.events.value == [true])
    }
    #expect(place.events.value == [true, false])
  }
}

/// Counts what a call says of its place.
private final class CountingPlace: CallPlace {
  let events = Locked<[Bool]>([])

  func isOutside(_ isWaiting: Bool) { events.withLock { $0.append(isWaiting) } }
  func takeLock(
    _ lock: String, _ progress: CallProgress, _ deadline: Deadline
  ) throws(CNIError) -> Bool { false }
  func giveBackLock(_ lock: String) {}
  func claim(_ more: Claim, _ progress: CallProgress, _ deadline: Deadline) throws(CNIError) {}
  func admit(_ inner: InnerCalls) {}
  func dismiss(_ inner: InnerCalls, _ progress: CallProgress) {}
  func take(
    _ locks: Set<String>, _ progress: CallProgress, _ deadline: Deadline,
    superseded: (String) -> CNIError
  ) throws(CNIError) {}
}

extension PodRequest {
  /// A GC without anything.
  fileprivate static var collection: PodRequest {
    get throws {
      PodRequest(
        command: .garbageCollect, sandboxID: "", netns: "", ifName: "",
        arguments: CNIArguments(readable: nil),
        configuration: try NetworkConfiguration(Array(#"{"name":"net"}"#.utf8)), searchPath: [],
        environment: [:], requestID: "", stamp: Stamp.now, deadline: .never)
    }
  }
}

extension PluginHost {
  /// What a daemon offers whose plugin asks for nothing.
  fileprivate static func idle() throws -> PluginHost {
    PluginHost(
      dataDirectory: "/nowhere", binDirectories: [], linkRemover: try LinkRemover(),
      log: { _, _ in })
  }
}
