import CNI
import DaemonAPI
import Linux
import PluginKit
import Records
import Scheduling

/// The DELs that found no daemon.
struct SpooledDeletes: Sendable {
  let spool: Spool
  let store: AttachmentStore
  let decoder: RequestDecoder
  let finder: PluginFinder
  let attachments: Attachments
  let log: Log

  /// How long an ADD waits for older DELs of its attachment.
  private static let patience = 2000

  /// Does one.
  ///
  /// One that can never be done, because the entry itself is wrong, is set aside.
  func workOff(
    _ item: Spool.Item, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) -> Recovery.Outcome {
    let isDone: Bool
    do throws(CNIError) {
      isDone = try delete(item, deadline, progress)
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

  /// Does those of an attachment that are older than an ADD of it.
  ///
  /// One that cannot be done now stays, and is tried again: the ADD may not need what it needs.
  ///
  /// - Throws: code 11 if it has not even begun, so that the attachment is still there.
  func workOff(before request: PodRequest, _ progress: CallProgress) throws(CNIError) {
    let limit = request.deadline.capped(milliseconds: Self.patience)
    for item in spool.items(containerID: request.sandboxID, ifName: request.ifName)
    where item.entry.stamp.isOlder(than: request.stamp) != false {
      do throws(CNIError) {
        _ = try workOff(item, limit, progress)
      } catch {
        if isAttached(request, before: request.stamp) {
          throw CNIError(
            .tryAgainLater, "the attachment's own DEL, from the spool, is not done yet: \(error)")
        }
        log.write(
          .warning, "a spooled DEL could not be done before a new ADD; it is tried again",
          [
            ("container", item.containerID), ("ifname", item.ifName), ("error", "\(error)"),
          ])
      }
    }
  }

  private func isAttached(_ request: PodRequest, before stamp: Stamp) -> Bool {
    let keys = store.keys(
      containerID: request.sandboxID, ifName: request.ifName,
      network: request.configuration.name)
    return keys.contains { key in
      store.summary(of: key).map { $0.phase == .attached && $0.stamp.isOlder(than: stamp) == true }
        ?? false
    }
  }

  /// What an entry must not run beside.
  func claim(of item: Spool.Item) -> Claim {
    if let decoded = try? decoded(item.entry) { return finder.claim(of: decoded) }
    // It is about to be set aside.
    return Claim(attachments: [Claim.attachment(item.containerID, item.ifName)])
  }

  /// - Returns: whether it meant something that is there.
  private func delete(
    _ item: Spool.Item, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) -> Bool {
    let entry = item.entry
    var decoded = try decoded(entry)
    guard decoded.request.command == .delete else {
      throw CNIError(
        .invalidEnvironment, "only DEL is spooled, not \(decoded.request.command.rawValue)")
    }
    decoded.request.deadline = deadline
    if store.isOfAnotherBoot(entry.stamp) {
      let records = try records(item, decoded)
      // What this boot made cannot have been meant before it.
      if let record = records.first(where: { !isMeant($0, entry.stamp) }) {
        spool.drop(item, "the DEL is of boot \(entry.stamp.bootID), \(record.key) of this one")
        return false
      }
      // Both came from one place, where the boot has another id.
      if let record = records.first, !store.isOfAnotherBoot(record) {
        decoded.request.stamp = Stamp(
          bootID: record.stamp.bootID, nanoseconds: entry.stamp.nanoseconds)
      }
    }
    guard let (plugin, record) = try finder.responsibleForDelete(decoded) else {
      attachments.passOver(decoded)
      return false
    }
    try attachments.detach(plugin, decoded.request, record, progress)
    return true
  }

  private func records(
    _ item: Spool.Item, _ decoded: DecodedRequest
  ) throws(CNIError) -> [AttachmentRecord] {
    var records: [AttachmentRecord] = []
    let keys = store.keys(
      containerID: item.containerID, ifName: item.ifName,
      network: decoded.request.configuration.name)
    for key in keys {
      // One that cannot be read now is not one that is not there.
      if let record = try store.readable(key) { records.append(record) }
    }
    return records
  }

  private func isMeant(_ record: AttachmentRecord, _ stamp: Stamp) -> Bool {
    store.isOfAnotherBoot(record) || record.callerBootID == stamp.bootID
  }

  private func decoded(_ entry: SpoolEntry) throws(CNIError) -> DecodedRequest {
    try decoder.decode(
      entry.request, RequestHeaders(requestID: entry.requestID, stamp: entry.stamp), .cni)
  }
}
