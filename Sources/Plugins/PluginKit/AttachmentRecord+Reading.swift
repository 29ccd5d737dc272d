import CNI
import JSON

extension AttachmentRecord {
  /// Reads a record's file, of this program's layout or one that it can use.
  public init(parsing bytes: [UInt8]) throws(RecordError) {
    let (object, version) = try Self.object(of: bytes)
    let reader = RecordReader(object: object)
    self.version = version
    readableFrom = try reader.integer("readableFrom")
    key = try reader.key()
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
    namespace = try reader.ifPresent("namespace") { $0.object.flatMap { NamespaceIdentity($0) } }
    plan = try reader.list("plan") { PlannedResource($0) }
    result = try reader.ifPresent("result") { try? CNIResult($0, defaultVersion: .newest) }
    parent = try reader.parent()
    names = Set(try reader.listIfPresent("names") { OutsideName($0) })
    duties = try reader.listIfPresent("duties") { Duty($0) }
    notes = try reader.ifPresent("notes") { $0.object } ?? JSONObject()
    unknown.members = object.members.filter { !Self.knownMembers.contains($0.key) }
  }

  private static let knownMembers: Set<String> = [
    "version", "readableFrom", "phase", "network", "containerID", "ifName", "plugin", "place",
    "parent", "configuration", "environment", "origin", "requestID", "stamp", "namespace", "plan",
    "result", "names", "duties", "notes",
  ]

  private static func object(
    of bytes: [UInt8]
  ) throws(RecordError) -> (object: JSONObject, version: Int) {
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(bytes)
    } catch {
      throw RecordError(.damaged("\(error)"))
    }
    guard let object = value.object else { throw RecordError(.damaged("it is no JSON object")) }
    switch history.read(object) {
    case .usable(let object, let version): return (object, version)
    case .newer(let version): throw RecordError(.newer(version))
    case .unversioned: throw RecordError(.damaged("version"))
    }
  }
}

extension PlannedResource {
  fileprivate init?(_ json: JSONValue) {
    guard let kind = json["kind"]?.string, let values = json["values"]?.object else { return nil }
    self.init(kind: kind, values: values)
  }
}

/// Takes members out of a record's object, naming what is wrong.
private struct RecordReader {
  let object: JSONObject
  /// Stands before the names of members in errors.
  var context = ""

  func fault(_ name: String) -> RecordError { RecordError(.damaged(context + name)) }

  func string(_ name: String) throws(RecordError) -> String {
    guard let text = object[name]?.string else { throw fault(name) }
    return text
  }

  func integer(_ name: String) throws(RecordError) -> Int {
    guard let number = object[name]?.int else { throw fault(name) }
    return number
  }

  func bytes(_ name: String) throws(RecordError) -> [UInt8] {
    let text = try string(name)
    do throws(Base64.DecodingError) {
      return try Base64.decode(text)
    } catch {
      throw fault("\(name): \(error)")
    }
  }

  func strings(_ name: String) throws(RecordError) -> [String: String] {
    guard let members = object[name]?.object?.members else { throw fault(name) }
    var result: [String: String] = [:]
    for member in members {
      guard let text = member.value.string else { throw fault(name) }
      result[member.key] = text
    }
    return result
  }

  func key() throws(RecordError) -> AttachmentKey {
    AttachmentKey(
      network: try string("network"), containerID: try string("containerID"),
      ifName: try string("ifName"), plugin: try string("plugin"),
      place: try ifPresent("place") { $0.string } ?? "")
  }

  func parent() throws(RecordError) -> AttachmentKey? {
    guard let value = object["parent"] else { return nil }
    guard let object = value.object else { throw fault("parent") }
    return try RecordReader(object: object, context: "parent.").key()
  }

  func ifPresent<T>(_ name: String, _ convert: (JSONValue) -> T?) throws(RecordError) -> T? {
    guard let value = object[name] else { return nil }
    guard let converted = convert(value) else { throw fault(name) }
    return converted
  }

  func list<T>(_ name: String, _ convert: (JSONValue) -> T?) throws(RecordError) -> [T] {
    guard let elements = object[name]?.array else { throw fault(name) }
    var list: [T] = []
    for element in elements {
      guard let converted = convert(element) else { throw fault(name) }
      list.append(converted)
    }
    return list
  }

  func listIfPresent<T>(_ name: String, _ convert: (JSONValue) -> T?) throws(RecordError) -> [T] {
    object[name] == nil ? [] : try list(name, convert)
  }
}
