public import CNI
import Linux

/// An ADD before its plan is recorded: there is nothing on it that could change anything.
public final class AddCall<Step: PluginStep>: Sendable {
  /// What the daemon offers.
  public let host: PluginHost
  /// What is asked for.
  public let request: PodRequest
  /// The parts of the set that is attached, for the plugin that serves sets.
  package let parts: Parts?
  private let draft: AttachmentRecord
  private let store: any AttachmentRecording
  private let progress: CallProgress
  private let written: Recorded
  private let names = Mutex<Set<OutsideName>>([])

  /// Creates the call; the daemon does.
  package init(
    host: PluginHost, request: PodRequest, draft: AttachmentRecord,
    store: any AttachmentRecording, progress: CallProgress, parts: (any PartService)? = nil
  ) {
    self.host = host
    self.request = request
    self.parts = parts.map { Parts($0, of: draft.key, origin: draft.origin, progress) }
    self.draft = draft
    self.store = store
    self.progress = progress
    self.written = Recorded()
  }

  /// Takes names outside of the kernel that only one attachment at a time can have; called before
  /// ``record(plan:namespace:)``, and once.
  ///
  /// The newest ADD has a name, whatever the order of arrival. An older one that still runs with it
  /// is ended and waited for; an older attachment loses it.
  ///
  /// - Returns: the records of attachments whose DEL has begun, but has not yet been heard by all
  ///   who know the name.
  /// - Throws: code 11 if a newer ADD has one of them.
  @discardableResult
  public func claim(_ names: Set<OutsideName>) throws(CNIError) -> [AttachmentRecord] {
    if names.isEmpty { return [] }
    try refuseIfSuperseded(names)
    try progress.take(Set(names.map(\.lock)), request.deadline) { rival in
      // It is named as in a claim, by one of its attachments.
      .superseded(by: String(rival.prefix { $0 != "/" }), names)
    }
    try refuseIfSuperseded(names)
    for name in names.sorted(by: OutsideName.isBefore) {
      guard let holder = store.holder(of: name), holder.isAttached else { continue }
      host.log(
        .warning,
        "\(name) goes from sandbox \(holder.key.containerID) to the newer \(request.sandboxID)")
    }
    self.names.withLock { $0 = names }
    var owed: [AttachmentRecord] = []
    for name in names { owed += try store.releasing(name) }
    return owed
  }

  private func refuseIfSuperseded(_ names: Set<OutsideName>) throws(CNIError) {
    for name in names {
      guard let holder = store.holder(of: name), request.stamp.isOlder(than: holder.stamp) == true
      else { continue }
      throw .superseded(by: holder.key.containerID, [name])
    }
  }

  /// Writes the record with everything that the ADD is going to make, and opens the journal.
  ///
  /// If the ADD fails afterwards the daemon calls the plugin's `delete` with this record, so a plan
  /// names each resource in such a way that `delete` can tell whether what it finds is really the
  /// attachment's.
  ///
  /// - Parameters:
  ///   - plan: what the ADD creates, in order.
  ///   - namespace: where, if it is in a namespace.
  /// - Returns: the journal for the effects.
  /// - Throws: code 5 if the record cannot be written, 105 if the call was abandoned.
  public func record(
    plan: [PlannedResource], namespace: NamespaceIdentity?
  ) throws(CNIError) -> Journal<Step> {
    var record = draft
    record.plan = plan
    record.namespace = namespace
    record.names = names.withLock { $0 }
    try progress.check()
    try store.write(record)
    written.set(record)
    KillPoint.reached("\(draft.key.plugin).record")
    return Journal(
      plugin: draft.key.plugin, progress: progress, deadline: request.deadline, recorded: written)
  }

  /// Runs a body that may wait long for somebody outside.
  ///
  /// Another call has this call's place meanwhile.
  public func waiting<T: ~Copyable>(_ body: () throws(CNIError) -> T) throws(CNIError) -> T {
    try progress.waiting(body)
  }

  /// As ``PluginCall/whileAlone(_:_:)``.
  public func whileAlone<T: ~Copyable>(
    _ lock: String, _ body: () throws(CNIError) -> T
  ) throws(CNIError) -> T {
    try progress.whileAlone(lock, request.deadline, body)
  }

