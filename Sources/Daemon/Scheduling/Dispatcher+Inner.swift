package import CNI
import Linux
package import PluginKit

extension Dispatcher {
  /// What a call from inside another one comes from; nil if that is over.
  package func inner(_ id: String) -> InnerCalls? { state.withLock { $0.inner.doors[id]?.inner } }

  /// Whether a program works on an attachment just now.
  package func isExecuting(_ attachment: String) -> Bool {
    state.withLock { $0.inner.doors.values.contains { $0.inner.attachment == attachment } }
  }

  /// Lets the calls of a program in.
  func admit(_ inner: InnerCalls, host: UInt64) {
    state.withLock { state in
      state.inner.doors[inner.id] = InnerCallTable.Door(inner: inner, host: host)
    }
  }

  /// Lets no more in, and ends those that are there: what they make would be nobody's.
  func dismiss(_ inner: InnerCalls, _ progress: CallProgress) {
    let left = state.withLock { state in
      state.inner.doors[inner.id] = nil
      return (
        waiting: state.removeWaiting { $0.caller == inner.id },
        running: state.running.values.filter { $0.caller == inner.id }, help: state.help()
      )
    }
    try? give(left.help)
    for job in left.waiting { job.work.refuse(.outlived) }
    if left.running.isEmpty { return }
    for job in left.running { job.work.cancel() }
    let isOver = state.withLock { state -> Bell? in
      // Without a descriptor nobody waits, and the record stays.
      let bell = state.hasRunning(inner.id) ? try? Bell() : nil
      state.inner.departures[inner.id] = bell
      return bell
    }
    try? isOver?.wait(.after(milliseconds: patience.untilLeft))
    let isLeft = state.withLock { state in
      state.inner.departures[inner.id] = nil
      return state.hasRunning(inner.id)
    }
    if isLeft { progress.keepRecord() }
  }
}

/// Which programs' calls are let in.
struct InnerCallTable: Sendable {
  struct Door: Sendable {
    let inner: InnerCalls
    /// The call that runs the program.
    let host: UInt64
  }

  var doors: [String: Door] = [:]
  /// What rings when the last call of a program has ended.
  var departures: [String: Bell] = [:]
}

extension DispatcherState {
  func hasRunning(_ caller: String) -> Bool { running.values.contains { $0.caller == caller } }

  /// Puts a call from inside before all others; what the call around it has it does not wait for.
  ///
  /// - Returns: its number; nil if the call around it is over.
  mutating func insertInner(_ job: Job, _ caller: String) -> UInt64? {
    guard let door = inner.doors[caller], let around = running[door.host] else { return nil }
    var job = job
    job.claim = job.claim.subtracting(around.claim)
    return insert(job, first: true)
  }

  /// A call has ended.
  func leave(_ job: Job) {
    guard let caller = job.caller, !hasRunning(caller) else { return }
    inner.departures[caller]?.ring()
  }
}

extension CNIError {
  /// What a program is told that outlives the call which ran it.
  package static var callIsOver: CNIError {
    CNIError(.tryAgainLater, "the call that this one belongs to is over")
  }
}
