import Linux

/// How long a test waits for what must come, in milliseconds: far longer than a
/// loaded machine needs.
public let patience = 60_000

/// A value that threads change and others wait for, without polling.
public final class Watched<Value: Sendable>: Sendable {
  private struct State: Sendable {
    var value: Value
    var waiting: [(isMet: @Sendable (Value) -> Bool, latch: Cancellation)] = []
  }
  private let state: Locked<State>

  /// Keeps a value.
  public init(_ value: Value) { state = Locked(State(value: value)) }

  /// The value as it is now.
  public var value: Value { state.value.value }

  /// Changes the value and wakes those whose condition it meets.
  public func change(_ body: (inout Value) -> Void) {
    state.withLock { state in
      body(&state.value)
      state.waiting.removeAll { waiter in
        guard waiter.isMet(state.value) else { return false }
        waiter.latch.cancel()
        return true
      }
    }
  }

  /// Waits until the value meets a condition; blocks.
  ///
  /// - Returns: whether it did in time.
  public func wait(until isMet: @escaping @Sendable (Value) -> Bool) -> Bool {
    guard let latch = try? Cancellation() else { return false }
    let isThere = state.withLock { state in
      if isMet(state.value) { return true }
      state.waiting.append((isMet, latch))
      return false
    }
    if isThere { return true }
    let start = KernelClock.monotonic
    // The machine may become busy meanwhile.
    while !isOver(since: start, patience) {
      var nothing: [PollEntry] = []
      do throws(SystemError) {
        try Deadline.after(seconds: 1, cancellation: latch).wait(&nothing, "wait")
      } catch {
        if error.errno != .timedOut { return error.errno == .cancelled }
      }
    }
    return false
  }

  /// Waits on a thread of its own.
  public func reaches(_ isMet: @escaping @Sendable (Value) -> Bool) async -> Bool {
    await onThread { self.wait(until: isMet) }
  }
}

/// Waits for what nobody announces.
public func becomes(_ condition: @escaping @Sendable () throws -> Bool) async throws -> Bool {
  try await eventually(within: patience, condition)
}
