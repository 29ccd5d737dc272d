import CNI
import DaemonAPI
import JSON
import Linux
import PluginKit
import Records
import Scheduling

/// Removes recorded attachments: the one place where a record goes.
struct Detacher: Sendable {
  let finder: PluginFinder
  let store: AttachmentStore
  let settings: ConfigurationHolder
  let backlog: Backlog
  let programs: OldPrograms
  let remarks: NetworkRemarks
  let log: Log

  /// Has the plugin remove what an attachment's record says, and then forgets the record.
  ///
  /// - Parameters:
  ///   - plugin: the record's.
  ///   - request: a DEL with the ADD's configuration.
  ///   - record: the attachment's.
  ///   - isAlone: whether what goes with it is somebody else's matter.
  ///   - progress: the call's.
  /// - Returns: what is still to be done, for which the record stays; nil if nothing is.
  /// - Throws: the plugin's error; the record then stays as that of a DEL that has begun.
  @discardableResult
  func detach<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ record: AttachmentRecord, isAlone: Bool = false,
    _ progress: CallProgress
  ) throws(CNIError) -> String? {
    // A program of a dead daemon could still make something after it was removed here.
    if !store.isOfAnotherBoot(record) { try programs.wait(for: record, request.deadline, progress) }
    try progress.check()
    var record = record
    record.phase = .deleting
    // A disk that is full or read-only must not stop it, nor make a failure of what was done.
    try? store.beginDeleting(record.key)
    let failures =
      isAlone ? [] : detachFollowers(of: record.key, request.deadline, progress)
    let call = call(plugin, request, record.isOfDelete ? nil : record, progress)
    try plugin.delete(call)
    if let failure = CNIError(joining: failures) { throw failure }
    let missing =
      call.postponed
      ?? (progress.mustKeepRecord ? "an earlier call of the attachment hangs" : nil)
    if let missing {
      log.write(
        .info, "still to be done", record.logFields + [("missing", missing)])
      backlog.add(.finish(record.key), hasFailed: true)
      return missing
    }
    do throws(CNIError) {
      try store.remove(record.key)
      if !record.key.isLeftover { retryLeftovers(of: record.key) }
    } catch {
      log.write(
        .error, "the record of a removed attachment stays",
        record.logFields + [("error", "\(error)")])
    }
    return nil
  }

  private func retryLeftovers(of key: AttachmentKey) {
    for left in store.leftovers(of: key).keys { backlog.add(.finish(left)) }
  }

  /// Has the plugin remove a part of what a record says; the record itself is the caller's matter.
  func detach<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, only part: AttachmentRecord, _ progress: CallProgress
  ) throws(CNIError) {
    if !store.isOfAnotherBoot(part) { try programs.wait(for: part, request.deadline, progress) }
    try progress.check()
    try plugin.delete(call(plugin, request, part, progress))
  }

  /// Has the plugin remove what it finds by its marks, where there is no record.
  ///
  /// What is still to be done then gets one.
  func detach<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ key: AttachmentKey, _ progress: CallProgress
  ) throws(CNIError) {
    let failures = detachFollowers(of: key, request.deadline, progress)
    let call = call(plugin, request, nil, progress)
    try plugin.delete(call)
    retryLeftovers(of: key)
    if let missing = call.postponed { try recordPostponed(key, request, missing, progress) }
    if let failure = CNIError(joining: failures) { throw failure }
  }

  /// Keeps a DEL that found no record and is still to be done.
  private func recordPostponed(
    _ key: AttachmentKey, _ request: PodRequest, _ missing: String, _ progress: CallProgress
  ) throws(CNIError) {
    var record = AttachmentRecord(
      key: key, configuration: request.configuration.bytes, environment: request.environment,
      origin: Endpoint.cni.origin, requestID: request.requestID, stamp: request.stamp)
    record.phase = .deleting
    record.isOfDelete = true
    do throws(CNIError) {
      try progress.check()
      try store.write(record)
    } catch {
      throw CNIError(
        .tryAgainLater, "\(missing); and that this is still to be done cannot be recorded",
        details: "\(error)")
    }
    log.write(
      .warning, "still to be done", [("attachment", "\(key)"), ("missing", missing)])
    backlog.add(.finish(key), hasFailed: true)
  }

  private func call<P: NetworkPlugin>(
    _ plugin: P, _ request: PodRequest, _ record: AttachmentRecord?, _ progress: CallProgress
  ) -> PluginCall<P.Step> {
    PluginCall(
      host: finder.registry.host.logging(log, request), plugin: plugin.name, request: request,
      record: record, progress: progress, parts: attachments)
  }

  /// Serves the parts of a set, whose DELs come back here.
  var attachments: Attachments {
    Attachments(
      host: finder.registry.host, store: store, detacher: self, backlog: backlog,
      remarks: remarks, log: log)
  }

  // MARK: What goes with an attachment

  /// The least time that one attachment's removal has, however many others there are.
  private static let leastMilliseconds = 2000

  /// Detaches what was plugged into the running pod later; one that fails keeps no other.
  ///
  /// - Returns: why some could not be detached.
  private func detachFollowers(
    of key: AttachmentKey, _ deadline: Deadline, _ progress: CallProgress
  ) -> [CNIError] {
    var failures: [CNIError] = []
    let followers = store.family(of: key).filter { $0.place.isEmpty && $0 != key }
    var left = followers.count + 1
    for follower in followers.sorted(by: { $0.description < $1.description }) {
      let share = deadline.remainingMilliseconds / left
      left -= 1
      do throws(CNIError) {
        guard let record = try store.readable(follower) else { continue }
        let own = deadline.capped(milliseconds: max(Self.leastMilliseconds, share))
        let request = try request(for: record, own)
        try detach(try finder.plugin(of: follower), request, record, isAlone: true, progress)
      } catch {
        failures.append(error)
      }
    }
    return failures
  }

  /// The same by the record alone.
  @discardableResult
  func detach(
    _ record: AttachmentRecord, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) -> String? {
    let request = try request(for: record, deadline)
    return try detach(try finder.plugin(of: record.key), request, record, progress)
  }

  /// A DEL of a recorded attachment as its own runtime would give it, for the programs that the
  /// plugin runs too.
  func request(
    for record: AttachmentRecord, _ deadline: Deadline
  ) throws(CNIError) -> PodRequest {
    var request = try PodRequest(removing: record, deadline)
    // What the path leads to in this boot is another's.
    if store.isOfAnotherBoot(record) {
      request.netns = ""
      request.environment["CNI_NETNS"] = ""
    }
    request.searchPath = settings.current.searchPath(request.environment)
    return request.marked(with: record.key, store.daemonMark)
  }
}

