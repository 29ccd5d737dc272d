package import CNI
package import Linux
package import PluginKit

/// A running call's side of the dispatcher.
///
/// It has the call's number alone: a call that had itself would never be let go of, nor its
/// descriptor.
package struct RunningCall: CallPlace {
  let dispatcher: Dispatcher
  let id: UInt64

  package func isOutside(_ isWaiting: Bool) { dispatcher.wait(id, isWaiting) }

  package func takeLock(
    _ lock: String, _ progress: CallProgress, _ deadline: Deadline
  ) throws(CNIError) -> Bool {
    let claim = Claim(locks: [lock])
    if dispatcher.hasAll(id, claim) { return false }
    try dispatcher.want(id, claim, .inPassing, progress, deadline)
    return true
  }

  package func take(
    _ locks: Set<String>, _ progress: CallProgress, _ deadline: Deadline,
    superseded: (String) -> CNIError
  ) throws(CNIError) {
    try dispatcher.take(locks, for: id, progress, deadline, superseded: superseded)
  }

  package func admit(_ inner: InnerCalls) { dispatcher.admit(inner, host: id) }

  package func dismiss(_ inner: InnerCalls, _ progress: CallProgress) {
    dispatcher.dismiss(inner, progress)
  }

  package func giveBackLock(_ lock: String) { dispatcher.giveBack(id, Claim(locks: [lock])) }

  package func claim(
    _ more: Claim, _ progress: CallProgress, _ deadline: Deadline
  ) throws(CNIError) {
    try dispatcher.claim(more, for: id, progress, deadline)
  }
}

extension Dispatcher {
  /// Waits until a running call has more than it began with, all of it or nothing.
  ///
  /// A call may ask once. Other calls have its place meanwhile; what it began with stays its own.
  ///
  /// - Parameters:
  ///   - more: what it asks for.
  ///   - id: the call.
  ///   - progress: the call's.
  ///   - deadline: until when it waits.
  /// - Throws: code 105 if the time is over, or the call was cancelled or abandoned.
  package func claim(
    _ more: Claim, for id: UInt64, _ progress: CallProgress, _ deadline: Deadline
  ) throws(CNIError) {
    try want(id, more, .forGood, progress, deadline)
  }

  /// Has a running ADD take locks for good, as the newest one that wants any of them: the older
  /// ones that run with one, or wait for it, are ended and waited for.
  fileprivate func take(
    _ locks: Set<String>, for id: UInt64, _ progress: CallProgress, _ deadline: Deadline,
    superseded: (String) -> CNIError
  ) throws(CNIError) {
    try want(id, Claim(locks: locks), .byAge, progress, deadline) { state throws(CNIError) in
      let rivals = state.rivals(of: id, for: locks)
      if let newer = rivals.newer { throw superseded(newer.claim.attachments.min() ?? "") }
      let own = state.running[id]?.claim.attachments.min() ?? ""
      for older in rivals.older {
        older.work.progress.supersede(superseded(own))
        older.work.cancel()
      }
    }
  }

  fileprivate func want(
    _ id: UInt64, _ more: Claim, _ manner: ClaimTable.Manner, _ progress: CallProgress,
    _ deadline: Deadline, unless isBarred: (DispatcherState) throws(CNIError) -> Void = { _ in }
  ) throws(CNIError) {
    let bell: Bell
    do throws(SystemError) {
      bell = try Bell()
    } catch {
      throw CNIError(.tryAgainLater, "cnid has no descriptors left", details: error.description)
    }
    // Together: nobody gets in between.
    let wish = try state.withLock { state throws(CNIError) in
      try isBarred(state)
      return state.want(id, more, manner, bell)
    }
    switch wish {
    case .granted: return try endWish(id, more, progress)
    case .waits: break
    case .refused:
      try progress.check()
      throw CNIError(.internal, "a call asked for more than once")
    }
    do throws(CNIError) {
      try progress.waiting { () throws(CNIError) in
        try mapped { () throws(SystemError) in try bell.wait(deadline) }
      }
    } catch {
      // It may have got it in the last moment.
      if (try? endWish(id, more, progress)) == nil { throw error }
      return
    }
    try endWish(id, more, progress)
  }

  /// - Throws: code 105 if the call has not got what it wanted.
  private func endWish(
    _ id: UInt64, _ more: Claim, _ progress: CallProgress
  ) throws(CNIError) {
    let (hasAll, help) = state.withLock { ($0.hasAll(id, more), $0.endWish(id)) }
    try? give(help)
    if hasAll { return }
    try progress.check()
    throw CNIError(.deadline, "deadline passed while waiting for other calls")
  }

  fileprivate func hasAll(_ id: UInt64, _ claim: Claim) -> Bool {
    state.withLock { $0.hasAll(id, claim) }
  }

  fileprivate func giveBack(_ id: UInt64, _ claim: Claim) {
    try? give(state.withLock { $0.giveBack(id, claim) })
  }

  fileprivate func wait(_ id: UInt64, _ isWaiting: Bool) {
    try? give(state.withLock { $0.wait(id, isWaiting) })
  }
}