  /// The record that was written, nil before.
  public var recorded: AttachmentRecord? { written.get() }

  /// Keeps the networks' results in the record of a set, which is written once more when the ADD
  /// has ended well.
  package func remember(_ results: [CNIResult]) {
    written.change { $0.networkResults = results }
  }
}

/// A call of any other verb.
public final class PluginCall<Step: PluginStep>: Sendable {
  /// What the daemon offers.
  public let host: PluginHost
  /// What is asked for.
  public let request: PodRequest
  /// What ADD wrote; nil if the attachment has no record, or for STATUS and GC.
  public let record: AttachmentRecord?
  /// Runs the effects: what these verbs remove or change is in the record, or found by its marks.
  public let journal: Journal<Step>
  /// The parts of the set that the call is about, for the plugin that serves sets.
  package let parts: Parts?
  private let progress: CallProgress
  private let reason = Mutex<String?>(nil)
  private let spared = Mutex<[String]>([])

  /// Creates the call; the daemon does.
  public convenience init(
    host: PluginHost, plugin: String, request: PodRequest, record: AttachmentRecord?,
    progress: CallProgress
  ) {
    self.init(
      host: host, plugin: plugin, request: request, record: record, progress: progress, parts: nil)
  }

  /// The same with what serves the parts of a set.
  package init(
    host: PluginHost, plugin: String, request: PodRequest, record: AttachmentRecord?,
    progress: CallProgress, parts: (any PartService)?
  ) {
    let key =
      record?.key
      ?? AttachmentKey(
        network: request.configuration.name, containerID: request.sandboxID,
        ifName: request.ifName, plugin: plugin)
    self.parts = parts.map { Parts($0, of: key, origin: record?.origin ?? "", progress) }
    self.host = host
    self.request = request
    self.record = record
    self.progress = progress
    self.journal = Journal(plugin: plugin, progress: progress, deadline: request.deadline)
  }

  /// Runs a body that may wait long for somebody outside.
  ///
  /// Another call has this call's place meanwhile.
  public func waiting<T: ~Copyable>(_ body: () throws(CNIError) -> T) throws(CNIError) -> T {
    try progress.waiting(body)
  }

  /// Runs a body while no other call has a lock, in the sense of ``NetworkPlugin/lock(for:)``;
  /// waits for those that have it.
  ///
  /// It is for what concerns no call's own attachment for long, such as pod after pod in GC. The
  /// body asks for no other lock, so two calls cannot wait for each other. A call that has the lock
  /// already just goes on.
  ///
  /// - Parameters:
  ///   - lock: the lock.
  ///   - body: what is done.
  /// - Returns: what the body returns.
  /// - Throws: code 105 if the deadline passes first; else the body's error.
  public func whileAlone<T: ~Copyable>(
    _ lock: String, _ body: () throws(CNIError) -> T
  ) throws(CNIError) -> T {
    try progress.whileAlone(lock, request.deadline, body)
  }

  /// Says, in a `delete`, that the pod is detached but a backend is down that has to forget
  /// something too.
  ///
  /// The DEL then succeeds, the record stays in phase `deleting`, and the daemon calls `delete`
  /// again, with back-off, until it ends without this. Without a record the daemon writes one, and
  /// calls again without it: a later call knows no more than this one.
  ///
  /// - Parameter reason: what is missing, for the log: `OVSDB is not reachable`.
  public func postpone(_ reason: String) { self.reason.withLock { $0 = reason } }

  /// Whether a GC takes what its list does not name also from pods that live (`gcLiving`).
  public var collectsLiving: Bool { (try? request.configuration.collectsLiving()) == true }

  /// Says, in a `garbageCollect`, what no entry lists and is kept because its pod lives.
  ///
  /// - Parameter what: for the log: `port veth1 of container 0a1b`.
  public func spare(_ what: String) { spared.withLock { $0.append(what) } }

  /// What was kept because its pod lives.
  public var kept: [String] { spared.withLock { $0 } }

  /// Why something is still to be done; nil if nothing is.
  public var postponed: String? { reason.withLock { $0 } }
}
