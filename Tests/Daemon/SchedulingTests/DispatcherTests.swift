import CNI
@testable import Scheduling
import Linux
import PluginKit
import Testing
import TestSupport

@Suite("Dispatcher: order")
struct DispatcherOrderTests {
  @Test("calls of one attachment run one after the other, in the order of their stamps")
  func stamps() async throws {
    let desk = try Desk()
    try desk.submit("first", attachment: "a", stamp: 50)
    #expect(await desk.has("first begins"))
    // In the order of arrival these would be 30, 10, 20.
    for stamp in [30, 10, 20] as [UInt64] {
      try desk.submit("\(stamp)", attachment: "a", stamp: stamp)
      desk.end("\(stamp)")
    }
    #expect(desk.events.value == ["first begins"])
    desk.end("first")
    #expect(
      await desk.all(8) == [
        "first begins", "first ends", "10 begins", "10 ends", "20 begins", "20 ends", "30 begins",
        "30 ends",
      ])
  }

  @Test("calls with one stamp run in the order of their arrival")
  func sameStamp() async throws {
    let desk = try Desk()
    for name in ["a", "b", "c"] { try desk.submit(name, attachment: "x", stamp: 7) }
    desk.end("c", "b", "a")
    #expect(
      await desk.all(6) == ["a begins", "a ends", "b begins", "b ends", "c begins", "c ends"])
  }

  @Test("calls of different attachments run side by side, also in one network")
  func sideBySide() async throws {
    let desk = try Desk(concurrent: 6)
    for name in ["a", "b", "c", "d", "e", "f"] { try desk.submit(name, attachment: name) }
    // None ends before all have begun.
    let events = await desk.all(6)
    #expect(Set(events) == Set(["a", "b", "c", "d", "e", "f"].map { "\($0) begins" }))
    #expect(desk.dispatcher.load.running == 6)
  }

  @Test("calls about no attachment do not wait for each other")
  func noAttachment() async throws {
    let desk = try Desk()
    for name in ["a", "b"] { try desk.submit(name) }
    #expect(await desk.all(2).count == 2)
  }

  @Test("a busy attachment does not keep a later call of another one waiting")
  func noHeadOfLineBlocking() async throws {
    let desk = try Desk()
    for number in 0..<20 { try desk.submit("a\(number)", attachment: "a") }
    #expect(await desk.has("a0 begins"))
    try desk.submit("b", attachment: "b")
    #expect(await desk.has("b begins"))
    #expect(desk.events.value.filter { $0.hasPrefix("a") } == ["a0 begins"])
  }
}

@Suite("Dispatcher: GC")
struct DispatcherExclusionTests {
  @Test("GC waits for the network's running calls, and runs alone in it")
  func alone() async throws {
    let desk = try Desk()
    try desk.submit("add", attachment: "a")
    #expect(await desk.has("add begins"))
    try desk.submit("gc", exclusive: true)
    try desk.submit("later", attachment: "b")
    try desk.submit("elsewhere", attachment: "c", network: "other")
    // What comes later in the network waits behind the GC, other networks do not.
    #expect(await desk.has("elsewhere begins"))
    #expect(desk.dispatcher.load.waiting == 2)
    desk.end("add")
    #expect(await desk.has("gc begins"))
    #expect(!desk.events.value.contains("later begins"))
    desk.end("gc", "later")
    #expect(await desk.has("later ends"))
    let events = desk.events.value
    #expect(
      events.filter { !$0.hasPrefix("elsewhere") } == [
        "add begins", "add ends", "gc begins", "gc ends", "later begins", "later ends",
      ])
  }

  @Test("GC is not starved by calls that keep coming")
  func notStarved() async throws {
    let desk = try Desk()
    try desk.submit("0", attachment: "0")
    #expect(await desk.has("0 begins"))
    try desk.submit("gc", exclusive: true)
    for number in 1..<20 { try desk.submit("\(number)", attachment: "\(number)") }
    desk.end("0")
    #expect(await desk.has("gc begins"))
    #expect(desk.events.value == ["0 begins", "0 ends", "gc begins"])
    desk.end("gc")
    // And then all of them come at once, as many as may.
    #expect(await desk.all(3 + 1 + 8).count == 12)
    #expect(desk.dispatcher.load.running == 8)
  }

  @Test("GCs of two networks run side by side, two of one network one after the other")
  func several() async throws {
    let desk = try Desk()
    try desk.submit("one", exclusive: true)
    try desk.submit("two", network: "other", exclusive: true)
    #expect(await desk.all(2).count == 2)
    try desk.submit("three", exclusive: true)
    #expect(desk.dispatcher.load.waiting == 1)
    desk.end("one")
    #expect(await desk.has("three begins"))
  }

  @Test("when a waiting GC is taken away those behind it come")
  func removed() async throws {
    let desk = try Desk()
    try desk.submit("add", attachment: "a")
    #expect(await desk.has("add begins"))
    try desk.submit("gc", exclusive: true, deadline: Deadline(nanoseconds: 1))
    try desk.submit("later", attachment: "b")
    #expect(desk.dispatcher.load.waiting == 2)
    desk.dispatcher.lookAfter()
    #expect(await desk.has("gc expires"))
    #expect(await desk.has("later begins"))
  }
}

