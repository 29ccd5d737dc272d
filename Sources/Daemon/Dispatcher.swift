import CNI
import Linux

/// Runs calls on a bounded number of threads, each attachment's one after the other.
///
/// The calls of one attachment run in the order of their stamps, others side by side; GC runs alone in its network.
/// Calls beyond those that may run wait, and beyond those that may wait are refused.
final class Dispatcher: Sendable {
  /// One call.
  struct Job: Sendable {
    /// Given by the dispatcher.
    var id: UInt64 = 0
    /// What must not run side by side: `container/ifname`; nil for calls about no attachment.
    let attachment: String?
    /// The network's name.
    let network: String
    /// Whether nothing else may run in the network.
    let isExclusive: Bool
    /// The caller's clock at its start, CLOCK_BOOTTIME; orders the calls of an attachment.
    let stamp: UInt64
    /// When it is too late to begin.
    let deadline: Deadline
    /// Whether it still runs once the daemon is stopping.
    let mayRunWhileStopping: Bool
    /// Does the work, on a worker's thread.
    let run: @Sendable () -> Void
    /// Called instead of `run` when the deadline passed while it waited.
    let expire: @Sendable () -> Void
    /// Called instead of `run` when it was taken out because the daemon is stopping.
    let turnAway: @Sendable () -> Void
  }

  fileprivate struct State {
    var lastID: UInt64 = 0
    var waiting: [Job] = []
    var attachments: Set<String> = []
    var networks: [String: Int] = [:]
    var exclusive: Set<String> = []
    var running = 0
    /// Threads, idle ones included.
    var workers = 0
    /// Threads that sleep; who wakes one takes it off this number.
    var idle = 0
    var isClosed = false
  }

  /// What gets a call going that could run now.
  fileprivate enum Help {
    case none
    case wake
    case start
  }

  /// What a worker does next.
  fileprivate enum Turn {
    case run(Job, Help)
    case sleep
    case end
  }

  /// Idle threads beyond these end.
  private static let maximumIdle = 4

  private let state = Mutex(State())
  private let wake: Semaphore
  private let maximumConcurrent: Int
  private let maximumQueued: Int

  init(maximumConcurrent: Int, maximumQueued: Int) throws(SystemError) {
    self.maximumConcurrent = maximumConcurrent
    self.maximumQueued = maximumQueued
    wake = try Semaphore()
  }

  /// How many calls run and wait, and how many threads there are for them.
  var load: (running: Int, waiting: Int, threads: Int) {
    state.withLock { ($0.running, $0.waiting.count, $0.workers) }
  }

  /// Takes a call on.
  ///
  /// - Parameter job: the call; one of its closures is called later.
  /// - Throws: code 11 if too many wait already, or no thread can be had.
  func submit(_ job: Job) throws(CNIError) {
    let limit = maximumConcurrent + maximumQueued
    let (id, help) = state.withLock { state -> (UInt64?, Help) in
      guard state.running + state.waiting.count < limit else { return (nil, .none) }
      return (state.insert(job), state.help(maximumConcurrent))
    }
    guard let id else {
      throw CNIError(.tryAgainLater, "cnid is busy: \(limit) calls are running or waiting")
    }
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

  /// Lets the workers end once nothing can run any more.
  func close() {
    let sleeping = state.withLock { state in
      state.isClosed = true
      defer { state.idle = 0 }
      return state.idle
    }
    for _ in 0..<sleeping { wake.signal() }
  }

  private func give(_ help: Help) throws(SystemError) {
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

  /// A worker's life: it takes what may run, sees to it that somebody takes what else may run, and sleeps.
  private func work() {
    while true {
      switch state.withLock({ $0.turn(maximumConcurrent, Self.maximumIdle) }) {
      case .end: return
      case .sleep: wake.wait()
      case .run(let job, let help):
        // Without another thread this one does the rest, one after the other.
        try? give(help)
        if job.deadline.isOver { job.expire() } else { job.run() }
        state.withLock { $0.release(job) }
      }
    }
  }

  /// Ends the wait of calls whose deadline has passed while all workers were busy.
  func expireWaiting() {
    for job in removeWaiting(where: { $0.deadline.isOver }) { job.expire() }
  }

  /// Takes out every waiting call for which the answer is true; their `expire` is not called.
  func removeWaiting(where isUnwanted: (Job) -> Bool) -> [Job] {
    let (removed, help) = state.withLock { state -> ([Job], Help) in
      var removed: [Job] = []
      state.waiting.removeAll { job in
        let goes = isUnwanted(job)
        if goes { removed.append(job) }
        return goes
      }
      // What was behind them may have its turn now.
      return (removed, removed.isEmpty ? .none : state.help(maximumConcurrent))
    }
    try? give(help)
    return removed
  }
}

extension Dispatcher.State {
  /// Puts a call behind those that wait, but before younger ones of its attachment.
  mutating func insert(_ job: Dispatcher.Job) -> UInt64 {
    lastID &+= 1
    var job = job
    job.id = lastID
    let younger = waiting.firstIndex { other in
      job.attachment != nil && other.attachment == job.attachment && other.stamp > job.stamp
    }
    waiting.insert(job, at: younger ?? waiting.endIndex)
    return job.id
  }

  mutating func remove(_ id: UInt64) -> Bool {
    guard let index = waiting.firstIndex(where: { $0.id == id }) else { return false }
    waiting.remove(at: index)
    return true
  }

  /// What a worker does next.
  mutating func turn(_ maximumWorkers: Int, _ maximumIdle: Int) -> Dispatcher.Turn {
    if let index = next() {
      let job = waiting.remove(at: index)
      start(job)
      return .run(job, help(maximumWorkers))
    }
    if isClosed || idle >= maximumIdle {
      workers -= 1
      return .end
    }
    idle += 1
    return .sleep
  }

  /// Who should come if there is a call that may run now.
  mutating func help(_ maximumWorkers: Int) -> Dispatcher.Help {
    guard next() != nil else { return .none }
    if idle > 0 {
      idle -= 1
      return .wake
    }
    guard workers < maximumWorkers else { return .none }
    workers += 1
    return .start
  }

  /// The first call that may run now.
  private func next() -> Int? {
    var blockedAttachments = attachments
    var blockedNetworks = exclusive
    for (index, job) in waiting.enumerated() {
      let isFree =
        !blockedNetworks.contains(job.network)
        && job.attachment.map { !blockedAttachments.contains($0) } ?? true
        && !(job.isExclusive && networks[job.network, default: 0] > 0)
      if isFree { return index }
      // What waits longer goes first: in its attachment, and a GC in its network.
      if let attachment = job.attachment { blockedAttachments.insert(attachment) }
      if job.isExclusive { blockedNetworks.insert(job.network) }
    }
    return nil
  }

  private mutating func start(_ job: Dispatcher.Job) {
    running += 1
    if let attachment = job.attachment { attachments.insert(attachment) }
    networks[job.network, default: 0] += 1
    if job.isExclusive { exclusive.insert(job.network) }
  }

  mutating func release(_ job: Dispatcher.Job) {
    running -= 1
    if let attachment = job.attachment { attachments.remove(attachment) }
    let left = networks[job.network, default: 1] - 1
    networks[job.network] = left > 0 ? left : nil
    if job.isExclusive { exclusive.remove(job.network) }
  }
}
