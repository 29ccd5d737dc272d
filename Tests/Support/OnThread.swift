import Foundation

/// Runs blocking work on a thread of its own and returns what it gives.
///
/// Test bodies run on as many threads as there are cores, so a body that blocks stalls every other
/// test, and one that changes its network namespace poisons them: both belong here. Expectations
/// stay in the body; the closure returns the values that they look at.
///
/// - Parameters:
///   - stackSize: the thread's stack in bytes (virtual); the daemon's workers have 512 KiB.
///   - body: the work; the thread ends with it, so a namespace that it entered stays nobody else's.
/// - Returns: what `body` returned.
/// - Throws: what `body` threw.
public func onThread<Value: Sendable, Failure: Error>(
  stackSize: Int = 8 << 20, _ body: @escaping @Sendable () throws(Failure) -> Value
) async throws(Failure) -> Value {
  // The thread lets go of the body before the test goes on: what the body holds must not end later,
  // on a thread that may still run when the process has no more tests.
  let held = Locked<(@Sendable () throws(Failure) -> Value)?>(body)
  let outcome = await withCheckedContinuation {
    (continuation: CheckedContinuation<Result<Value, Failure>?, Never>) in
    let thread = Thread { continuation.resume(returning: perform(held)) }
    thread.stackSize = stackSize * (Program.sanitizer == nil ? 1 : 16)
    thread.start()
  }
  guard let outcome else { preconditionFailure("a body runs once") }
  return try outcome.get()
}

/// Takes the body out of its place, runs it and lets it go.
private func perform<Value: Sendable, Failure: Error>(
  _ held: Locked<(@Sendable () throws(Failure) -> Value)?>
) -> Result<Value, Failure>? {
  let body = held.withLock { held in
    defer { held = nil }
    return held
  }
  guard let body else { return nil }
  do throws(Failure) {
    return .success(try body())
  } catch {
    return .failure(error)
  }
}
