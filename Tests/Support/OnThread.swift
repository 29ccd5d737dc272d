import Foundation

/// Runs blocking work on a thread of its own and returns what it gives.
///
/// Test bodies run on as many threads as there are cores, so a body that blocks stalls every other test, and
/// one that changes its network namespace poisons them: both belong here. Expectations stay in the body;
/// the closure returns the values that they look at.
///
/// - Parameters:
///   - stackSize: the thread's stack in bytes (virtual); the daemon's workers have 512 KiB.
///   - body: the work; the thread ends with it, so a namespace that it entered stays nobody else's.
/// - Returns: what `body` returned.
/// - Throws: what `body` threw.
public func onThread<Value: Sendable, Failure: Error>(
  stackSize: Int = 8 << 20, _ body: @escaping @Sendable () throws(Failure) -> Value
) async throws(Failure) -> Value {
  let outcome = await withCheckedContinuation {
    (continuation: CheckedContinuation<Result<Value, Failure>, Never>) in
    let thread = Thread {
      do throws(Failure) {
        continuation.resume(returning: .success(try body()))
      } catch {
        continuation.resume(returning: .failure(error))
      }
    }
    thread.stackSize = stackSize
    thread.start()
  }
  return try outcome.get()
}