@Suite("Dispatcher: bounds")
struct DispatcherBoundTests {
  @Test("so many run, so many wait, and the next is sent away with code 11")
  func bounded() async throws {
    let desk = try Desk(concurrent: 2, queued: 3)
    for number in 0..<5 { try desk.submit("\(number)", attachment: "\(number)") }
    #expect(await desk.all(2).count == 2)
    #expect(desk.dispatcher.load.running == 2)
    #expect(desk.dispatcher.load.waiting == 3)
    do throws(CNIError) {
      try desk.submit("5", attachment: "5")
      Issue.record("taken")
    } catch {
      #expect(error.code == .tryAgainLater)
      #expect(error.message == "cnid is busy: 5 calls are running or waiting")
    }
    desk.end("0")
    #expect(await desk.has("0 ends"))
    #expect(await desk.all(4).count >= 4)
    // There is room for one again.
    try desk.submit("6", attachment: "6")
    #expect(desk.dispatcher.load.waiting == 3)
    desk.end("1", "2", "3", "4", "6")
    #expect(await desk.all(12).count == 12)
    #expect(!desk.events.value.contains("5 begins"))
  }

  @Test("a waiting call whose time is over is told so, and never runs")
  func expired() async throws {
    let desk = try Desk(concurrent: 1)
    try desk.submit("a", attachment: "a")
    #expect(await desk.has("a begins"))
    try desk.submit("b", attachment: "b", deadline: Deadline(nanoseconds: 1))
    try desk.submit("c", attachment: "c")
    desk.dispatcher.lookAfter()
    #expect(await desk.has("b expires"))
    #expect(desk.dispatcher.load.waiting == 1)
    desk.end("a", "b", "c")
    #expect(
      await desk.all(5) == ["a begins", "b expires", "a ends", "c begins", "c ends"])
  }

  @Test("a call whose turn comes too late is told so, and never runs")
  func late() async throws {
    let desk = try Desk()
    try desk.submit("a", attachment: "a", deadline: Deadline(nanoseconds: 1))
    #expect(await desk.all(1) == ["a expires"])
    try desk.submit("b", attachment: "a")
    #expect(await desk.has("b begins"))
  }

  @Test("waiting calls can be taken out by kind; running ones stay")
  func removing() async throws {
    let desk = try Desk(concurrent: 1)
    try desk.submit("running", attachment: "a")
    #expect(await desk.has("running begins"))
    try desk.submit("add", attachment: "b")
    try desk.submit("delete", .delete, attachment: "a")
    let removed = desk.dispatcher.removeWaiting { $0.kind != .delete }
    #expect(removed.map(\.claim.attachments) == [["b"]])
    desk.end("running", "delete")
    #expect(
      await desk.all(4) == ["running begins", "running ends", "delete begins", "delete ends"])
  }

  @Test("threads come when they are needed; of those without work a few stay, and none at the end")
  func threads() async throws {
    let desk = try Desk(concurrent: 16)
    #expect(desk.dispatcher.load.threads == 0)
    try desk.submit("one", attachment: "one")
    #expect(await desk.has("one begins"))
    #expect(desk.dispatcher.load.threads == 1)
    // Calls that cannot run need no thread.
    for number in 0..<10 { try desk.submit("queued\(number)", attachment: "one") }
    #expect(desk.dispatcher.load.threads == 1)
    for number in 0..<15 { try desk.submit("\(number)", attachment: "\(number)") }
    #expect(await desk.all(16).count == 16)
    #expect(desk.dispatcher.load.threads == 16)
    desk.end("one")
    for number in 0..<15 { desk.end("\(number)", "queued\(number)") }
    #expect(await desk.all(52).count == 52)
    #expect(try await becomes { desk.dispatcher.load.threads <= 4 })
    desk.dispatcher.close()
    #expect(try await becomes { desk.dispatcher.load.threads == 0 })
  }

  @Test("what waits when the workers are told to end still runs")
  func closing() async throws {
    let desk = try Desk(concurrent: 1)
    try desk.submit("a", attachment: "a")
    try desk.submit("b", attachment: "b")
    #expect(await desk.has("a begins"))
    desk.dispatcher.close()
    desk.end("a", "b")
    #expect(await desk.all(4) == ["a begins", "a ends", "b begins", "b ends"])
  }
}

