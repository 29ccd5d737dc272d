import CNI
import JSON

extension AttachmentRecord {
  /// Reads a record's file, of this program's layout or one that it can use.
  public init(parsing bytes: [UInt8]) throws(RecordError) {
    let (reader, version) = try RecordReader(parsing: bytes, RecordMembers()).upgraded()
    self.version = version
    readableFrom = try reader.required("readableFrom").integer()
    key = try reader.key()
    phase = try reader.required("phase").converted { $0.string.flatMap { Phase(rawValue: $0) } }
    configuration = try reader.bytes("configuration")
    environment = try reader.texts("environment")
    origin = try reader.required("origin").string()
    requestID = try reader.required("requestID").string()
    stamp = try reader.required("stamp").converted { $0.string.flatMap { Stamp($0) } }
    namespace = try reader.member("namespace")?.converted {
      $0.object.flatMap { NamespaceIdentity($0) }
    }
    plan = try reader.required("plan").list { PlannedResource($0) }
    result = try reader.member("result")?.converted {
      try? CNIResult($0, defaultVersion: .newest)
    }
    parent = try reader.reader("parent")?.key()
    names = Set(try reader.member("names")?.list { OutsideName($0) } ?? [])
    duties = try reader.member("duties")?.list { Duty($0) } ?? []
    notes = try reader.object("notes") ?? JSONObject()
    unknown.members = reader.object.members.filter { !Self.knownMembers.contains($0.key) }
  }

  private static let knownMembers: Set<String> = [
    "version", "readableFrom", "phase", "network", "containerID", "ifName", "plugin", "place",
    "parent", "configuration", "environment", "origin", "requestID", "stamp", "namespace", "plan",
    "result", "names", "duties", "notes",
  ]
}

extension PlannedResource {
  fileprivate init?(_ json: JSONValue) {
    guard let kind = json["kind"]?.string, let values = json["values"]?.object else { return nil }
    self.init(kind: kind, values: values)
  }
}

/// How a record reports a fault: the file is damaged there.
private struct RecordMembers: MemberDialect {
  func failure(_ fault: MemberFault) -> RecordError { RecordError(.damaged(fault.description)) }
}

private typealias RecordReader = ObjectReader<RecordMembers>

extension RecordReader {
  /// The members as this program's layout has them, and the layout's version.
  fileprivate func upgraded() throws(RecordError) -> (RecordReader, version: Int) {
    switch AttachmentRecord.history.read(object) {
    case .usable(let object, let version): return (RecordReader(object, dialect), version)
    case .newer(let version): throw RecordError(.newer(version))
    case .unversioned: throw invalid("version", "is no version")
    }
  }

  fileprivate func key() throws(RecordError) -> AttachmentKey {
    AttachmentKey(
      network: try required("network").string(),
      containerID: try required("containerID").string(),
      ifName: try required("ifName").string(), plugin: try required("plugin").string(),
      place: try string("place") ?? "")
  }

  fileprivate func bytes(_ name: String) throws(RecordError) -> [UInt8] {
    let member = try required(name)
    let text = try member.string()
    do throws(Base64.DecodingError) {
      return try Base64.decode(text)
    } catch {
      throw member.invalid(error.description)
    }
  }

  fileprivate func texts(_ name: String) throws(RecordError) -> [String: String] {
    var texts: [String: String] = [:]
    let reader = try required(name).reader()
    for member in reader.object.members { texts[member.key] = try reader.string(member.key) }
    return texts
  }
}

extension Member<RecordMembers> {
  fileprivate func converted<T>(_ convert: (JSONValue) -> T?) throws(RecordError) -> T {
    guard let value = convert(value) else { throw invalid("cannot be read") }
    return value
  }

  fileprivate func list<T>(_ convert: (JSONValue) -> T?) throws(RecordError) -> [T] {
    var list: [T] = []
    for element in try elements() { list.append(try element.converted(convert)) }
    return list
  }
}
