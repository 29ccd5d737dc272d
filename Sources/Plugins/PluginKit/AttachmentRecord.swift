public import CNI
public import JSON

/// One thing that an ADD is about to make, with what its undo needs.
public struct PlannedResource: Equatable, Sendable {
  /// What it is, in the plugin's words: `link`, `lease`.
  public let kind: String
  /// What the undo needs to find it.
  public let values: JSONObject

  /// Creates an entry of a plan.
  public init(_ kind: String, _ values: [(String, JSONValue)]) {
    self.kind = kind
    self.values = JSONObject(values)
  }

  init(kind: String, values: JSONObject) {
    self.kind = kind
    self.values = values
  }

  /// A value that is a string.
  public func string(_ key: String) -> String? { values[key]?.string }
}

/// Everything that is known of an attachment, as it stands on the disk.
///
/// It is written once with the whole plan before the first side effect, and once with the
/// result after the last.
public struct AttachmentRecord: Equatable, Sendable {
  /// How far the attachment has come.
  public enum Phase: String, CaseIterable, Sendable {
    /// ADD has begun; what of the plan exists is not known.
    case adding
    /// ADD has ended well.
    case attached
    /// DEL, or the undo of a failed ADD, has begun.
    case deleting
  }

  /// The layout of the record's file: this program's, or that of a newer one that allows
  /// this one to use it.
  package internal(set) var version: Int
  /// The oldest layout whose programs may use the file.
  package internal(set) var readableFrom: Int
  /// What names the attachment.
  public let key: AttachmentKey
  /// How far it has come.
  public var phase: Phase
  /// The exact bytes of the configuration that its ADD worked with.
  public var configuration: [UInt8]
  /// The CNI_* variables of its ADD.
  public var environment: [String: String]
  /// The endpoint that its ADD came through: `cni`, `delegate` or `ovn`.
  public var origin: String
  /// The request that made it.
  public var requestID: String
  /// When that request began; holds the boot id.
  public var stamp: Stamp
  /// The namespace, where the plugin works in one.
  public var namespace: NamespaceIdentity?
  /// What the ADD creates.
  public var plan: [PlannedResource]
  /// What the ADD returned, in the newest version's form.
  public var result: CNIResult?
  /// The record of the set that this attachment is a part of.
  package var parent: AttachmentKey?
  /// The names that it has outside of the kernel.
  package var names: Set<OutsideName> = []
  /// What is still to be done for it.
  package var duties: [Duty] = []
  /// What its plugin wants to remember.
  package var notes = JSONObject()
  /// Members that this program does not know: they are written as they were read, so that a
  /// newer one finds them.
  var unknown = JSONObject()

  /// Creates the record of an ADD that is about to begin.
  public init(
    key: AttachmentKey, configuration: [UInt8], environment: [String: String], origin: String,
    requestID: String, stamp: Stamp
  ) {
    self.key = key
    version = Self.history.current
    readableFrom = Self.oldestReader
    self.phase = .adding
    self.configuration = configuration
    self.environment = environment
    self.origin = origin
    self.requestID = requestID
    self.stamp = stamp
    self.namespace = nil
    self.plan = []
    self.result = nil
  }

  /// Whether a DEL wrote it that found no record: it names the attachment and knows nothing else.
  package var isOfDelete: Bool {
    get { notes["ofDelete"]?.bool == true }
    set { notes["ofDelete"] = newValue ? .bool(true) : nil }
  }

  /// Whether a client plugged it into a running pod.
  package var isPlugged: Bool { origin == "delegate" }

  /// The boot id that the caller of its ADD gave, where that is not this daemon's.
  package var callerBootID: String? {
    get { notes["callerBoot"]?.string }
    set { notes["callerBoot"] = newValue.map { .string($0) } }
  }

  /// The entries of the plan of one kind.
  public func planned(_ kind: String) -> [PlannedResource] { plan.filter { $0.kind == kind } }
}
