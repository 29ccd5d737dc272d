import CNI
import DaemonAPI
import JSON
import Linux
import PluginKit
import Records
import Scheduling

/// Does what a request asks for with the plugin that is responsible, and keeps the records.
///
/// Counterpart of `HandleCNIRequest` in OVN-Kubernetes' cniserver: what it returns goes out without further processing.
struct CommandHandler: Sendable {
  let store: AttachmentStore
  let decoder: RequestDecoder
  let spool: Spool
  let backlog: Backlog
  let log: Log
  var metrics = Metrics()

  var registry: PluginRegistry { decoder.registry }

  /// Time that the undo of a failed ADD has, whatever is left of the ADD's own.
  private static let undoMilliseconds = 10_000

  /// Handles a request.
  ///
  /// - Parameters:
  ///   - decoded: the request.
  ///   - progress: hears of the steps.
  /// - Returns: the result's bytes for ADD and UPDATE, in the configuration's version; nothing for other verbs.
  /// - Throws: what the caller is told.
  func handle(_ decoded: DecodedRequest, _ progress: CallProgress) throws(CNIError) -> [UInt8] {
    var decoded = decoded
    decoded.request.environment[DaemonMark.variable] = store.daemonMark
    let request = decoded.request
    switch request.command {
    case .add:
      try workOffSpool(before: request, progress)
      return try add(try chosen(decoded), decoded, progress)
    case .update:
      let version = try request.configuration.version()
      return try update(decoded, progress).printed(as: version)
    case .delete: try delete(decoded, progress)
    case .check:
      try request.configuration.checkVersion(for: .check)
      let (plugin, record) = try responsible(decoded)
      try check(plugin, request, record, progress)
    case .status:
      try request.configuration.checkVersion(for: .status)
      try status(try chosen(decoded), request, progress)
    case .garbageCollect:
      try request.configuration.checkVersion(for: .garbageCollect)
      try collectGarbage(decoded, progress)
    default:
      throw CNIError(.invalidEnvironment, "unknown cmd type: \(request.command)")
    }
    return []
  }

  // MARK: Who is responsible

  private func chosen(_ decoded: DecodedRequest) throws(CNIError) -> any NetworkPlugin {
    if let plugin = decoded.plugin { return plugin }
    throw decoded.choiceError ?? CNIError(.invalidConfiguration, "no plugin for this network")
  }

  /// The record's plugin; without a record the configuration's.
  private func responsible(
    _ decoded: DecodedRequest
  ) throws(CNIError) -> (any NetworkPlugin, AttachmentRecord?) {
    guard let key = key(of: decoded) else { return (try chosen(decoded), nil) }
    return (try plugin(of: key), store.record(key))
  }

  func plugin(of key: AttachmentKey) throws(CNIError) -> any NetworkPlugin {
    if let plugin = registry.plugin(named: key.plugin) { return plugin }
    throw CNIError(
      .invalidConfiguration, "the attachment \(key) was made by a plugin that this cnid lacks")
  }

  /// The key under which the attachment is recorded; of several plugins' the configuration's choice.
  func key(of decoded: DecodedRequest) -> AttachmentKey? {
    let request = decoded.request
    let keys = store.keys(
      containerID: request.sandboxID, ifName: request.ifName, network: request.configuration.name)
    return keys.first { $0.plugin == decoded.plugin?.name } ?? keys.first
  }

  // MARK: The verbs

  private func add<P: NetworkPlugin>(
    _ plugin: P, _ decoded: DecodedRequest, _ progress: CallProgress
  ) throws(CNIError) -> [UInt8] {
    var request = decoded.request
    let version = try request.configuration.version()
    let key = AttachmentKey(
      network: request.configuration.name, containerID: request.sandboxID, ifName: request.ifName,
      plugin: plugin.name)
    if let old = store.record(key) {
      if let result = try settle(old, for: request) {
        // Its client is here again and gets the result after all.
        backlog.remove(.undoUnread(key, requestID: request.requestID))
        return try result.printed(as: version)
      }
      try undo(plugin, old, progress)
    }
    request.environment[AttachmentMark.variable] = AttachmentMark.value(of: key)
    let draft = AttachmentRecord(
      key: key, configuration: request.configuration.bytes, environment: request.environment,
      origin: decoded.endpoint.origin, requestID: request.requestID, stamp: request.stamp)
    let call = AddCall<P.Step>(request: request, draft: draft, store: store, progress: progress)
    do throws(CNIError) {
      let result = try plugin.add(call)
      // A result that the configuration's version cannot say is a failed ADD.
      let bytes = try result.printed(as: version)
      try progress.check()
      if var record = call.recorded {
        record.phase = .attached
        record.result = result
        try store.write(record)
      }
      return bytes
    } catch {
      progress.fail(error)
      if let record = call.recorded { rollBack(plugin, record, progress) }
      throw error
    }
  }

