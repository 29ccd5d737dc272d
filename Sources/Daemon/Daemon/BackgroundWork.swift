import CNI
import DaemonAPI
import Linux
import Netlink
import PluginKit
import Records
import Scheduling

/// Does what the backlog lists, beside the calls of clients.
///
/// Each piece is a job of its attachment, so it blocks only that attachment's calls.
final class BackgroundWork: Sendable {
  private let backlog: Backlog
  private let store: AttachmentStore
  private let spool: Spool
  private let recovery: Recovery
  private let spooled: SpooledDeletes
  private let finder: PluginFinder
  private let dispatcher: Dispatcher
  private let orphans: OrphanSweep
  private let networks: Networks
  private let metrics: Metrics
  private let log: Log
  private let cancellation: Cancellation
  private let times = Mutex(Times())
  /// Hears of namespaces that have died; nil if the kernel does not tell.
  private let announcements: Mutex<NotificationSocket?>
  /// ``announcements``' descriptor, -1 without.
  private let announcementDescriptor: Int32

  /// CLOCK_MONOTONIC, when something was looked at without being asked.
  private struct Times {
    var spool: UInt64 = 0
    var sweep: UInt64 = 0
  }

  /// Time for one try.
  private static let tryMilliseconds = 30_000
  /// The spool and networks are looked at so often also when nothing is announced.
  private static let spoolPause: UInt64 = 10_000_000_000
  /// And all namespaces.
  private static let sweepPause: UInt64 = 3_600_000_000_000

  init(
    backlog: Backlog, store: AttachmentStore, spool: Spool, recovery: Recovery,
    spooled: SpooledDeletes, finder: PluginFinder, dispatcher: Dispatcher, orphans: OrphanSweep,
    networks: Networks, metrics: Metrics, log: Log
  ) throws(SystemError) {
    self.backlog = backlog
    self.store = store
    self.spool = spool
    self.recovery = recovery
    self.spooled = spooled
    self.finder = finder
    self.dispatcher = dispatcher
    self.orphans = orphans
    self.networks = networks
    self.metrics = metrics
    self.log = log
    cancellation = try Cancellation()
    var socket: NotificationSocket?
    do throws(NetlinkError) {
      socket = try NotificationSocket(.namespaceIDs)
    } catch {
      log.write(
        .warning, "dead namespaces are found by the hourly look only", [("error", "\(error)")])
    }
    announcementDescriptor = socket?.descriptor.rawValue ?? -1
    announcements = Mutex(socket)
  }

  /// Readable when there is something to do; -1 stands for none.
  var descriptors: [Int32] { [backlog.descriptor, announcementDescriptor] + spool.descriptors }

  /// Lists what a daemon that died has left, and hands it to the dispatcher before any client's
  /// call can be there.
  func recover() {
    for key in store.unfinished() { backlog.add(.finish(key)) }
    lookAround()
  }

  /// Finds what is due, and submits it.
  func lookAround() {
    let now = KernelClock.monotonic
    let isTime = times.withLock { times in
      let spool = times.spool == 0 || now &- times.spool > Self.spoolPause
      let sweep =
        times.sweep == 0 || now &- times.sweep > Self.sweepPause
        || orphans.nextDue.map { times.sweep < $0 && $0 <= now } ?? false
      if spool { times.spool = now }
      if sweep { times.sweep = now }
      return (spool: spool, sweep: sweep)
    }
    if isTime.spool { networks.lookAgain() }
    if isTime.spool || spool.descriptors.contains(where: isReadable) { readSpool() }
    if isTime.sweep { backlog.add(.sweep(namespaceID: nil)) }
    readAnnouncements()
    submitDue()
  }

  private func isReadable(_ descriptor: Int32) -> Bool {
    let now = Deadline.after(milliseconds: 0)
    return descriptor >= 0 && (try? now.wait(descriptor, for: .read, "look")) != nil
  }

  /// Lists the DELs that have come into the spool.
  private func readSpool() {
    for item in spool.scan() {
      backlog.add(
        .spooled(item.name, containerID: item.containerID, ifName: item.ifName),
        stamp: item.entry.stamp.nanoseconds)
    }
  }

  private func readAnnouncements() {
    announcements.withLock { socket in
      do throws(NetlinkError) {
        // Bounded: the rest has its turn after the calls' own affairs.
        for _ in 0..<1024 {
          guard let announced = try socket?.nextIfAny() else { return }
          guard case .namespaceIDRemoved(let id) = announced else { continue }
          backlog.add(.sweep(namespaceID: id))
        }
      } catch {
        // Some were lost.
        backlog.add(.sweep(namespaceID: nil))
      }
    }
  }

  /// Hands what is due to the dispatcher.
  private func submitDue() {
    for due in backlog.takeDue() {
      do throws(CNIError) {
        try submit(due)
      } catch {
        backlog.putBack(due.task)
      }
    }
  }

  /// Changes how long the attachments of dead namespaces stay.
  func setOrphanGrace(seconds: Int) { orphans.setGrace(seconds: seconds) }

