import CNI
import DaemonAPI
import Linux
import PluginKit
import Records
import Scheduling

/// What is done without a client: the same removals, by record.
extension CommandHandler {
  /// What has come of a piece of the backlog.
  enum Recovery: Equatable {
    /// There was nothing to do, or not any more.
    case nothing
    case done(Action)
    /// Something is missing; the record stays.
    case postponed(String)
  }

  /// What was done; the label of `cnid_recovered_total`.
  enum Action: String, CaseIterable {
    /// An ADD that had not ended was undone.
    case rolledBack = "rolled_back"
    /// A DEL that had begun was brought to its end.
    case deleted
    /// What the last boot had left was removed.
    case rebooted
    /// An ADD was undone whose result nobody got.
    case unread
    /// An attachment was removed whose namespace had died.
    case orphan
    /// A DEL that had found no daemon was done.
    case spooled
  }

  /// Whether something has to be done about a record without being asked.
  func isUnfinished(_ record: AttachmentRecord) -> Bool {
    record.phase != .attached || store.isOfAnotherBoot(record)
  }

  /// The unfinished attachments that a call is about.
  func unfinished(of request: PodRequest) -> [AttachmentKey] {
    let keys = store.keys(
      containerID: request.sandboxID, ifName: request.ifName, network: request.configuration.name)
    return keys.filter { key in store.record(key).map { $0.phase != .attached } ?? false }
  }

  /// What the plugin of a recorded attachment must not do twice at a time.
  func lock(ofRecorded key: AttachmentKey) -> String? {
    guard let plugin = registry.plugin(named: key.plugin), let record = store.record(key),
      let request = try? removal(of: record, .never)
    else { return nil }
    return plugin.lock(for: request)
  }

  /// What a call must not run beside.
  func claim(of decoded: DecodedRequest) -> Claim {
    let request = decoded.request
    let name = request.configuration.name
    if request.command == .garbageCollect { return Claim(aloneIn: [name]) }
    if request.command.isForNode { return Claim(networks: [name]) }
    return Claim(
      attachments: [Claim.attachment(request.sandboxID, request.ifName)],
      locks: lock(of: decoded).map { [$0] } ?? [], networks: [name])
  }

  /// The same for a call; of a DEL that does not name its pod the record does.
  func lock(of decoded: DecodedRequest) -> String? {
    // A record is a file, and reading a damaged one sets it aside: it is not looked at without need.
    guard let own = decoded.lock, decoded.request.podName.isEmpty, let key = key(of: decoded)
    else { return decoded.lock }
    return lock(ofRecorded: key) ?? own
  }

  /// The same for a spooled DEL; nil for an entry that cannot be done.
  func lock(ofSpooled item: Spool.Item) -> String? {
    (try? decoded(item.entry)).flatMap { lock(of: $0) }
  }

  /// A DEL of a recorded attachment as its own runtime would give it.
  func removal(
    of record: AttachmentRecord, _ deadline: Deadline
  ) throws(CNIError) -> PodRequest {
    let arguments = CNIArguments(readable: record.environment["CNI_ARGS"])
    var environment = record.environment
    environment["CNI_COMMAND"] = CNICommand.delete.rawValue
    environment[AttachmentMark.variable] = AttachmentMark.value(of: record.key)
    environment[DaemonMark.variable] = store.daemonMark
    // What the path leads to in this boot is another's.
    if store.isOfAnotherBoot(record) { environment["CNI_NETNS"] = "" }
    return PodRequest(
      command: .delete, podNamespace: arguments["K8S_POD_NAMESPACE"] ?? "",
      podName: arguments["K8S_POD_NAME"] ?? "", podUID: arguments["K8S_POD_UID"] ?? "",
      sandboxID: record.key.containerID, netns: environment["CNI_NETNS", default: ""],
      ifName: record.key.ifName, arguments: arguments,
      configuration: try NetworkConfiguration(record.configuration),
      searchPath: decoder.searchPath(environment), environment: environment,
      requestID: record.requestID, stamp: record.stamp, deadline: deadline)
  }

