package import JSON

/// A part of a message is not what the protocol says it is.
package struct OVSDBWireError: Error, Equatable, CustomStringConvertible {
  /// What is wrong, without any text of the peer's.
  package let description: String

  init(_ description: String) { self.description = description }
}

extension OVSDBAtom {
  /// Reads an `<atom>`.
  package init(_ json: JSONValue) throws(OVSDBWireError) {
    switch json {
    case .bool(let value): self = .boolean(value)
    case .string(let text): self = .string(text)
    case .number(let number):
      if let integer = Int(number.text) {
        self = .integer(integer)
      } else if let real = Double(number.text), real.isFinite {
        self = .real(real)
      } else {
        throw OVSDBWireError("a number that is too large")
      }
    case .array(let parts):
      guard parts.count == 2, let tag = parts[0].string, let text = parts[1].string else {
        throw OVSDBWireError("an array where an atom should be")
      }
      switch tag {
      case "uuid":
        guard let uuid = OVSDBUUID(text) else { throw OVSDBWireError("a uuid that is none") }
        self = .uuid(uuid)
      case "named-uuid": self = .named(text)
      default: throw OVSDBWireError("an array where an atom should be")
      }
    default: throw OVSDBWireError("\(json.kind) where an atom should be")
    }
  }

  /// The form on the wire.
  ///
  /// What is no number (infinite, NaN) becomes `null`, which the server refuses.
  package var json: JSONValue {
    switch self {
    case .integer(let value): .number(JSONNumber(value))
    case .real(let value): JSONNumber(text: "\(value)").map { .number($0) } ?? .null
    case .boolean(let value): .bool(value)
    case .string(let text): .string(text)
    case .uuid(let uuid): ["uuid", .string(uuid.description)]
    case .named(let name): ["named-uuid", .string(name)]
    }
  }
}

extension OVSDBValue {
  /// Reads a `<value>`.
  package init(_ json: JSONValue) throws(OVSDBWireError) {
    guard let parts = json.array, parts.count == 2, let tag = parts[0].string,
      let elements = parts[1].array
    else {
      self = .atom(try OVSDBAtom(json))
      return
    }
    switch tag {
    case "set":
      var atoms: [OVSDBAtom] = []
      atoms.reserveCapacity(elements.count)
      for element in elements { atoms.append(try OVSDBAtom(element)) }
      self = .set(atoms)
    case "map":
      var map: [OVSDBAtom: OVSDBAtom] = [:]
      for element in elements {
        guard let pair = element.array, pair.count == 2 else {
          throw OVSDBWireError("something else than pairs in a map")
        }
        map[try OVSDBAtom(pair[0])] = try OVSDBAtom(pair[1])
      }
      self = .map(map)
    default: throw OVSDBWireError("an array that is neither a set nor a map")
    }
  }

  /// The form on the wire; a set of one goes as a set.
  package var json: JSONValue {
    switch self {
    case .atom(let atom): atom.json
    case .set(let atoms): ["set", .array(atoms.map(\.json))]
    case .map(let map): ["map", .array(map.map { [$0.key.json, $0.value.json] })]
    }
  }

  /// Reads a `<row>`.
  package static func row(_ json: JSONValue) throws(OVSDBWireError) -> OVSDBRow {
    guard let object = json.object else {
      throw OVSDBWireError("\(json.kind) where a row should be")
    }
    var row: OVSDBRow = [:]
    for member in object.members { row[member.key] = try OVSDBValue(member.value) }
    return row
  }

  /// A `<row>` on the wire, its columns in the order of their names.
  package static func json(row: OVSDBRow) -> JSONValue {
    let columns = row.sorted { $0.key < $1.key }
    return .object(JSONObject(columns.map { ($0.key, $0.value.json) }))
  }
}
