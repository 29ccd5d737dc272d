import CNI
@testable import Scheduling
import Linux
import PluginKit
import TestSupport

/// A call that tells what happens to it and ends when the test says so.
final class DeskWork: DispatchedWork {
  let progress = CallProgress()
  private let name: String
  private let door: Door
  private let events: Watched<[String]>

  init(_ name: String, _ door: Door, _ events: Watched<[String]>) {
    (self.name, self.door, self.events) = (name, door, events)
  }

  private func tell(_ what: String) { events.change { $0.append("\(name) \(what)") } }

  func run() {
    tell("begins")
    door.pass()
    tell("ends")
  }

  func refuse(_ reason: Rejection) {
    switch reason {
    case .expired: tell("expires")
    case .overdue: tell("is late")
    case .stopping: tell("turned away")
    case .overtaken: tell("is overtaken")
    case .clientGone: tell("has no client")
    case .outlived: tell("is outlived")
    }
  }

  func cancel() { tell("is cancelled") }
  func cameBack() { tell("came back") }
}

/// A call that only does something.
final class QuickWork: DispatchedWork {
  let progress = CallProgress()
  private let body: @Sendable () -> Void

  init(_ body: @escaping @Sendable () -> Void) { self.body = body }

  func run() { body() }
  func refuse(_ reason: Rejection) {}
}

/// A dispatcher whose calls tell what they do and end when the test says so.
final class Desk: Sendable {
  let dispatcher: Dispatcher
  /// `name begins`, `name ends`, `name expires` and so on, in order.
  let events = Watched<[String]>([])
  private let doors = Locked<[String: Door]>([:])
  private let works = Locked<[String: DeskWork]>([:])

  init(
    concurrent: Int = 8, queued: Int = 100,
    patience: Dispatcher.Patience = Dispatcher.Patience()
  ) throws(SystemError) {
    dispatcher = try Dispatcher(
      maximumConcurrent: concurrent, maximumQueued: queued, patience: patience)
  }

  deinit {
    for door in doors.value.values { door.open() }
    dispatcher.close()
  }

  /// Submits a call that waits for `end` with its name.
  @discardableResult
  func submit(
    _ name: String, _ kind: Job.Kind = .other, attachment: String? = nil, lock: String? = nil,
    network: String = "net", exclusive: Bool = false, stamp: UInt64 = 0,
    deadline: Deadline = .never, caller: String? = nil
  ) throws(CNIError) -> UInt64 {
    let door = Door()
    let work = DeskWork(name, door, events)
    doors.withLock { $0[name] = door }
    works.withLock { $0[name] = work }
    return try dispatcher.submit(
      Job(
        kind: kind,
        claim: Claim(
          attachments: attachment.map { [$0] } ?? [], locks: lock.map { [$0] } ?? [],
          networks: [network], aloneIn: exclusive ? [network] : []),
        stamp: stamp, deadline: deadline, caller: caller, work: work))
  }

  /// What a call says of its progress.
  func progress(_ name: String) -> CallProgress? { works.value[name]?.progress }

  /// Lets calls end.
  func end(_ names: String...) {
    for name in names { doors.value[name]?.open() }
  }

  /// Waits for an event.
  func has(_ event: String) async -> Bool { await events.reaches { $0.contains(event) } }

  /// Waits for so many events, and gives them all.
  func all(_ count: Int) async -> [String] {
    _ = await events.reaches { $0.count >= count }
    return events.value
  }
}
