import CNI
import Linux
import PluginKit
import Records

/// Ends what programs of a daemon that was killed were about to do, beside serving.
///
/// It looks only if a record says that there may be any. The look has a thread of its own, because
/// reading about a process can hang in the kernel. Whoever waits gives up after a while.
final class OldPrograms: Sendable {
  private let store: AttachmentStore
  private let log: Log
  /// Readable when there is nothing to wait for any more.
  private let over: EventDescriptor
  private let state = Mutex(State())

  private struct State {
    /// When nobody waits any longer, CLOCK_MONOTONIC; nil before ``begin()``.
    var end: UInt64?
    var isOver = false
  }

  /// So long others bear with it.
  private static let patience = 10_000

  init(store: AttachmentStore, log: Log) throws(SystemError) {
    self.store = store
    self.log = log
    over = try EventDescriptor()
  }

  /// Begins to look, if there is a reason to; returns at once.
  func begin() {
    guard store.mayHavePrograms else {
      finish()
      return
    }
    let deadline = Deadline.after(milliseconds: Self.patience)
    state.withLock { $0.end = deadline.nanoseconds }
    do throws(SystemError) {
      try OSThread.start { self.work(deadline) }
    } catch {
      give(up: "\(error)")
    }
  }

  /// Whether nobody needs to wait any more.
  ///
  /// It says so once if it took too long.
  var isOver: Bool {
    let (isOver, isLate) = state.withLock { state in
      (state.isOver, state.end.map { $0 <= KernelClock.monotonic } ?? false)
    }
    if !isOver, isLate { give(up: "they were not found in \(Self.patience / 1000) s") }
    return isOver || isLate
  }

  /// Readable once it is over by itself.
  var descriptor: Int32 { over.descriptor.rawValue }

  /// Waits until no program of an older daemon can make again what is removed for a record.
  ///
  /// - Throws: code 105 if the time is over first.
  func wait(
    for record: AttachmentRecord, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) {
    guard record.runsPrograms, !isOver, let end = state.withLock({ $0.end }) else { return }
    let until = Deadline(
      nanoseconds: min(deadline.nanoseconds, end), cancellation: deadline.cancellation)
    try progress.waiting { () throws(CNIError) in
      do throws(SystemError) {
        try until.wait(descriptor, for: .read, "wait for the end of", "the last cnid's programs")
      } catch {
        if !isOver { throw CNIError(error) }
      }
    }
  }

  private func work(_ deadline: Deadline) {
    do throws(SystemError) {
      let count = try patiently(deadline)
      if count > 0 {
        log.write(
          .warning, "programs that the last cnid had left running were killed",
          [("count", count)])
      }
      finish()
    } catch {
      give(up: "\(error)")
    }
  }

  /// Looks again when descriptors or memory were short.
  private func patiently(_ deadline: Deadline) throws(SystemError) -> Int {
    while true {
      do throws(SystemError) {
        return try store.endOldPrograms(deadline: deadline)
      } catch {
        guard error.isTransient, !deadline.isOver else { throw error }
      }
      Clock.pause(milliseconds: 100)
    }
  }

  private func give(up reason: String) {
    guard finish() else { return }
    log.write(
      .error, "programs that the last cnid had left running may act yet", [("error", reason)])
  }

  /// - Returns: whether it was not over yet.
  @discardableResult
  private func finish() -> Bool {
    let isFirst = state.withLock { state in
      defer { state.isOver = true }
      return !state.isOver
    }
    over.signal()
    return isFirst
  }
}