@Suite("Dispatcher: waits outside")
struct DispatcherOutsideTests {
  /// Work that waits for somebody outside until its door opens.
  private func submit(_ name: String, _ desk: Desk, _ door: Door) throws {
    let progress = Locked<CallProgress?>(nil)
    let work = QuickWork {
      guard let own = progress.value else { return }
      try? own.waiting { () throws(CNIError) in
        desk.events.change { $0.append("\(name) waits") }
        door.pass()
      }
    }
    progress.withLock { $0 = work.progress }
    try desk.dispatcher.submit(
      Job(
        kind: .other, claim: Claim(attachments: [name], networks: ["net"]), stamp: 0,
        deadline: .never, work: work))
  }

  @Test("calls that wait for somebody outside leave their places to others, and count all the same")
  func outside() async throws {
    let desk = try Desk(concurrent: 2, queued: 10)
    let door = Door()
    defer { door.open() }
    for number in 0..<6 { try submit("\(number)", desk, door) }
    #expect(await desk.all(6).count == 6)
    try desk.submit("a", attachment: "a")
    try desk.submit("b", attachment: "b")
    try desk.submit("c", attachment: "c")
    #expect(await desk.all(8).count == 8)
    #expect(desk.dispatcher.load.running == 8)
    #expect(desk.dispatcher.load.waiting == 1)
    for number in 6..<9 { try submit("\(number)", desk, door) }
    #expect(throws: CNIError.self) { try submit("one too many", desk, door) }
    door.open()
    desk.end("a", "b", "c")
    #expect(await desk.has("c ends"))
  }

  @Test("a DEL finds a place of its own when other calls have all of them")
  func placesOfDeletes() async throws {
    let desk = try Desk(concurrent: 4)
    for number in 0..<4 { try desk.submit("add\(number)", attachment: "a\(number)") }
    #expect(await desk.all(4).count == 4)
    try desk.submit("late", attachment: "late")
    for number in 0..<2 { try desk.submit("del\(number)", .delete, attachment: "d\(number)") }
    // A quarter more, for DELs only.
    #expect(await desk.has("del0 begins"))
    #expect(desk.dispatcher.load.running == 5)
    #expect(desk.dispatcher.load.waiting == 2)
    desk.end("del0")
    #expect(await desk.has("del1 begins"))
    #expect(!desk.events.value.contains("late begins"))
    desk.end("add0", "del1")
    #expect(await desk.has("late begins"))
    desk.end("add1", "add2", "add3", "late")
  }

