package import CNI
package import Linux
import PluginKit

/// Runs calls on a bounded number of threads, none beside one that its claim excludes.
///
/// The calls of one attachment run in the order of their stamps. A call that waits for somebody
/// outside leaves its place to others. Calls beyond those that may run wait, and beyond those that
/// may wait are refused. A worker that does not come back from a call is given up: the call is
/// fenced, its place and its claim are free, and only a DEL may run beside it.
package final class Dispatcher: Sendable {
  /// How long the dispatcher bears with a call, in milliseconds.
  package struct Patience: Sendable {
    /// From a call's deadline until its client gets an answer all the same.
    package var untilAnswer: Int
    /// From the deadline of the work until its worker is abandoned.
    package var untilGivenUp: Int
    /// From the end of a program until its own calls are left to themselves.
    package var untilLeft: Int

    /// The daemon's own patience, where nothing else is said.
    package init(untilAnswer: Int = 1000, untilGivenUp: Int = 5000, untilLeft: Int = 3000) {
      self.untilAnswer = untilAnswer
      self.untilGivenUp = untilGivenUp
      self.untilLeft = untilLeft
    }
  }

  /// With so many workers that do not come back the daemon is not healthy.
  package static let tolerableHung = 3
  /// Idle threads beyond these end.
  private static let maximumIdle = 4

  let state: Mutex<DispatcherState>
  private let wake: Semaphore
  let patience: Patience

  /// A dispatcher without calls and threads; throws if there is no descriptor left.
  package init(
    maximumConcurrent: Int, maximumQueued: Int, patience: Patience = Patience()
  ) throws(SystemError) {
    state = Mutex(
      DispatcherState(maximumConcurrent: maximumConcurrent, maximumQueued: maximumQueued))
    self.patience = patience
    wake = try Semaphore()
  }

  /// How many calls of clients run and wait, and how many threads there are for all.
  package var load: (running: Int, waiting: Int, threads: Int) {
    state.withLock { state in
      let calls = [Job.Lane.clients, .deletes, .reading].map { state.lanes[$0] }
      return (
        calls.reduce(0) { $0 + $1.running }, calls.reduce(0) { $0 + $1.waiting }, state.workers
      )
    }
  }

  /// How many background jobs run.
  package var backgroundLoad: Int {
    state.withLock { $0.lanes[.background].running + $0.lanes[.spooled].running }
  }

  /// How many workers have not come back from an abandoned call.
  package var hung: Int { state.withLock { $0.hung.count } }

  /// How many workers were abandoned so far.
  package var givenUp: Int { state.withLock { $0.givenUp } }

  /// Whether so many workers hang that the daemon should be replaced.
  package var isStuck: Bool { hung > Self.tolerableHung }

  /// Takes a call on.
  ///
  /// - Parameter job: the call; its work is run or refused later.
  /// - Returns: the call's number, for ``clientLeft(_:)``.
  /// - Throws: code 11 if too many wait already, no thread can be had, or the call from inside of
  ///   which it comes is over.
  @discardableResult
  package func submit(_ job: Job) throws(CNIError) -> UInt64 {
    if job.caller != nil { return try submitInner(job) }
    let (id, help, limit) = state.withLock { state -> (UInt64?, DispatcherState.Help, Int) in
      let limit = state.maximumConcurrent + state.maximumQueued
      let isClients = job.kind.lane == .clients || job.kind.lane == .deletes
      if isClients, state.lanes.clientsCalls >= limit { return (nil, .none, limit) }
      return (state.insert(job), state.help(), limit)
    }
    guard let id else {
      throw CNIError(.tryAgainLater, "cnid is busy: \(limit) calls are running or waiting")
    }
    try begin(id, help)
    return id
  }

  /// Its caller has a place already, so it is not counted.
  private func submitInner(_ job: Job) throws(CNIError) -> UInt64 {
    let (id, help) = state.withLock { state -> (UInt64?, DispatcherState.Help) in
      (job.caller.flatMap { state.insertInner(job, $0) }, state.help())
    }
    guard let id else { throw .callIsOver }
    try begin(id, help)
    return id
  }

  private func begin(_ id: UInt64, _ help: DispatcherState.Help) throws(CNIError) {
    do throws(SystemError) {
      try give(help)
    } catch {
      // With other workers the call is only late.
      let isLost = state.withLock { $0.workers == 0 && $0.remove(id) }
      if isLost {
        throw CNIError(.tryAgainLater, "cnid cannot start a thread", details: "\(error)")
      }
    }
  }

  /// Changes the bounds for what comes from now on.
  package func setLimits(maximumConcurrent: Int, maximumQueued: Int) {
    let help = state.withLock { state in
      state.maximumConcurrent = maximumConcurrent
      state.maximumQueued = maximumQueued
      return state.help()
    }
    try? give(help)
  }

  /// Lets the workers end once nothing can run any more.
  package func close() {
    let sleeping = state.withLock { state in
      state.isClosed = true
      defer { state.idle = 0 }
      return state.idle
    }
    for _ in 0..<sleeping { wake.signal() }
  }

  func give(_ help: DispatcherState.Help) throws(SystemError) {
    switch help {
    case .none: return
    case .wake: wake.signal()
    case .start:
      do throws(SystemError) {
        try OSThread.start { self.work() }
      } catch {
        state.withLock { $0.workers -= 1 }
        throw error
      }
    }
  }

  /// A worker's loop: it takes what may run, makes sure that others take the rest, and sleeps.
  private func work() {
    while true {
      switch state.withLock({ $0.turn(Self.maximumIdle) }) {
      case .end: return
      case .sleep: wake.wait()
      case .run(let job, let help):
        // Without another thread this one does the rest, one after the other.
        try? give(help)
        job.work.progress.runs(at: RunningCall(dispatcher: self, id: job.id))
        if job.deadline.isOver { job.work.refuse(.expired) } else { job.work.run() }
        let (wasGivenUp, next) = state.withLock { $0.end(job) }
        guard wasGivenUp else { continue }
        // Another has this one's place already.
        job.work.cameBack()
        try? give(next)
        return
      }
    }
  }
}