  /// Ends what is running; what is left is found again by the next daemon.
  func stop() {
    cancellation.cancel()
    dispatcher.cancelBackground()
  }

  private func submit(_ due: Backlog.Due) throws(CNIError) {
    let work = BackgroundCall(due.task) { [self] progress in perform(due.task, progress) }
    let isSpooled = if case .spooled = due.task { true } else { false }
    try dispatcher.submit(
      Job(
        kind: isSpooled ? .spooled : .background, claim: claim(of: due.task), stamp: due.stamp,
        deadline: .never, work: work))
  }

  private func claim(of task: Backlog.Task) -> Claim {
    switch task {
    case .finish(let key), .undoUnread(let key, _), .removeOrphan(let key): finder.claim(of: key)
    case .spooled(let name, let containerID, let ifName):
      item(name, containerID, ifName).map { spooled.claim(of: $0) } ?? Claim()
    case .sweep: Claim()
    }
  }

  /// Nil if somebody has worked it off meanwhile.
  private func item(_ name: String, _ containerID: String, _ ifName: String) -> Spool.Item? {
    spool.items(containerID: containerID, ifName: ifName).first { $0.name == name }
  }

  /// Does one piece, on a worker's thread; what fails goes back to the list.
  private func perform(_ task: Backlog.Task, _ progress: CallProgress) {
    // A call that came meanwhile may have made it pointless.
    guard backlog.contains(task) else { return }
    let deadline = Deadline.after(
      milliseconds: Self.tryMilliseconds, cancellation: cancellation)
    progress.expectEnd(by: deadline)
    let fields = fields(of: task)
    progress.tellSteps { [log] step in
      let time = Milliseconds(nanoseconds: step.nanoseconds)
      log.write(.debug, "recovery step", fields + [("step", step.name), ("ms", time)])
    }
    defer { metrics.steps(progress.finished) }
    do throws(CNIError) {
      let outcome = try attempt(task, deadline, progress)
      switch outcome {
      case .nothing: backlog.remove(task)
      case .done(let action):
        backlog.remove(task)
        metrics.recovered(action: action.rawValue)
        if action == .orphan { metrics.orphanRemoved() }
        log.write(.info, "recovered", [("action", action.rawValue)] + fields)
      case .postponed(let reason):
        let seconds = backlog.putBack(task)
        log.write(
          .info, "still to be done",
          fields + [("missing", reason), ("again_in_s", seconds)])
      }
    } catch {
      let seconds = backlog.putBack(task)
      log.write(
        .warning, "recovery failed",
        fields + [
          ("code", error.code.rawValue), ("error", "\(error)"), ("again_in_s", seconds),
        ])
    }
  }

  private func attempt(
    _ task: Backlog.Task, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) -> Recovery.Outcome {
    switch task {
    case .finish(let key): return try recovery.finish(key, deadline, progress)
    case .undoUnread(let key, let requestID):
      return try recovery.undoUnread(key, requestID: requestID, deadline, progress)
    case .removeOrphan(let key):
      // If the namespace lives again, the dead one was another's. So is the record.
      guard let record = try store.readable(key), let trace = AttachmentNamespace.Trace(record),
        orphans.isStillDead(trace)
      else { return .nothing }
      return try recovery.remove(record, .orphan, deadline, progress)
    case .spooled(let name, let containerID, let ifName):
      guard let item = item(name, containerID, ifName) else { return .nothing }
      return try spooled.workOff(item, deadline, progress)
    case .sweep(let id):
      sweep(id)
      return .nothing
    }
  }

  /// Lists the attachments whose namespaces have been dead for long enough.
  private func sweep(_ id: Int32?) {
    let now = KernelClock.monotonic
    let traces = store.traces(namespaceID: id)
    if id != nil, traces.isEmpty { return }
    let dead =
      id.map { orphans.ended(namespaceID: $0, traces, now: now) }
      ?? orphans.look(at: traces, now: now)
    for key in dead { backlog.add(.removeOrphan(key)) }
  }

  private func fields(of task: Backlog.Task) -> LogFields {
    switch task {
    case .finish(let key), .undoUnread(let key, _), .removeOrphan(let key):
      [
        ("container", key.containerID), ("ifname", key.ifName), ("network", key.network),
        ("plugin", key.plugin),
      ]
    case .spooled(let name, let containerID, let ifName):
      [("spooled", name), ("container", containerID), ("ifname", ifName)]
    case .sweep: []
    }
  }
}

/// A piece of the backlog in the dispatcher.
private final class BackgroundCall: DispatchedWork {
  let progress = CallProgress()
  private let task: Backlog.Task
  private let body: @Sendable (CallProgress) -> Void

  init(_ task: Backlog.Task, _ body: @escaping @Sendable (CallProgress) -> Void) {
    self.task = task
    self.body = body
  }

  func run() { body(progress) }

  // Nobody waits for it, and it is still on the list.
  func refuse(_ reason: Rejection) {}
}
