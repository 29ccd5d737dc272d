import CNI
import Linux
import PluginKit
import Records
import Scheduling

/// What is done about records without a client.
struct Recovery: Sendable {
  /// What has come of a piece of the backlog.
  enum Outcome: Equatable {
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
    /// A DEL that had begun was completed.
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

  let store: AttachmentStore
  let detacher: Detacher
  let log: Log

  /// Undoes an ADD, or brings a DEL to its end, that the record shows to be half done.
  func finish(
    _ key: AttachmentKey, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) -> Outcome {
    guard let record = try store.readable(key), store.isUnfinished(record) else { return .nothing }
    // It carries the same marks as the attachment that is there; its DEL comes back to this.
    if key.isLeftover, store.leftovers(of: key).isTaken { return .nothing }
    let action: Action =
      store.isOfAnotherBoot(record) ? .rebooted : record.phase == .adding ? .rolledBack : .deleted
    return try remove(record, action, deadline, progress)
  }

  /// Undoes the ADD of a request, unless another one has made the attachment since.
  func undoUnread(
    _ key: AttachmentKey, requestID: String, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) -> Outcome {
    guard let record = try store.readable(key), record.requestID == requestID else {
      return .nothing
    }
    return try remove(record, .unread, deadline, progress)
  }

  /// Removes an attachment by its record.
  func remove(
    _ record: AttachmentRecord, _ action: Action, _ deadline: Deadline, _ progress: CallProgress
  ) throws(CNIError) -> Outcome {
    let missing = try detacher.detach(record, deadline, progress)
    return missing.map { .postponed($0) } ?? .done(action)
  }
}

extension AttachmentStore {
  /// Whether something has to be done about a record without being asked.
  func isUnfinished(_ record: AttachmentRecord) -> Bool {
    record.phase != .attached || isOfAnotherBoot(record)
  }

  /// The unfinished attachments that a call is about.
  func unfinished(of request: PodRequest) -> [AttachmentKey] {
    let keys = keys(
      containerID: request.sandboxID, ifName: request.ifName, network: request.configuration.name)
    return keys.filter { key in record(key).map { $0.phase != .attached } ?? false }
  }
}
