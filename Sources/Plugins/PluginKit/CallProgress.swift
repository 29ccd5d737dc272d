public import CNI
public import Linux

/// A running call's place among the others, as whoever runs it keeps it.
package protocol CallPlace: Sendable {
  /// The call begins or ends to wait for somebody outside; others have its place meanwhile.
  func isOutside(_ isWaiting: Bool)

  /// Waits until the call alone has a lock.
  ///
  /// - Returns: false if it has the lock anyway and gives nothing back.
  /// - Throws: code 105 if the time is over, or the call was abandoned or cancelled.
  func takeLock(
    _ lock: String, _ progress: CallProgress, _ deadline: Deadline
  ) throws(CNIError) -> Bool

  /// The other half of `takeLock`.
  func giveBackLock(_ lock: String)

  /// Waits until the call has more than it began with, all of it or nothing; once in a call.
  ///
  /// - Throws: code 105 if the time is over, or the call was abandoned or cancelled.
  func claim(_ more: Claim, _ progress: CallProgress, _ deadline: Deadline) throws(CNIError)

  /// Lets in what comes from a program that the call runs.
  func admit(_ inner: InnerCalls)

  /// Lets no more in, and ends what is there.
  func dismiss(_ inner: InnerCalls, _ progress: CallProgress)

  /// Takes locks for the rest of the call, as the newest call that asks for one of them: ADDs that
  /// are older and run with one are ended.
  ///
  /// - Parameters:
  ///   - locks: what is taken, all of it or nothing.
  ///   - progress: the call's.
  ///   - deadline: until when it waits for others.
  ///   - superseded: what a call is told to which a newer one has come, by that one's attachment.
  /// - Throws: what `superseded` says if a newer call runs with one of them; else as `takeLock`.
  func take(
    _ locks: Set<String>, _ progress: CallProgress, _ deadline: Deadline,
    superseded: (String) -> CNIError
  ) throws(CNIError)
}

/// What a running call is doing, for deadline errors, metrics and those who watch; and the way to
/// fence it.
public final class CallProgress: Sendable {
  /// One step that has ended.
  public struct Step: Equatable, Sendable {
    /// `plugin.step`.
    public let name: String
    /// How long it took.
    public let nanoseconds: UInt64
  }

  private struct State {
    var current = ""
    var finished: [Step] = []
    var limit = UInt64.max
    var isFenced = false
    var mustKeepRecord = false
    var failure: CNIError?
    var supersession: CNIError?
    var result: CNIResult?
    var listener: (@Sendable (Step) -> Void)?
    var place: (any CallPlace)?
    /// How many waits for somebody outside the call is in, one in the other.
    var waits = 0
  }

  private let state = Mutex(State())

  /// Starts with nothing done.
  public init() {}

  /// The step that is running or ran last, `plugin.step`; empty before the first.
  public var current: String { state.withLock { $0.current } }

  /// The steps that have ended, in order.
  public var finished: [Step] { state.withLock { $0.finished } }

  /// CLOCK_MONOTONIC nanoseconds at which the current work must be over.
  ///
  /// A call that is much later hangs.
  public var limit: UInt64 { state.withLock { $0.limit } }

  /// Says when the work that begins now has to be over.
  public func expectEnd(by deadline: Deadline) {
    state.withLock { $0.limit = deadline.nanoseconds }
  }

  /// From now on no further step begins: the call was abandoned, and others may work
  /// on its attachment.
  public func fence() { state.withLock { $0.isFenced = true } }

  /// Whether the call was abandoned.
  public var isFenced: Bool { state.withLock { $0.isFenced } }

  /// Throws if the call was abandoned: then it must not write anything either.
  ///
  /// - Throws: code 105.
  public func check() throws(CNIError) {
    if isFenced { throw CNIError(.deadline, "given up after step \(current)") }
  }

  /// Says that an earlier call of the attachment hangs in a step: what is removed now may appear
  /// once more, so the record must stay until that call has come back.
  public func keepRecord() { state.withLock { $0.mustKeepRecord = true } }

  /// Whether the record must stay.
  public var mustKeepRecord: Bool { state.withLock { $0.mustKeepRecord } }

  /// Records why the call has failed, before its effects are undone.
  ///
  /// If the call's time ends meanwhile, its client is told this failure, not the undo's. The
  /// first failure counts.
  public func fail(_ error: CNIError) {
    state.withLock { state in
      if state.failure == nil { state.failure = error }
    }
  }

  /// Says why the call is ended: a newer one has taken what it works on.
  ///
  /// It is told this, whatever it fails with.
  package func supersede(_ error: CNIError) { state.withLock { $0.supersession = error } }

  /// What the call is told if it was ended by a newer one; nil if it was not.
  package var supersession: CNIError? { state.withLock { $0.supersession } }

  /// Why the call has failed; nil while it has not.
  public var failure: CNIError? { state.withLock { $0.failure } }

  /// What the call has made, for the log; nil for a call that makes nothing.
  package var result: CNIResult? { state.withLock { $0.result } }

  /// Notes what the call has made.
  package func made(_ result: CNIResult) { state.withLock { $0.result = result } }

  /// Has somebody told of each step when it has ended.
  package func tellSteps(_ listener: @escaping @Sendable (Step) -> Void) {
    state.withLock { $0.listener = listener }
  }

  /// Says who keeps the call's place; without one it has no others beside it.
  package func runs(at place: any CallPlace) { state.withLock { $0.place = place } }

  /// Who keeps the call's place; nil if nobody does.
  var place: (any CallPlace)? { state.withLock { $0.place } }

  /// Runs a body that waits for somebody outside, such as an agent that may not answer; other calls
  /// have the place meanwhile.
  ///
  /// A wait within a wait changes nothing.
  public func waiting<T: ~Copyable>(_ body: () throws(CNIError) -> T) throws(CNIError) -> T {
    let left = state.withLock { state in
      state.waits += 1
      return state.waits == 1 ? state.place : nil
    }
    left?.isOutside(true)
    defer {
      let entered = state.withLock { state in
        state.waits -= 1
        return state.waits == 0 ? state.place : nil
      }
      entered?.isOutside(false)
    }
    return try body()
  }

  /// Runs a body while no other call has the lock; see ``PluginCall/whileAlone(_:_:)``.
  func whileAlone<T: ~Copyable>(
    _ lock: String, _ deadline: Deadline, _ body: () throws(CNIError) -> T
  ) throws(CNIError) -> T {
    guard let place, try place.takeLock(lock, self, deadline) else {
      return try body()
    }
    defer { place.giveBackLock(lock) }
    return try body()
  }

  /// Takes attachments and what goes with them for good; see ``Parts/claim(_:_:)``.
  func claim(_ more: Claim, _ deadline: Deadline) throws(CNIError) {
    guard let place else { return }
    try place.claim(more, self, deadline)
  }

  /// Takes names for good; see ``AddCall/claim(_:)``.
  func take(
    _ locks: Set<String>, _ deadline: Deadline, superseded: (String) -> CNIError
  ) throws(CNIError) {
    guard let place else { return }
    try place.take(locks, self, deadline, superseded: superseded)
  }

  /// - Returns: false if the step must not begin.
  func begin(_ name: String) -> Bool {
    state.withLock { state in
      if state.isFenced { return false }
      state.current = name
      return true
    }
  }

  func end(_ name: String, nanoseconds: UInt64) {
    let step = Step(name: name, nanoseconds: nanoseconds)
    let listener = state.withLock { state in
      state.finished.append(step)
      return state.listener
    }
    listener?(step)
  }
}
