public import CNI

/// An ADD before its plan is recorded: there is nothing on it that could change anything.
public final class AddCall<Step: PluginStep>: Sendable {
  /// What is asked for.
  public let request: PodRequest
  private let draft: AttachmentRecord
  private let store: any AttachmentRecording
  private let progress: CallProgress
  private let written: Recorded

  /// Makes the call; the daemon does.
  public init(
    request: PodRequest, draft: AttachmentRecord, store: any AttachmentRecording,
    progress: CallProgress
  ) {
    self.request = request
    self.draft = draft
    self.store = store
    self.progress = progress
    self.written = Recorded()
  }

  /// Writes the record with everything that the ADD is going to make, and opens the journal.
  ///
  /// If the ADD fails afterwards the daemon calls the plugin's `delete` with this record, so a plan names each resource in
  /// such a way that `delete` can tell whether what it finds is really the attachment's.
  ///
  /// - Parameters:
  ///   - plan: what the ADD makes, in order.
  ///   - namespace: where, if it is in a namespace.
  /// - Returns: the journal for the effects.
  /// - Throws: code 5 if the record cannot be written.
  public func record(
    plan: [PlannedResource], namespace: NamespaceIdentity?
  ) throws(CNIError) -> Journal<Step> {
    var record = draft
    record.plan = plan
    record.namespace = namespace
    try store.write(record)
    written.set(record)
    return Journal(plugin: draft.key.plugin, progress: progress, deadline: request.deadline)
  }

  /// The record that was written, nil before.
  public var recorded: AttachmentRecord? { written.get() }
}

/// A call of any other verb.
public final class PluginCall<Step: PluginStep>: Sendable {
  /// What is asked for.
  public let request: PodRequest
  /// What ADD wrote; nil if the attachment has no record, or for STATUS and GC.
  public let record: AttachmentRecord?
  /// Runs the effects: what these verbs remove or change is in the record, or found by its marks.
  public let journal: Journal<Step>

  /// Makes the call; the daemon does.
  public init(
    plugin: String, request: PodRequest, record: AttachmentRecord?, progress: CallProgress
  ) {
    self.request = request
    self.record = record
    self.journal = Journal(plugin: plugin, progress: progress, deadline: request.deadline)
  }
}