  // MARK: Pieces of the backlog

  /// Undoes an ADD, or brings a DEL to its end, that the record shows to be half done.
  func finish(
    _ key: AttachmentKey, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) -> Recovery {
    guard let record = store.record(key), isUnfinished(record) else { return .nothing }
    let action: Action =
      store.isOfAnotherBoot(record) ? .rebooted : record.phase == .adding ? .rolledBack : .deleted
    return try remove(record, action, deadline, progress)
  }

  /// Undoes the ADD of a request, unless another one has made the attachment since.
  func undoUnread(
    _ key: AttachmentKey, requestID: String, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) -> Recovery {
    guard let record = store.record(key), record.requestID == requestID else { return .nothing }
    return try remove(record, .unread, deadline, progress)
  }

  /// Removes an attachment by its record, and what a dead daemon's programs may still make of it.
  func remove(
    _ record: AttachmentRecord, _ action: Action, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) -> Recovery {
    // A program of the dead daemon could still make something after it was removed here.
    if action != .rebooted { try endPrograms(of: record.key, deadline) }
    let plugin = try plugin(of: record.key)
    let missing = try detach(plugin, try removal(of: record, deadline), record, progress)
    return missing.map { .postponed($0) } ?? .done(action)
  }

  private func endPrograms(
    of key: AttachmentKey, _ deadline: Deadline
  ) throws(CNIError) {
    let line = "\(AttachmentMark.variable)=\(AttachmentMark.value(of: key))"
    let count = try mapped(.ioFailure, "cannot end the programs of \(key)") {
      () throws(SystemError) in
      try Processes.kill(withEnvironment: line, deadline: deadline)
    }
    if count > 0 {
      log.write(
        .warning, "programs that a call had left running were killed",
        [("attachment", "\(key)"), ("count", "\(count)")])
    }
  }

  // MARK: The spool

  /// Does a DEL that found no daemon.
  ///
  /// One that can never be done, because the entry itself is wrong, is set aside.
  func workOff(
    _ item: Spool.Item, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) -> Recovery {
    let isDone: Bool
    do throws(CNIError) {
      isDone = try deleteSpooled(item, deadline, progress)
    } catch {
      switch error.code {
      case .invalidEnvironment, .invalidConfiguration, .decodingFailure, .incompatibleVersion:
        spool.setAside(item, reason: "\(error)")
        return .nothing
      default: throw error
      }
    }
    spool.remove(item)
    return isDone ? .done(.spooled) : .nothing
  }

  /// - Returns: whether it meant something that is there.
  private func deleteSpooled(
    _ item: Spool.Item, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) -> Bool {
    let entry = item.entry
    var decoded = try decoded(entry)
    guard decoded.request.command == .delete else {
      throw CNIError(
        .invalidEnvironment, "only DEL is spooled, not \(decoded.request.command.rawValue)")
    }
    decoded.request.deadline = deadline
    // What this boot made cannot have been meant before it.
    if store.isOfAnotherBoot(entry.stamp) {
      let keys = store.keys(
        containerID: item.containerID, ifName: item.ifName,
        network: decoded.request.configuration.name)
      let isNew = keys.contains { key in
        store.record(key).map { !store.isOfAnotherBoot($0) } ?? false
      }
      if isNew { return false }
    }
    _ = try handle(decoded, progress)
    return true
  }

  private func decoded(_ entry: SpoolEntry) throws(CNIError) -> DecodedRequest {
    try decoder.decode(
      entry.request, RequestHeaders(requestID: entry.requestID, stamp: entry.stamp), .cni)
  }

  /// Does the spooled DELs of an attachment that are older than an ADD of it.
  func workOffSpool(
    before request: PodRequest, _ progress: CallProgress
  ) throws(CNIError) {
    for item in spool.items(containerID: request.sandboxID, ifName: request.ifName)
    where item.entry.stamp.isOlder(than: request.stamp) != false {
      _ = try workOff(item, request.deadline, progress)
    }
  }
}