  /// What an ADD finds already there: its own result when the same call comes again, or what is left to undo.
  ///
  /// - Returns: the result of the call that is repeated; nil if the old attachment is to be undone.
  /// - Throws: code 4 if the attachment is in use.
  private func settle(
    _ old: AttachmentRecord, for request: PodRequest
  ) throws(CNIError) -> CNIResult? {
    guard old.phase == .attached, old.stamp.bootID == request.stamp.bootID else { return nil }
    if !request.requestID.isEmpty, old.requestID == request.requestID { return old.result }
    // Another namespace behind the same container id and interface: the old one is gone.
    if let identity = old.namespace, let cookie = Self.cookie(of: request.netns),
      cookie != identity.cookie
    {
      return nil
    }
    throw CNIError(
      .invalidEnvironment, "the attachment \(old.key) exists already; DEL it before another ADD")
  }

  private static func cookie(of netns: String) -> UInt64? {
    guard let namespace = try? NetworkNamespace(path: netns) else { return nil }
    return try? namespace.cookie()
  }

  /// Undoes a failed ADD; what cannot be undone stays recorded, and is tried again.
  private func rollBack<P: NetworkPlugin>(
    _ plugin: P, _ record: AttachmentRecord, _ progress: CallProgress
  ) {
    // A call that was given up is undone when it has come back.
    if progress.isFenced { return }
    do throws(CNIError) {
      try undo(plugin, record, progress)
    } catch {
      log.write(
        .error, "a failed ADD could not be undone; it is tried again",
        [("attachment", "\(record.key)"), ("error", "\(error)")])
      backlog.add(.finish(record.key), hasFailed: true)
    }
  }

  /// Undoes what an ADD has made that is not wanted any more, whatever is left of the caller's own time.
  private func undo<P: NetworkPlugin>(
    _ plugin: P, _ record: AttachmentRecord, _ progress: CallProgress
  ) throws(CNIError) {
    let deadline = Deadline.after(milliseconds: Self.undoMilliseconds)
    progress.expectEnd(by: deadline)
    try detach(plugin, try removal(of: record, deadline), record, progress)
  }

