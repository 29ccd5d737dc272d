import CNI
import DaemonAPI
import Linux
import Netlink
import PluginKit
import Records
import Scheduling

/// Does what is asked for one attachment, and keeps its record.
///
/// Whoever asks has found the plugin, read the request and looked up the record. Nothing here knows
/// of endpoints, clients or verbs' versions.
struct Attachments: Sendable {
  let host: PluginHost
  let store: AttachmentStore
  let detacher: Detacher
  let backlog: Backlog
  let remarks: NetworkRemarks
  let log: Log

  /// Time that the undo of a failed ADD has, whatever is left of the ADD's own.
  private static let undoMilliseconds = 10_000
  /// And for each program that it runs besides, up to the most.
  private static let undoOfProgram = 5_000
  private static let mostUndoMilliseconds = 30_000

  /// Attaches, or finds the result if the same call is repeated.
  ///
  /// - Parameters:
  ///   - plugin: what attaches.
  ///   - request: the ADD.
  ///   - origin: where the call came in, for the record.
  ///   - seat: where the attachment stands in a set, if it does.
  ///   - progress: the call's.
  /// - Returns: the result, and its bytes in the configuration's version.
  /// - Throws: why it could not; what was created by then is undone, or listed to be.
  func attach<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, origin: String, seat: Seat? = nil, _ progress: CallProgress
  ) throws(CNIError) -> (result: CNIResult, bytes: [UInt8]) {
    let version = try request.configuration.version()
    remarks.look(at: request.configuration, of: plugin)
    let key = AttachmentKey(request, plugin: plugin.name, place: seat?.place ?? "")
    var left = ""
    if let old = try store.readable(key) {
      // What is there of a part is the rest of an older set: the set itself was not attached.
      if key.place.isEmpty, let result = try settle(old, for: request, origin) {
        return (result, try result.printed(as: version))
      }
      left = try undoOrPutAside(old, progress)
      // The undo had a time of its own.
      progress.expectEnd(by: request.deadline)
    }
    try putAsideOthers(than: key, in: seat?.set)
    let request = request.marked(with: key, store.daemonMark)
    var draft = AttachmentRecord(
      key: key, configuration: request.configuration.bytes, environment: request.environment,
      origin: origin, requestID: request.requestID, stamp: request.stamp)
    draft.callerBootID = request.callerBootID
    draft.parent = seat?.set
    let call = AddCall<P.Step>(
      host: host.logging(log, request), request: request, draft: draft, store: store,
      progress: progress, parts: self)
    do throws(CNIError) {
      let result = try plugin.add(call)
      // A result that the configuration's version cannot say is a failed ADD.
      let bytes = try result.printed(as: version)
      try progress.check()
      if var record = call.recorded {
        record.phase = .attached
        record.result = result
        try store.write(record)
        KillPoint.reached("\(plugin.name).attached")
      }
      return (result, bytes)
    } catch {
      let error = progress.supersession ?? error
      progress.fail(error)
      if let record = call.recorded { rollBack(record, progress) }
      if left.isEmpty { throw error }
      throw CNIError(
        error.code, error.message,
        details: error.details.isEmpty ? left : "\(error.details); \(left)")
    }
  }

  /// Detaches; without a record the plugin removes what it finds by its marks.
  func detach<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ record: AttachmentRecord?, place: String = "",
    _ progress: CallProgress
  ) throws(CNIError) {
    let key = record?.key ?? AttachmentKey(request, plugin: plugin.name, place: place)
    let request = request.marked(with: key, store.daemonMark)
    guard let record else {
      if let newer = newerAttachment(than: request, key) {
        return log.write(
          .warning, "a DEL is older than what is attached to its interface, and touches nothing",
          [("attachment", "\(key)"), ("newer", "\(newer)")])
      }
      return try detacher.detach(plugin, request, key, progress)
    }
    // A DEL that began before the attachment's ADD means an older one.
    if request.stamp.isOlder(than: record.stamp) == true { return }
    try detacher.detach(plugin, try request.recorded(in: record), record, progress)
  }

  /// Another network's attachment of the same interface that began after a DEL, and stays.
  ///
  /// The marks do not name the network, so the DEL would take what is not meant.
  private func newerAttachment(
    than request: PodRequest, _ key: AttachmentKey
  ) -> AttachmentKey? {
    store.others(than: key).first { other in
      store.summary(of: other).map {
        $0.phase != .deleting && request.stamp.isOlder(than: $0.stamp) == true
      } ?? false
    }
  }

  /// A DEL of what no ADD can have made: nothing of ours is there.
  ///
  /// - Parameters:
  ///   - decoded: the DEL.
  ///   - reason: why; nil for what ``PluginFinder/responsibleForDelete(_:)`` has found.
  func passOver(_ decoded: DecodedRequest, _ reason: String? = nil) {
    let request = decoded.request
    let unserved =
      decoded.fault == nil
      ? "no plugin serves the network" : "the network's configuration cannot be read"
    let reason = reason ?? "there is no record, and \(unserved)"
    log.write(
      .warning, "DEL has nothing to remove: \(reason)",
      [
        ("container", request.sandboxID), ("ifname", request.ifName),
        ("network", request.configuration.name),
        ("error", (decoded.fault ?? decoded.choiceError).map { "\($0)" } ?? ""),
      ])
  }

  /// Finds out whether the attachment is as its ADD left it.
  func check<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ record: AttachmentRecord?, _ progress: CallProgress
  ) throws(CNIError) {
    let recorded = if let record { try request.recorded(in: record) } else { request }
    let request = recorded.marked(with: nil, store.daemonMark)
    try plugin.check(call(plugin, request, record, progress))
  }

  /// Brings the attachment in line with a new configuration.
  func update<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ record: AttachmentRecord?, _ progress: CallProgress
  ) throws(CNIError) -> CNIResult {
    remarks.look(at: request.configuration, of: plugin)
    if let record { try refuseIfSuperseded(record) }
    let request = request.marked(with: nil, store.daemonMark)
    let result = try plugin.update(call(plugin, request, record, progress))
    // Others may have removed the attachment meanwhile: no record must come back.
    try progress.check()
    if var record {
      record.configuration = request.configuration.bytes
      record.result = result
      try store.write(record)
    }
    return result
  }

  /// - Throws: code 11 if a newer sandbox has the attachment's names: what it works on is not its
  ///   own any more.
  private func refuseIfSuperseded(_ record: AttachmentRecord) throws(CNIError) {
    for name in record.names {
      guard let holder = store.holder(of: name), holder.key != record.key else { continue }
      throw .superseded(by: holder.key.containerID, [name])
    }
  }

  /// Asks whether an ADD could work now.
  func status<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ progress: CallProgress
  ) throws(CNIError) {
    let request = request.marked(with: nil, store.daemonMark)
    try plugin.status(call(plugin, request, nil, progress))
  }

  /// Has the plugin sweep what belongs to none of the valid attachments.
  ///
  /// - Returns: what it kept because it is a living pod's.
  func collect<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, valid: [NetworkConfiguration.Attachment],
    _ progress: CallProgress
  ) throws(CNIError) -> [String] {
    var request = request.marked(with: nil, store.daemonMark)
    request.configuration = try request.configuration.listing(valid)
    let call = call(plugin, request, nil, progress)
    try plugin.garbageCollect(call, valid: valid)
    return call.kept
  }

  private func call<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ record: AttachmentRecord?, _ progress: CallProgress
  ) -> PluginCall<P.Step> {
    PluginCall(
      host: host.logging(log, request), plugin: plugin.name, request: request, record: record,
      progress: progress, parts: self)
  }

  // MARK: What an ADD finds, and what it leaves

  /// What an ADD finds already there: its own result if the same call is repeated, or what
  /// is left to undo.
  ///
  /// A client of `/delegate` adds what it does not find in a pod's status, which may be late; and
  /// what fails it removes.
  ///
  /// - Returns: the result of the call that is repeated; nil if the old attachment must be undone.
  /// - Throws: code 4 if the attachment is in use.
  private func settle(
    _ old: AttachmentRecord, for request: PodRequest, _ origin: String
  ) throws(CNIError) -> CNIResult? {
    guard old.phase == .attached, old.stamp.bootID == request.stamp.bootID else { return nil }
    if !request.requestID.isEmpty, old.requestID == request.requestID { return old.result }
    // Another namespace behind the same container id and interface: the old one is gone.
    if let identity = old.namespace, let cookie = Self.cookie(of: request.netns),
      cookie != identity.cookie
    {
      return nil
    }
    if origin == Endpoint.delegate.origin { return old.result }
    throw CNIError(
      .invalidEnvironment, "the attachment \(old.key) exists already; DEL it before another ADD")
  }

  private static func cookie(of netns: String) -> UInt64? {
    guard let namespace = try? NetworkNamespace(path: netns) else { return nil }
    return try? namespace.cookie()
  }

  /// Undoes a failed ADD; what cannot be undone stays recorded, and is tried again.
  private func rollBack(_ record: AttachmentRecord, _ progress: CallProgress) {
    // An abandoned call is undone when it has returned.
    if progress.isFenced { return }
    // What is settled already must not be undone by the next cnid either.
    if ((try? store.readable(record.key)) ?? nil)?.plan != record.plan { try? store.write(record) }
    do throws(CNIError) {
      try undo(record, progress)
    } catch {
      log.write(
        .error, "a failed ADD could not be undone; it is tried again",
        record.logFields + [("error", "\(error)")])
      backlog.add(.finish(record.key), hasFailed: true)
    }
  }

  /// Undoes what an earlier ADD has left; what cannot be undone is put aside, as the new one may
  /// not need what the old one needs.
  ///
  /// - Returns: what is left, in words; empty if nothing is.
  private func undoOrPutAside(
    _ old: AttachmentRecord, _ progress: CallProgress
  ) throws(CNIError) -> String {
    let failure: CNIError
    do throws(CNIError) {
      try undo(old, progress)
      return ""
    } catch {
      failure = error
    }
    try progress.check()
    let key = try store.putAside(old)
    let text = "left from an earlier ADD: \(failure)"
    log.write(
      .warning, text,
      [
        ("attachment", "\(key)"), ("tried_again", "after the DEL"),
        ("remove_to_forget", store.file(of: key)),
      ])
    backlog.add(.finish(key), hasFailed: true)
    return text
  }

  /// Puts aside what is still to be undone of other networks' attachments of this interface.
  ///
  /// They have the same marks, so their undo would take what the new one is about to make. The new
  /// one's DEL comes back to them. The set that the new one belongs to is no such attachment.
  private func putAsideOthers(
    than key: AttachmentKey, in set: AttachmentKey?
  ) throws(CNIError) {
    for other in store.others(than: key) where other != set {
      guard let record = try store.readable(other), store.isUnfinished(record) else { continue }
      let aside = try store.putAside(record)
      log.write(
        .warning, "still to be done when the new attachment of this interface is gone",
        [("attachment", "\(record.key)"), ("new", "\(key)"), ("record", store.file(of: aside))])
    }
  }

  /// Undoes what an ADD has made that is not wanted any more, whatever is left of the caller's own
  /// time.
  private func undo(
    _ record: AttachmentRecord, _ progress: CallProgress
  ) throws(CNIError) {
    let programs = record.executedParts
    let time = min(
      Self.mostUndoMilliseconds, Self.undoMilliseconds + min(programs, 64) * Self.undoOfProgram)
    let deadline = Deadline.after(milliseconds: time)
    progress.expectEnd(by: deadline)
    try detacher.detach(record, deadline, progress)
  }
}