  @Test("DELs that keep coming do not keep an older call waiting")
  func notStarved() async throws {
    let desk = try Desk(concurrent: 4)
    for number in 0..<5 { try desk.submit("del\(number)", .delete, attachment: "d\(number)") }
    #expect(await desk.all(5).count == 5)
    try desk.submit("add", attachment: "a")
    for number in 5..<9 { try desk.submit("del\(number)", .delete, attachment: "d\(number)") }
    #expect(desk.dispatcher.load.waiting == 5)
    desk.end("del0")
    #expect(await desk.has("add begins"))
    desk.end("add")
    for number in 1..<9 { desk.end("del\(number)") }
    #expect(await desk.has("del8 ends"))
  }

  @Test("whoever comes back from outside goes on although others have the places")
  func back() async throws {
    let desk = try Desk(concurrent: 1)
    let door = Door()
    try submit("one", desk, door)
    #expect(await desk.has("one waits"))
    try desk.submit("two", attachment: "two")
    #expect(await desk.has("two begins"))
    door.open()
    // Then only the second is left.
    #expect(try await becomes { desk.dispatcher.load.running == 1 })
    #expect(desk.events.value == ["one waits", "two begins"])
    desk.end("two")
  }
}

@Suite("Dispatcher: many calls at once")
struct DispatcherStressTests {
  private struct Tally: Sendable {
    var attachments: Set<String> = []
    var networks: [String: Int] = [:]
    var exclusive: Set<String> = []
    var done = 0
    var faults: [String] = []
    var most = 0

    mutating func begin(_ attachment: String?, _ network: String, _ isExclusive: Bool) {
      if let attachment, !attachments.insert(attachment).inserted {
        faults.append("\(attachment) twice")
      }
      if exclusive.contains(network) { faults.append("\(network) during its GC") }
      if isExclusive {
        if networks[network, default: 0] > 0 { faults.append("GC in busy \(network)") }
        exclusive.insert(network)
      }
      networks[network, default: 0] += 1
      most = max(most, networks.values.reduce(0, +))
    }

    mutating func end(_ attachment: String?, _ network: String, _ isExclusive: Bool) {
      if let attachment { attachments.remove(attachment) }
      networks[network, default: 0] -= 1
      if isExclusive { exclusive.remove(network) }
      done += 1
    }
  }

  @Test("4000 calls from four threads all run, none beside one that it must not run beside")
  func stress() async throws {
    let dispatcher = try Dispatcher(maximumConcurrent: 8, maximumQueued: 10_000)
    let tally = Watched(Tally())
    let seed = UInt64.random(in: .min ... .max)
    let refused = await withTaskGroup(of: Int.self, returning: Int.self) { group in
      for thread in 0..<4 {
        group.addTask {
          await onThread {
            var random = Mutator(seed: seed &+ UInt64(thread), corpus: [])
            var refused = 0
            for _ in 0..<1000 {
              let network = "n\(random.number(below: 3))"
              let isExclusive = random.number(below: 40) == 0
              let attachment = isExclusive ? nil : "a\(random.number(below: 12))"
              let job = Job(
                kind: .other,
                claim: Claim(
                  attachments: attachment.map { [$0] } ?? [], networks: [network],
                  aloneIn: isExclusive ? [network] : []),
                stamp: UInt64(random.number(below: 100)), deadline: .never,
                work: QuickWork {
                  tally.change { $0.begin(attachment, network, isExclusive) }
                  tally.change { $0.end(attachment, network, isExclusive) }
                })
              do throws(CNIError) { try dispatcher.submit(job) } catch { refused += 1 }
            }
            return refused
          }
        }
      }
      return await group.reduce(0, +)
    }
    #expect(refused == 0)
    #expect(await tally.reaches { $0.done == 4000 }, "seed \(seed)")
    #expect(tally.value.faults.isEmpty, "seed \(seed)")
    #expect(tally.value.most <= 8)
    #expect(try await becomes { dispatcher.load.running == 0 })
    #expect(dispatcher.load.waiting == 0)
    dispatcher.close()
    #expect(try await becomes { dispatcher.load.threads == 0 })
  }
}
