public import CNI
public import JSON

/// What names an attachment: one interface of one container in one network, made by one plugin.
public struct AttachmentKey: Hashable, Sendable, CustomStringConvertible {
  /// The network's name.
  public let network: String
  /// CNI_CONTAINERID.
  public let containerID: String
  /// CNI_IFNAME.
  public let ifName: String
  /// The plugin's own name, not an alias.
  public let plugin: String

  /// Makes a key from its parts.
  public init(network: String, containerID: String, ifName: String, plugin: String) {
    self.network = network
    self.containerID = containerID
    self.ifName = ifName
    self.plugin = plugin
  }

  /// `container/ifname (network, plugin)`.
  public var description: String { "\(containerID)/\(ifName) (\(network), \(plugin))" }
}

/// One thing that an ADD is about to make, with what its undo needs.
public struct PlannedResource: Equatable, Sendable {
  /// What it is, in the plugin's words: `link`, `lease`.
  public let kind: String
  /// What the undo needs to find it.
  public let values: JSONObject

  /// Makes an entry of a plan.
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
/// It is written once with the whole plan before the first side effect, and once with the result after the last.
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

  /// The layout that this program writes, the member `version`.
  public static let currentVersion = 1

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
  /// What the ADD makes.
  public var plan: [PlannedResource]
  /// What the ADD returned, in the newest version's form.
  public var result: CNIResult?

  /// Makes the record of an ADD that is about to begin.
  public init(
    key: AttachmentKey, configuration: [UInt8], environment: [String: String], origin: String,
    requestID: String, stamp: Stamp
  ) {
    self.key = key
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

  /// The entries of the plan of one kind.
  public func planned(_ kind: String) -> [PlannedResource] { plan.filter { $0.kind == kind } }
}

/// A record's file could not be understood.
public struct RecordError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is wrong.
  public enum Reason: Equatable, Sendable {
    /// It is not JSON, or a member is missing or of another type.
    case damaged(String)
    /// It was written by a newer program.
    case newer(Int)
  }

  /// What is wrong.
  public let reason: Reason

  init(_ reason: Reason) { self.reason = reason }

  /// One line for people.
  public var description: String {
    switch reason {
    case .damaged(let what): "damaged record: \(what)"
    case .newer(let version):
      "record of version \(version), this program knows \(AttachmentRecord.currentVersion)"
    }
  }
}

extension AttachmentRecord {
  /// The record as the JSON text of its file.
  public func encoded() -> [UInt8] {
    var object = JSONObject([
      ("version", .number(JSONNumber(Self.currentVersion))),
      ("phase", .string(phase.rawValue)),
      ("network", .string(key.network)),
      ("containerID", .string(key.containerID)),
      ("ifName", .string(key.ifName)),
      ("plugin", .string(key.plugin)),
      ("configuration", .string(Base64.encode(configuration))),
      (
        "environment",
        .object(
          JSONObject(
            environment.sorted { $0.key < $1.key }.map { ($0.key, JSONValue.string($0.value)) }))
      ),
      ("origin", .string(origin)),
      ("requestID", .string(requestID)),
      ("stamp", .string(stamp.description)),
    ])
    if let namespace { object["namespace"] = .object(namespace.json) }
    object["plan"] = .array(
      plan.map { resource in
        .object(
          JSONObject([("kind", .string(resource.kind)), ("values", .object(resource.values))]))
      })
    if let result, let json = try? result.json(as: .newest) { object["result"] = json }
    return JSONValue.object(object).encoded()
  }

  /// Reads a record's file.
  public init(parsing bytes: [UInt8]) throws(RecordError) {
    let object: JSONObject
    do throws(JSONError) {
      guard let found = try JSONValue.parse(bytes).object else {
        throw JSONError(offset: 0, reason: .unexpectedByte(0))
      }
      object = found
    } catch {
      throw RecordError(.damaged("\(error)"))
    }
    let reader = RecordReader(object: object)
    let version = try reader.integer("version")
    guard version == Self.currentVersion else {
      throw RecordError(version > Self.currentVersion ? .newer(version) : .damaged("version"))
    }
    key = AttachmentKey(
      network: try reader.string("network"), containerID: try reader.string("containerID"),
      ifName: try reader.string("ifName"), plugin: try reader.string("plugin"))
    guard let phase = Phase(rawValue: try reader.string("phase")) else {
      throw RecordError(.damaged("phase"))
    }
    self.phase = phase
    configuration = try reader.bytes("configuration")
    environment = try reader.strings("environment")
    origin = try reader.string("origin")
    requestID = try reader.string("requestID")
    guard let stamp = Stamp(try reader.string("stamp")) else {
      throw RecordError(.damaged("stamp"))
    }
    self.stamp = stamp
    namespace = try reader.namespace()
    plan = try reader.plan()
    result = try reader.result()
  }
}

/// Takes members out of a record's object, naming what is wrong.
private struct RecordReader {
  let object: JSONObject

  func string(_ name: String) throws(RecordError) -> String {
    guard let text = object[name]?.string else { throw RecordError(.damaged(name)) }
    return text
  }

  func integer(_ name: String) throws(RecordError) -> Int {
    guard let number = object[name]?.int else { throw RecordError(.damaged(name)) }
    return number
  }

  func bytes(_ name: String) throws(RecordError) -> [UInt8] {
    let text = try string(name)
    do throws(Base64.DecodingError) {
      return try Base64.decode(text)
    } catch {
      throw RecordError(.damaged("\(name): \(error)"))
    }
  }

  func strings(_ name: String) throws(RecordError) -> [String: String] {
    guard let members = object[name]?.object?.members else { throw RecordError(.damaged(name)) }
    var result: [String: String] = [:]
    for member in members {
      guard let text = member.value.string else { throw RecordError(.damaged(name)) }
      result[member.key] = text
    }
    return result
  }

  func namespace() throws(RecordError) -> NamespaceIdentity? {
    guard let value = object["namespace"] else { return nil }
    guard let namespace = value.object.flatMap({ NamespaceIdentity($0) }) else {
      throw RecordError(.damaged("namespace"))
    }
    return namespace
  }

  func plan() throws(RecordError) -> [PlannedResource] {
    guard let list = object["plan"]?.array else { throw RecordError(.damaged("plan")) }
    var plan: [PlannedResource] = []
    for entry in list {
      guard let kind = entry.object?["kind"]?.string, let values = entry.object?["values"]?.object
      else { throw RecordError(.damaged("plan")) }
      plan.append(PlannedResource(kind: kind, values: values))
    }
    return plan
  }

  func result() throws(RecordError) -> CNIResult? {
    guard let json = object["result"] else { return nil }
    do throws(CNIError) {
      return try CNIResult(json, defaultVersion: .newest)
    } catch {
      throw RecordError(.damaged("result"))
    }
  }
}
