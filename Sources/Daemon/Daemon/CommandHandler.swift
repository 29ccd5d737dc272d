import CNI
import DaemonAPI
import Linux
import PluginKit
import Records
import Scheduling

/// CNI's verbs: finds the plugin and the record of each request, and hands both to ``Attachments``.
///
/// Counterpart of `HandleCNIRequest` in OVN-Kubernetes' cniserver: what it returns goes out without
/// further processing.
struct CommandHandler: Sendable {
  let finder: PluginFinder
  let attachments: Attachments
  let spooled: SpooledDeletes
  let garbage: GarbageCollector
  let backlog: Backlog

  /// Handles a request.
  ///
  /// - Parameters:
  ///   - decoded: the request.
  ///   - progress: is told of the steps.
  /// - Returns: the result's bytes for ADD and UPDATE, in the configuration's version; nothing for
  ///   other verbs.
  /// - Throws: what the caller is told.
  func handle(_ decoded: DecodedRequest, _ progress: CallProgress) throws(CNIError) -> [UInt8] {
    let request = decoded.request
    switch request.command {
    case .add: return try add(decoded, progress)
    case .update: return try update(decoded, progress)
    case .delete:
      do throws(CNIError) {
        try delete(decoded, progress)
      } catch {
        throw error.ofDelete
      }
    case .check:
      try request.configuration.checkVersion(for: .check)
      let (plugin, record) = try finder.responsible(for: decoded)
      try attachments.check(plugin, request, record, progress)
    case .status:
      try request.configuration.checkVersion(for: .status)
      try attachments.status(try finder.chosen(for: decoded), request, progress)
    case .garbageCollect:
      try request.configuration.checkVersion(for: .garbageCollect)
      try garbage.collect(decoded, progress)
    default:
      throw CNIError(.invalidEnvironment, "unknown cmd type: \(request.command)")
    }
    return []
  }

  private func add(
    _ decoded: DecodedRequest, _ progress: CallProgress
  ) throws(CNIError) -> [UInt8] {
    let request = decoded.request
    try spooled.workOff(before: request, progress)
    let plugin = try finder.chosen(for: decoded)
    if decoded.endpoint == .delegate, let known = try attachments.partOfSet(request) {
      progress.made(known)
      return try known.printed(as: try request.configuration.version())
    }
    let attached = try attachments.attach(
      plugin, request, origin: decoded.endpoint.origin, seat: try seat(of: decoded), progress)
    progress.made(attached.result)
    // A client that did not get the result of this very call is here again and gets it after all.
    let key = AttachmentKey(request, plugin: plugin.name)
    backlog.remove(.undoUnread(key, requestID: request.requestID))
    return attached.bytes
  }

  /// What is plugged into a running pod goes with the pod's first attachment, and what a set's
  /// program attaches with the set.
  ///
  /// - Throws: code 11 if the pod has got or lost it since the call was taken on: then it is not in
  ///   the call's claim.
  private func seat(of decoded: DecodedRequest) throws(CNIError) -> Seat? {
    if let set = decoded.set { return Seat(set: set, place: "") }
    guard decoded.endpoint == .delegate else { return nil }
    let first = attachments.store.first(of: decoded.request.sandboxID)
    if first != decoded.first {
      throw CNIError(
        .tryAgainLater,
        "sandbox \(decoded.request.sandboxID) is just being attached or detached; try again")
    }
    guard let first, first.ifName != decoded.request.ifName else { return nil }
    return Seat(set: first, place: "")
  }

  private func delete(
    _ decoded: DecodedRequest, _ progress: CallProgress
  ) throws(CNIError) {
    if let loop = decoded.loop { return attachments.passOver(decoded, loop) }
    if decoded.endpoint == .delegate,
      try attachments.detachNetworkOfSet(decoded.request, progress)
    {
      return
    }
    // Its client also removes what it could not add.
    if decoded.endpoint == .delegate, finder.isOfAnotherNetwork(decoded.request) {
      return attachments.passOver(decoded, "the interface is attached to another network")
    }
    guard let (plugin, record) = try finder.responsibleForDelete(decoded) else {
      return attachments.passOver(decoded)
    }
    try attachments.detach(plugin, decoded.request, record, progress)
  }

  private func update(
    _ decoded: DecodedRequest, _ progress: CallProgress
  ) throws(CNIError) -> [UInt8] {
    let version = try decoded.request.configuration.version()
    let (plugin, record) = try finder.responsible(for: decoded)
    let result = try attachments.update(plugin, decoded.request, record, progress)
    progress.made(result)
    return try result.printed(as: version)
  }
}