  /// Has the plugin remove what an attachment's record says, and then forgets the record.
  ///
  /// - Returns: what is still to be done, for which the record stays; nil if nothing is.
  @discardableResult
  func detach<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ record: AttachmentRecord, _ progress: CallProgress
  ) throws(CNIError) -> String? {
    try progress.check()
    var record = record
    record.phase = .deleting
    // A disk that is full or read-only must not stop it, nor make a failure of what was done.
    try? store.beginDeleting(record.key)
    let call = PluginCall<P.Step>(
      plugin: plugin.name, request: request, record: record, progress: progress)
    try plugin.delete(call)
    let missing =
      call.postponed
      ?? (progress.mustKeepRecord ? "an earlier call of the attachment hangs" : nil)
    if let missing {
      log.write(
        .info, "still to be done", [("attachment", "\(record.key)"), ("missing", missing)])
      backlog.add(.finish(record.key), hasFailed: true)
      return missing
    }
    do throws(CNIError) {
      try store.remove(record.key)
    } catch {
      log.write(
        .error, "the record of a removed attachment stays", [("error", "\(error)")])
    }
    return nil
  }

  private func delete(_ decoded: DecodedRequest, _ progress: CallProgress) throws(CNIError) {
    let (plugin, record) = try responsible(decoded)
    try delete(plugin, decoded.request, record, progress)
  }

  private func delete<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ record: AttachmentRecord?, _ progress: CallProgress
  ) throws(CNIError) {
    var request = request
    guard let record else {
      let key = AttachmentKey(
        network: request.configuration.name, containerID: request.sandboxID,
        ifName: request.ifName, plugin: plugin.name)
      request.environment[AttachmentMark.variable] = AttachmentMark.value(of: key)
      return try plugin.delete(
        PluginCall(plugin: plugin.name, request: request, record: nil, progress: progress))
    }
    request.environment[AttachmentMark.variable] = AttachmentMark.value(of: record.key)
    // A DEL that began before the attachment's ADD means an older one.
    if request.stamp.isOlder(than: record.stamp) == true { return }
    try detach(plugin, try recorded(request, record), record, progress)
  }

  private func check<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ record: AttachmentRecord?, _ progress: CallProgress
  ) throws(CNIError) {
    let request = if let record { try recorded(request, record) } else { request }
    try plugin.check(
      PluginCall(plugin: plugin.name, request: request, record: record, progress: progress))
  }

  private func status<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ progress: CallProgress
  ) throws(CNIError) {
    try plugin.status(
      PluginCall(plugin: plugin.name, request: request, record: nil, progress: progress))
  }

  private func update(
    _ decoded: DecodedRequest, _ progress: CallProgress
  ) throws(CNIError) -> CNIResult {
    let (plugin, record) = try responsible(decoded)
    return try update(plugin, decoded.request, record, progress)
  }

  private func update<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ record: AttachmentRecord?, _ progress: CallProgress
  ) throws(CNIError) -> CNIResult {
    let result = try plugin.update(
      PluginCall(plugin: plugin.name, request: request, record: record, progress: progress))
    // Others may have removed the attachment meanwhile: no record must come back.
    try progress.check()
    if var record {
      record.configuration = request.configuration.bytes
      record.result = result
      try store.write(record)
    }
    return result
  }

  private func collectGarbage(
    _ decoded: DecodedRequest, _ progress: CallProgress
  ) throws(CNIError) {
    var request = decoded.request
    var valid = try request.configuration.validAttachments()
    let plugin = try chosen(decoded)
    var errors: [CNIError] = []
    for key in store.keys(network: request.configuration.name) {
      guard let record = store.record(key), !isValid(record, valid) else { continue }
      do throws(CNIError) {
        try removeInvalid(record, request, progress)
        metrics.garbageRemoved(plugin: key.plugin)
      } catch {
        errors.append(error)
      }
    }
    do throws(CNIError) {
      // What still has a record is not the plugin's to sweep, whether the runtime knows of it or not.
      for key in store.keys(network: request.configuration.name) {
        let kept = NetworkConfiguration.Attachment(containerID: key.containerID, ifName: key.ifName)
        if !valid.contains(kept) { valid.append(kept) }
      }
      request.configuration = try request.configuration.listing(valid)
      try collect(plugin, request, valid, progress)
    } catch {
      errors.append(error)
    }
    guard let first = errors.first else { return }
    throw CNIError(
      first.code, errors.map(\.message).joined(separator: "; "),
      details: errors.map(\.details).filter { !$0.isEmpty }.joined(separator: "; "))
  }

  /// Hot-plugged attachments stay as long as any interface of their container is listed.
  private func isValid(
    _ record: AttachmentRecord, _ valid: [NetworkConfiguration.Attachment]
  ) -> Bool {
    valid.contains { entry in
      entry.containerID == record.key.containerID
        && (entry.ifName == record.key.ifName
          || record.origin == Endpoint.delegate.origin)
    }
  }

  private func removeInvalid(
    _ record: AttachmentRecord, _ request: PodRequest, _ progress: CallProgress
  ) throws(CNIError) {
    var removal = try removal(of: record, request.deadline)
    // An attachment that is younger than the GC is not meant.
    removal.stamp = request.stamp
    try delete(try plugin(of: record.key), removal, record, progress)
  }

  private func collect<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ valid: [NetworkConfiguration.Attachment],
    _ progress: CallProgress
  ) throws(CNIError) {
    try plugin.garbageCollect(
      PluginCall(plugin: plugin.name, request: request, record: nil, progress: progress),
      valid: valid)
  }

  /// The request with the configuration that the ADD worked with; the caller's `prevResult` stays.
  private func recorded(
    _ request: PodRequest, _ record: AttachmentRecord
  ) throws(CNIError) -> PodRequest {
    var request = request
    var configuration = try NetworkConfiguration(record.configuration)
    if let previous = request.configuration.previous {
      configuration = try configuration.replacing([("prevResult", .object(previous))])
    }
    request.configuration = configuration
    return request
  }
}

extension NetworkConfiguration {
  /// The configuration of a GC with a list of valid attachments, under both keys.
  fileprivate func listing(_ valid: [Attachment]) throws(CNIError) -> NetworkConfiguration {
    if try validAttachments() == valid { return self }
    let list = JSONValue.array(
      valid.map { entry in
        ["containerID": .string(entry.containerID), "ifname": .string(entry.ifName)]
      })
    return try replacing([("cni.dev/valid-attachments", list), ("cni.dev/attachments", list)])
  }
}
