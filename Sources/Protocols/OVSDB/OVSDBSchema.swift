package import JSON

/// Which tables and columns a database has, RFC 7047 §3.2.
public struct OVSDBSchema: Equatable, Sendable {
  /// What a column can hold, as far as a copy of it must know.
  package struct Column: Equatable, Sendable {
    /// How many elements there can be.
    package enum Shape: Equatable, Sendable {
      /// Exactly one.
      case scalar
      /// One or none.
      case optional
      /// More than one.
      case set
      /// Pairs.
      case map
    }

    package let shape: Shape
    /// What the server does not mention when it shows a row.
    package let initial: OVSDBValue
  }

  /// Its version, such as `8.3.1`.
  public let version: String
  private let tables: [String: [String: Column]]

  /// Whether there is such a column.
  public func hasColumn(_ table: String, _ column: String) -> Bool {
    tables[table]?[column] != nil
  }

  package func column(_ table: String, _ column: String) -> Column? { tables[table]?[column] }

  /// Of the columns that somebody wants to watch, those that there are; without tables that
  /// have none of them.
  package func watchable(_ wanted: [String: [String]]) -> [String: [String]] {
    var watched: [String: [String]] = [:]
    for (table, columns) in wanted {
      let known = columns.filter { hasColumn(table, $0) }
      if !known.isEmpty { watched[table] = known }
    }
    return watched
  }

  /// Reads a `<database-schema>`.
  package init(_ json: JSONValue) throws(OVSDBWireError) {
    guard let list = json["tables"]?.object else { throw OVSDBWireError("a schema without tables") }
    version = json["version"]?.string ?? ""
    var tables: [String: [String: Column]] = [:]
    for table in list.members {
      guard let columns = table.value["columns"]?.object else {
        throw OVSDBWireError("a table without columns in the schema")
      }
      var known: [String: Column] = [:]
      for column in columns.members { known[column.key] = try Column(column.value["type"]) }
      tables[table.key] = known
    }
    self.tables = tables
  }
}

extension OVSDBSchema.Column {
  /// Reads a `<type>`.
  init(_ type: JSONValue?) throws(OVSDBWireError) {
    guard let type else { throw OVSDBWireError("a column without a type in the schema") }
    let key = type["key"] ?? type
    guard let name = key.string ?? key["type"]?.string, let initial = Self.initial(name) else {
      throw OVSDBWireError("a column of an unknown type in the schema")
    }
    let least = type["min"]?.int ?? 1
    // The most is a number or "unlimited".
    let most = type["max"].map { $0.int ?? .max } ?? 1
    if type["value"] != nil {
      shape = .map
      self.initial = .map([:])
    } else {
      shape = most > 1 ? .set : least == 0 ? .optional : .scalar
      self.initial = least == 0 ? .empty : shape == .scalar ? .atom(initial) : .set([initial])
    }
  }

  private static func initial(_ type: String) -> OVSDBAtom? {
    switch type {
    case "integer": .integer(0)
    case "real": .real(0)
    case "boolean": .boolean(false)
    case "string": .string("")
    case "uuid": .uuid(.zero)
    default: nil
    }
  }
}