// MARK: - Looking after calls

extension Dispatcher {
  /// Answers the calls whose deadline has passed, and abandons the workers that do not return.
  ///
  /// Somebody must call it regularly.
  package func lookAfter() {
    for job in removeWaiting(where: { $0.deadline.isOver }) { job.work.refuse(.expired) }
    let now = KernelClock.monotonic
    let (late, lost, help) = state.withLock { state in
      let late = state.late(now, patience.untilAnswer)
      let lost = state.giveUp(now, patience.untilGivenUp)
      return (late, lost, lost.isEmpty ? DispatcherState.Help.none : state.help())
    }
    for job in late { job.work.refuse(.overdue) }
    for job in lost { job.work.refuse(.overdue) }
    try? give(help)
  }

  /// Takes out every waiting call for which the answer is true; it is not told.
  package func removeWaiting(where isUnwanted: (Job) -> Bool) -> [Job] {
    let (removed, help) = state.withLock { state in
      let removed = state.removeWaiting(where: isUnwanted)
      // What was behind them may have its turn now.
      return (removed, removed.isEmpty ? DispatcherState.Help.none : state.help())
    }
    try? give(help)
    return removed
  }

  /// Ends the ADDs of an attachment when a DEL arrives.
  ///
  /// Those that wait never run, those that run are cancelled.
  ///
  /// - Parameters:
  ///   - attachment: the DEL's.
  ///   - stamp: the DEL's; a younger ADD stays.
  package func overtakeAdds(of attachment: String, before stamp: UInt64) {
    func isOvertaken(_ job: Job) -> Bool {
      job.kind == .add && job.own.contains(attachment) && job.stamp <= stamp
    }
    for job in removeWaiting(where: isOvertaken) { job.work.refuse(.overtaken) }
    let running = state.withLock { $0.running.values.filter(isOvertaken) }
    for job in running { job.work.cancel() }
  }

  /// Ends a call whose client hung up.
  ///
  /// A waiting call never runs, a running ADD is cancelled, a DEL is done all the same.
  package func clientLeft(_ id: UInt64) {
    for job in removeWaiting(where: { $0.id == id && $0.kind != .delete }) {
      job.work.refuse(.clientGone)
    }
    let running = state.withLock { $0.running[id] }
    if let running, running.kind == .add { running.work.cancel() }
  }

  /// Cancels the background jobs: ends the waits of those that run, and removes those that do not.
  package func cancelBackground() {
    for job in removeWaiting(where: { $0.kind.isBackground }) { job.work.refuse(.stopping) }
    let running = state.withLock { $0.running.values.filter { $0.kind.isBackground } }
    for job in running { job.work.cancel() }
  }
}
