import CNI
import Linux
import Synchronization

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
    var workers = 0
    var idle = 0
  }

  private let state = Mutex(State())
  private let wake: Semaphore
  private let maximumConcurrent: Int
  private let maximumQueued: Int

  init(maximumConcurrent: Int, maximumQueued: Int) throws(SystemError) {
    self.maximumConcurrent = maximumConcurrent
    self.maximumQueued = maximumQueued
    wake = try Semaphore()
  }

  /// How many calls run and wait.
  var load: (running: Int, waiting: Int) {
    state.withLock { ($0.running, $0.waiting.count) }
  }

  /// Takes a call on.
  ///
  /// - Parameter job: the call; one of its closures is called later.
  /// - Throws: code 11 if too many wait already, or no thread can be had.
  func submit(_ job: Job) throws(CNIError) {
    let limit = maximumConcurrent + maximumQueued
    let (id, needsWorker) = state.withLock { state -> (UInt64?, Bool) in
      guard state.running + state.waiting.count < limit else { return (nil, false) }
      let id = state.insert(job)
      guard state.idle < state.waiting.count, state.workers < maximumConcurrent else {
        return (id, false)
      }
      state.workers += 1
      return (id, true)
    }
    guard let id else {
      throw CNIError(.tryAgainLater, "cnid is busy: \(limit) calls are running or waiting")
    }
    if needsWorker { try startWorker(for: id) }
    wake.signal()
  }

  private func startWorker(for job: UInt64) throws(CNIError) {
    do throws(SystemError) {
      try OSThread.start { self.work() }
    } catch {
      let isAlone = state.withLock { state in
        state.workers -= 1
        // With other workers the call is only late.
        if state.workers == 0 { state.waiting.removeAll { $0.id == job } }
        return state.workers == 0
      }
      if isAlone {
        throw CNIError(.tryAgainLater, "cnid cannot start a thread", details: "\(error)")
      }
    }
  }

  /// A worker's life: it takes what may run, and waits while nothing may.
  private func work() {
    while true {
      guard let job = state.withLock({ $0.take() }) else {
        state.withLock { $0.idle += 1 }
        wake.wait()
        state.withLock { $0.idle -= 1 }
        continue
      }
      if job.deadline.isOver { job.expire() } else { job.run() }
      let freed = state.withLock { state in
        state.release(job)
        return min(state.idle, state.waiting.count)
      }
      // This worker takes the next call itself; what its end has freed besides is for the others.
      for _ in 0..<freed { wake.signal() }
    }
  }

  /// Ends the wait of calls whose deadline has passed while all workers were busy.
  func expireWaiting() {
    let late = state.withLock { state in
      let late = state.waiting.filter { $0.deadline.isOver }
      if !late.isEmpty { state.waiting.removeAll { $0.deadline.isOver } }
      return late
    }
    for job in late { job.expire() }
  }

  /// Takes out every waiting call for which the answer is true; their `expire` is not called.
  func removeWaiting(where isUnwanted: (Job) -> Bool) -> [Job] {
    state.withLock { state in
      let removed = state.waiting.filter(isUnwanted)
      state.waiting.removeAll(where: isUnwanted)
      return removed
    }
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

  /// Takes the first call that may run now.
  mutating func take() -> Dispatcher.Job? {
    var blockedAttachments = attachments
    var blockedNetworks = exclusive
    for (index, job) in waiting.enumerated() {
      let isFree =
        !blockedNetworks.contains(job.network)
        && job.attachment.map { !blockedAttachments.contains($0) } ?? true
        && !(job.isExclusive && networks[job.network, default: 0] > 0)
      if isFree {
        start(job)
        waiting.remove(at: index)
        return job
      }
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
