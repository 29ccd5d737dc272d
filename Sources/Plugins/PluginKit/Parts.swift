package import CNI
package import Linux

/// A part of a set of attachments that a plugin of this daemon attaches.
package struct Part: Sendable {
  /// Where it stands in its set: `<network>.<position>`, both from 0.
  package let place: String
  /// What attaches it.
  package let plugin: any NetworkPlugin
  /// The call of the set, with the part's own interface and configuration.
  package var request: PodRequest

  package init(place: String, plugin: any NetworkPlugin, request: PodRequest) {
    self.place = place
    self.plugin = plugin
    self.request = request
  }
}

/// What the daemon does for the parts of a set, each with a record of its own.
package protocol PartService: Sendable {
  /// The plugin that serves a type, by name or alias.
  func plugin(forType type: String) -> (any NetworkPlugin)?

  /// What is recorded as attached to a network, for whoever collects there.
  func attached(to network: String) -> [NetworkConfiguration.Attachment]

  /// Attaches a part; one that fails is undone before this throws.
  func add(
    _ part: Part, of set: AttachmentKey, origin: String, _ progress: CallProgress
  ) throws(CNIError) -> CNIResult

  /// Detaches a part; one without a record by its marks. If the set's ADD had only begun
  /// (`isBegun`) that part was not made.
  func delete(_ part: Part, isBegun: Bool, _ progress: CallProgress) throws(CNIError)

  /// Finds out whether a part is as its ADD left it.
  func check(_ part: Part, _ progress: CallProgress) throws(CNIError)

  /// Asks whether an ADD of a part could work now.
  func status(_ part: Part, _ progress: CallProgress) throws(CNIError)

  /// Has a part's plugin sweep what belongs to none of the valid attachments.
  ///
  /// - Returns: what it kept because it is a living pod's.
  func collect(
    _ part: Part, valid: [NetworkConfiguration.Attachment], _ progress: CallProgress
  ) throws(CNIError) -> [String]
}

/// The parts of the set that a call is about.
///
/// The set's plugin alone uses it. What it does has the steps of the parts' own plugins in the
/// call's progress, and counts against the call's time.
package struct Parts: Sendable {
  private let service: any PartService
  private let set: AttachmentKey
  private let origin: String
  private let progress: CallProgress

  package init(
    _ service: any PartService, of set: AttachmentKey, origin: String, _ progress: CallProgress
  ) {
    self.service = service
    self.set = set
    self.origin = origin
    self.progress = progress
  }

  /// The plugin that serves a type, by name or alias.
  package func plugin(forType type: String) -> (any NetworkPlugin)? {
    service.plugin(forType: type)
  }

  /// What is recorded as attached to a network, by whatever call.
  package func attached(to network: String) -> [NetworkConfiguration.Attachment] {
    service.attached(to: network)
  }

  /// Waits until the call has the attachments of its parts for itself; once in a call, and before
  /// it records its plan.
  ///
  /// - Parameters:
  ///   - more: what the parts need beyond the call's own claim.
  ///   - deadline: until when to wait.
  /// - Throws: code 105 if others have them until then.
  package func claim(_ more: Claim, _ deadline: Deadline) throws(CNIError) {
    try progress.claim(more, deadline)
  }

  /// Runs a body that runs a program for one of the set's interfaces.
  ///
  /// - Parameters:
  ///   - attachment: what the program works on, as in a claim.
  ///   - body: gets what the program must have in `CNID_CALL`.
  /// - Returns: what the body returns.
  /// - Throws: code 11 without random bytes; else the body's error.
  package func executing<T: ~Copyable>(
    _ attachment: String, _ body: (String) throws(CNIError) -> T
  ) throws(CNIError) -> T {
    let id = try mapped { () throws(SystemError) in try RequestID.random() }
    let inner = InnerCalls(id: id, set: set, attachment: attachment)
    return try progress.admitting(inner) { () throws(CNIError) in try body(id) }
  }

  /// Attaches a part.
  ///
  /// - Parameters:
  ///   - part: the part.
  ///   - journal: the proof that the set's record names it.
  /// - Returns: its result.
  /// - Throws: why it could not; nothing of it is left then, or it is listed to be undone.
  package func add<Step: PluginStep>(
    _ part: Part, _ journal: Journal<Step>
  ) throws(CNIError) -> CNIResult {
    try service.add(part, of: set, origin: origin, progress)
  }

  /// As ``PartService/delete(_:isBegun:_:)``.
  package func delete(_ part: Part, isBegun: Bool) throws(CNIError) {
    try service.delete(part, isBegun: isBegun, progress)
  }

  /// As ``PartService/check(_:_:)``.
  package func check(_ part: Part) throws(CNIError) { try service.check(part, progress) }

  /// As ``PartService/status(_:_:)``.
  package func status(_ part: Part) throws(CNIError) { try service.status(part, progress) }

  /// As ``PartService/collect(_:valid:_:)``.
  package func collect(
    _ part: Part, valid: [NetworkConfiguration.Attachment]
  ) throws(CNIError) -> [String] {
    try service.collect(part, valid: valid, progress)
  }
}
