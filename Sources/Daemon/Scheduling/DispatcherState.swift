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

  /// How many calls may wait.
  var maximumQueued: Int
  private(set) var lanes: Lanes

  private var lastID: UInt64 = 0
  private(set) var waiting: [Job] = []
  private(set) var running: [UInt64: Job] = [:]
  private var claims = ClaimTable()
  /// What wakes running calls that wait for what they asked for.
  private var bells: [UInt64: Bell] = [:]
  /// Calls from which no worker has come back; nothing of them is in `running` or below.
  private(set) var hung: [UInt64: Job] = [:]
  private(set) var givenUp = 0
  /// Those whose clients have been told that they are late.
  private var told: Set<UInt64> = []
  /// Running calls that wait for somebody outside.
  private var outside: Set<UInt64> = []
  /// Threads, idle ones included, those that hang left out.
  var workers = 0
  /// Threads that sleep; who wakes one takes it off this number.
  var idle = 0
  var isClosed = false
  /// What comes from programs that running calls run.
  var inner = InnerCallTable()

  init(maximumConcurrent: Int, maximumQueued: Int) {
    lanes = Lanes(maximumConcurrent: maximumConcurrent)
    self.maximumQueued = maximumQueued
  }

  var maximumConcurrent: Int {
    get { lanes.maximumConcurrent }
    set { lanes.maximumConcurrent = newValue }
  }

  // MARK: Waiting

  /// Puts a call behind those that wait, but before younger ones of its attachments; or before all.
  mutating func insert(_ job: Job, first: Bool = false) -> UInt64 {
    lastID &+= 1
    var job = job
    job.id = lastID
    let own = job.claim.attachments
    let younger = waiting.firstIndex { other in
      other.stamp > job.stamp && !other.claim.attachments.isDisjoint(with: own)
    }
    waiting.insert(job, at: first ? 0 : younger ?? waiting.endIndex)
    lanes[job.kind.lane].waiting += 1
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
    for job in removed { lanes[job.kind.lane].waiting -= 1 }
    return removed
  }

  // MARK: Workers

  /// What a worker does next.
  mutating func turn(_ maximumIdle: Int) -> Turn {
    if let index = next() {
      let job = waiting.remove(at: index)
      lanes[job.kind.lane].waiting -= 1
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
    guard workers < lanes.threads else { return .none }
    workers += 1
    return .start
  }

  /// The first call that may run now.
  private func next() -> Int? {
    // Without a place for those who wait it is not worth a look: there may be thousands after a
    // crash.
    if !lanes.haveWork { return nil }
    var busy: Set<String> = []
    var blockedNetworks: Set<String> = []
    let hanging = hung.values.reduce(into: Set()) { $0.formUnion($1.claim.attachments) }
    for (index, job) in waiting.enumerated() {
      let claim = job.claim
      // Beside a call that hangs only DEL runs, and what waits for the hanging one keeps no DEL
      // waiting.
      if job.kind != .delete, !claim.attachments.isDisjoint(with: hanging) { continue }
      if lanes.hasPlace(job.kind.lane), claim.attachments.isDisjoint(with: busy),
        claim.networks.isDisjoint(with: blockedNetworks),
        claim.aloneIn.isDisjoint(with: blockedNetworks),
        claims.mayBegin(claim, beforeWishes: job.caller != nil)
      {
        return index
      }
      // What waits longer goes first: in its attachments, and a GC in its network.
      busy.formUnion(claim.attachments)
      blockedNetworks.formUnion(claim.aloneIn)
    }
    return nil
  }

  private mutating func start(_ job: Job) {
    running[job.id] = job
    lanes[job.kind.lane].running += 1
    claims.begin(job.id, job.claim)
    keepRecordIfOneHangs(job)
    job.work.progress.expectEnd(by: job.deadline)
  }

  private func keepRecordIfOneHangs(_ job: Job) {
    let isBeside = hung.values.contains { other in
      !other.claim.attachments.isDisjoint(with: job.claim.attachments)
    }
    if isBeside { job.work.progress.keepRecord() }
  }

  private mutating func release(_ job: Job) {
    running[job.id] = nil
    told.remove(job.id)
    lanes[job.kind.lane].running -= 1
    if outside.remove(job.id) != nil { lanes[job.kind.lane].outside -= 1 }
    bells[job.id]?.ring()
    bells[job.id] = nil
    claims.end(job.id)
    leave(job)
    grant()
  }

  /// A call begins or ends to wait for somebody outside.
  ///
  /// It goes on without asking for a place: what it still has to do is short.
  ///
  /// - Returns: who should take its place.
  mutating func wait(_ id: UInt64, _ isWaiting: Bool) -> Help {
    guard let lane = running[id]?.kind.lane else { return .none }
    guard isWaiting else {
      if outside.remove(id) != nil { lanes[lane].outside -= 1 }
      return .none
    }
    guard outside.insert(id).inserted else { return .none }
    lanes[lane].outside += 1
    return help()
  }

  /// A worker has come back from a call.
  ///
  /// - Returns: whether it had been abandoned, and who may go on because it did not hang for ever.
  mutating func end(_ job: Job) -> (wasGivenUp: Bool, help: Help) {
    guard hung.removeValue(forKey: job.id) != nil else {
      release(job)
      return (false, .none)
    }
    return (true, help())
  }
}