extension PodRequest {
  /// A DEL with what a record says, without the marks and paths of this daemon.
  init(removing record: AttachmentRecord, _ deadline: Deadline) throws(CNIError) {
    let arguments = CNIArguments(readable: record.environment["CNI_ARGS"])
    var environment = record.environment
    environment["CNI_COMMAND"] = CNICommand.delete.rawValue
    self.init(
      command: .delete, podNamespace: arguments["K8S_POD_NAMESPACE"] ?? "",
      podName: arguments["K8S_POD_NAME"] ?? "", podUID: arguments["K8S_POD_UID"] ?? "",
      sandboxID: record.key.containerID, netns: environment["CNI_NETNS", default: ""],
      ifName: record.key.ifName, arguments: arguments,
      configuration: try NetworkConfiguration(record.configuration), searchPath: [],
      environment: environment, requestID: record.requestID, stamp: record.stamp,
      deadline: deadline)
    isRecorded = !record.isOfDelete
  }

  /// With the variables by which the next daemon finds the programs that run for it.
  func marked(with key: AttachmentKey?, _ daemonMark: String) -> PodRequest {
    var request = self
    request.environment[DaemonMark.variable] = daemonMark
    if let key { request.environment[AttachmentMark.variable] = AttachmentMark.value(of: key) }
    return request
  }

  /// With the configuration that the ADD worked with; the caller's `prevResult` stays if it can
  /// be read.
  func recorded(in record: AttachmentRecord) throws(CNIError) -> PodRequest {
    var request = self
    var configuration = try NetworkConfiguration(record.configuration)
    if let previous = request.configuration.previous {
      let given = try configuration.replacing([("prevResult", .object(previous))])
      if command != .delete || (try? given.prevResult()) != nil { configuration = given }
    }
    request.configuration = configuration
    request.isRecorded = !record.isOfDelete
    return request
  }
}
