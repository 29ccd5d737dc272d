import Linux
import PluginKit

/// The dispatcher's books: what waits, what runs, and what may run next.
struct DispatcherState: Sendable {
  /// What gets a call going that could run now.
  enum Help {
    case none
    case wake
    case start
  }

  /// What a worker does next.
  enum Turn {
    case run(Job, Help)
    case sleep
    case end
  }

  /// How many calls of clients run at once.
  var maximumConcurrent: Int
  /// How many calls may wait.
  var maximumQueued: Int

  var lastID: UInt64 = 0
  var waiting: [Job] = []
  var running: [UInt64: Job] = [:]
  private(set) var runningInBackground = 0
  private var waitingInBackground = 0
  /// Calls from which no worker has come back; nothing of them is in `running` or below.
  private(set) var hung: [UInt64: Job] = [:]
  private(set) var givenUp = 0
  /// Those whose clients have been told that they are late.
  private var told: Set<UInt64> = []
  /// Running calls of clients that wait for somebody outside, and have no place meanwhile.
  private var outside: Set<UInt64> = []
  private var attachments: Set<String> = []
  private var locks: Set<String> = []
  private var networks: [String: Int] = [:]
  private var exclusive: Set<String> = []
  /// Threads, idle ones included, those that hang left out.
  var workers = 0
  /// Threads that sleep; who wakes one takes it off this number.
  var idle = 0
  var isClosed = false

  init(maximumConcurrent: Int, maximumQueued: Int) {
    self.maximumConcurrent = maximumConcurrent
    self.maximumQueued = maximumQueued
  }

  var runningForClients: Int { running.count - runningInBackground }
  var waitingForClients: Int { waiting.count - waitingInBackground }
  private var placesTaken: Int { runningForClients - outside.count }

  /// What nobody waits for never has more than these places, and never one of the clients'.
  private var maximumInBackground: Int { max(1, maximumConcurrent / 4) }

  // MARK: Waiting

  /// Puts a call behind those that wait, but before younger ones of its attachment.
  mutating func insert(_ job: Job) -> UInt64 {
    lastID &+= 1
    var job = job
    job.id = lastID
    let younger = waiting.firstIndex { other in
      job.attachment != nil && other.attachment == job.attachment && other.stamp > job.stamp
    }
    waiting.insert(job, at: younger ?? waiting.endIndex)
    if job.kind == .background { waitingInBackground += 1 }
    return job.id
  }

  mutating func remove(_ id: UInt64) -> Bool { !removeWaiting { $0.id == id }.isEmpty }

  mutating func removeWaiting(where isUnwanted: (Job) -> Bool) -> [Job] {
    var removed: [Job] = []
    waiting.removeAll { job in
      let goes = isUnwanted(job)
      if goes { removed.append(job) }
      return goes
    }
    waitingInBackground -= removed.filter { $0.kind == .background }.count
    return removed
  }

  // MARK: Workers

  /// What a worker does next.
  mutating func turn(_ maximumIdle: Int) -> Turn {
    if let index = next() {
      let job = waiting.remove(at: index)
      if job.kind == .background { waitingInBackground -= 1 }
      start(job)
      return .run(job, help())
    }
    if isClosed || idle >= maximumIdle {
      workers -= 1
      return .end
    }
    idle += 1
    return .sleep
  }

  /// Who should come if there is a call that may run now.
  mutating func help() -> Help {
    guard next() != nil else { return .none }
    if idle > 0 {
      idle -= 1
      return .wake
    }
    let inBackground = min(runningInBackground + waitingInBackground, maximumInBackground)
    guard workers - outside.count < maximumConcurrent + inBackground else { return .none }
    workers += 1
    return .start
  }

