public import CNI
public import Linux

/// What a running call is doing, for deadline errors, metrics and those who watch; and the way to fence it.
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
    var onWait: (@Sendable (Bool) -> Void)?
  }

  private let state = Mutex(State())

  /// Starts with nothing done.
  public init() {}

  /// The step that is running or ran last, `plugin.step`; empty before the first.
  public var current: String { state.withLock { $0.current } }

  /// The steps that have ended, in order.
  public var finished: [Step] { state.withLock { $0.finished } }

  /// CLOCK_MONOTONIC nanoseconds when the work at hand has to be over; who is much later does not come back.
  public var limit: UInt64 { state.withLock { $0.limit } }

  /// Says when the work that begins now has to be over.
  public func expectEnd(by deadline: Deadline) {
    state.withLock { $0.limit = deadline.nanoseconds }
  }

  /// From now on no further step begins: the call was given up, and others may work on its attachment.
  public func fence() { state.withLock { $0.isFenced = true } }

  /// Whether the call was given up.
  public var isFenced: Bool { state.withLock { $0.isFenced } }

  /// Throws if the call was given up: then it must not write anything either.
  ///
  /// - Throws: code 105.
  public func check() throws(CNIError) {
    if isFenced { throw CNIError(.deadline, "given up after step \(current)") }
  }

  /// Says that an earlier call of the attachment hangs in a step: what is removed now may appear once more, so the record must
  /// stay until that call has come back.
  public func keepRecord() { state.withLock { $0.mustKeepRecord = true } }

  /// Whether the record must stay.
  public var mustKeepRecord: Bool { state.withLock { $0.mustKeepRecord } }

  /// Says why the call has failed, before what it made is undone.
  ///
  /// Whoever loses patience meanwhile hears of this, and not of the undo. The first failure counts.
  public func fail(_ error: CNIError) {
    state.withLock { state in
      if state.failure == nil { state.failure = error }
    }
  }

  /// Why the call has failed; nil while it has not.
  public var failure: CNIError? { state.withLock { $0.failure } }

  /// Sets who hears when the call begins and ends to wait for somebody outside.
  public func onWait(_ hear: @escaping @Sendable (Bool) -> Void) {
    state.withLock { $0.onWait = hear }
  }

  /// Runs a body that waits for somebody outside, such as an agent that may not answer; other calls have the place meanwhile.
  public func waiting<T: ~Copyable>(_ body: () throws(CNIError) -> T) throws(CNIError) -> T {
    let hear = state.withLock { $0.onWait }
    hear?(true)
    defer { hear?(false) }
    return try body()
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
    state.withLock { $0.finished.append(Step(name: name, nanoseconds: nanoseconds)) }
  }
}