// MARK: - Calls that ask for more

extension DispatcherState {
  /// What became of a wish.
  enum Wish {
    case granted
    /// The bell rings when it is.
    case waits
    /// The call must not ask, or was abandoned.
    case refused
  }

  /// A running call asks for more than it began with.
  ///
  /// - Parameters:
  ///   - id: the call.
  ///   - more: what it asks for.
  ///   - manner: for how long.
  ///   - bell: wakes the call.
  /// - Returns: whether it has it, has to wait, or must not ask.
  mutating func want(
    _ id: UInt64, _ more: Claim, _ manner: ClaimTable.Manner, _ bell: Bell?
  ) -> Wish {
    guard claims.want(id, more, manner) else { return .refused }
    bells[id] = bell
    grant()
    return hasAll(id, more) ? .granted : .waits
  }

  /// Whether a running call has all of a claim.
  func hasAll(_ id: UInt64, _ claim: Claim) -> Bool {
    guard let own = claims.claim(of: id) else { return false }
    return claim.subtracting(own).isEmpty
  }

  /// The other running ADDs that have one of these locks or wait for one: the newest of the younger
  /// ones, and the older ones.
  func rivals(of id: UInt64, for locks: Set<String>) -> (newer: Job?, older: [Job]) {
    guard let own = running[id] else { return (nil, []) }
    let rivals = running.values.filter { job in
      job.id != id && job.kind == .add && !claims.named(by: job.id).isDisjoint(with: locks)
    }
    let newer = rivals.filter { $0.stamp > own.stamp }
    return (newer.max { $0.stamp < $1.stamp }, rivals.filter { $0.stamp <= own.stamp })
  }

  /// A call waits no longer for what it asked for, whether it has it or not.
  mutating func endWish(_ id: UInt64) -> Help {
    bells[id] = nil
    claims.withdraw(id)
    grant()
    return help()
  }

  /// A running call gives back a part of what it got in passing.
  mutating func giveBack(_ id: UInt64, _ part: Claim) -> Help {
    claims.giveBack(id, part)
    running[id]?.claim = claims.claim(of: id) ?? Claim()
    grant()
    return help()
  }

  private mutating func grant() {
    for id in claims.grant() {
      if var job = running[id] {
        job.claim = claims.claim(of: id) ?? job.claim
        running[id] = job
        keepRecordIfOneHangs(job)
      }
      bells[id]?.ring()
    }
  }
}

// MARK: - Late calls

extension DispatcherState {
  /// The running calls whose clients must be told now that they are late.
  mutating func late(_ now: UInt64, _ milliseconds: Int) -> [Job] {
    let late = running.values.filter { job in
      !job.kind.isBackground && Self.isPast(job.deadline.nanoseconds, milliseconds, now)
        && !told.contains(job.id)
    }
    told.formUnion(late.map(\.id))
    return late
  }

  /// Fences the calls whose workers should have come back long ago, and frees their places and all
  /// that they claim.
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