  /// The first call that may run now.
  private func next() -> Int? {
    // Without a place for those who wait it is not worth a look: there may be thousands after a crash.
    let hasWork =
      waitingForClients > 0 && placesTaken < maximumConcurrent
      || waitingInBackground > 0 && runningInBackground < maximumInBackground
    if !hasWork { return nil }
    var busy = attachments
    var blockedNetworks = exclusive
    let hanging = Set(hung.values.compactMap(\.attachment))
    for (index, job) in waiting.enumerated() {
      // Beside a call that hangs only DEL runs, and what waits for the hanging one keeps no DEL waiting.
      if job.kind != .delete, let attachment = job.attachment, hanging.contains(attachment) {
        continue
      }
      if hasPlace(job), !blockedNetworks.contains(job.network),
        job.attachment.map({ !busy.contains($0) }) ?? true,
        job.lock.map({ !locks.contains($0) }) ?? true,
        !(job.isExclusive && networks[job.network, default: 0] > 0)
      {
        return index
      }
      // What waits longer goes first: in its attachment, and a GC in its network.
      if let attachment = job.attachment { busy.insert(attachment) }
      if job.isExclusive { blockedNetworks.insert(job.network) }
    }
    return nil
  }

  private func hasPlace(_ job: Job) -> Bool {
    job.kind == .background
      ? runningInBackground < maximumInBackground : placesTaken < maximumConcurrent
  }

  private mutating func start(_ job: Job) {
    running[job.id] = job
    if job.kind == .background { runningInBackground += 1 }
    if let attachment = job.attachment {
      attachments.insert(attachment)
      if hung.values.contains(where: { $0.attachment == attachment }) {
        job.work.progress.keepRecord()
      }
    }
    if let lock = job.lock { locks.insert(lock) }
    networks[job.network, default: 0] += 1
    if job.isExclusive { exclusive.insert(job.network) }
    job.work.progress.expectEnd(by: job.deadline)
  }

  private mutating func release(_ job: Job) {
    running[job.id] = nil
    outside.remove(job.id)
    told.remove(job.id)
    if job.kind == .background { runningInBackground -= 1 }
    if let attachment = job.attachment { attachments.remove(attachment) }
    if let lock = job.lock { locks.remove(lock) }
    let left = networks[job.network, default: 1] - 1
    networks[job.network] = left > 0 ? left : nil
    if job.isExclusive { exclusive.remove(job.network) }
  }

  /// A call begins or ends to wait for somebody outside.
  ///
  /// It goes on without asking for a place: what it still has to do is short.
  ///
  /// - Returns: who should take its place.
  mutating func wait(_ id: UInt64, _ isWaiting: Bool) -> Help {
    guard let job = running[id], job.kind != .background else { return .none }
    guard isWaiting else {
      outside.remove(id)
      return .none
    }
    outside.insert(id)
    return help()
  }

  /// A worker has come back from a call.
  ///
  /// - Returns: whether it had been given up, and who may go on because it has not hung for ever.
  mutating func end(_ job: Job) -> (wasGivenUp: Bool, help: Help) {
    guard hung.removeValue(forKey: job.id) != nil else {
      release(job)
      return (false, .none)
    }
    return (true, help())
  }

  // MARK: Late calls

  /// The running calls whose clients must be told now that they are late.
  mutating func late(_ now: UInt64, _ milliseconds: Int) -> [Job] {
    let late = running.values.filter { job in
      job.kind != .background && Self.isPast(job.deadline.nanoseconds, milliseconds, now)
        && !told.contains(job.id)
    }
    told.formUnion(late.map(\.id))
    return late
  }

  /// Fences the calls whose workers should have come back long ago, and frees their places.
  mutating func giveUp(_ now: UInt64, _ milliseconds: Int) -> [Job] {
    let lost = running.values.filter { job in
      Self.isPast(job.work.progress.limit, milliseconds, now)
    }
    for job in lost {
      job.work.progress.fence()
      release(job)
      hung[job.id] = job
      workers -= 1
      givenUp += 1
    }
    return lost
  }

  private static func isPast(_ time: UInt64, _ milliseconds: Int, _ now: UInt64) -> Bool {
    let (end, isNever) = time.addingReportingOverflow(UInt64(milliseconds) * 1_000_000)
    return !isNever && now > end
  }
}
