/// A copy of the tables and columns that a client watches.
///
/// A column holds the same case of `OVSDBValue` in every row: one that must have a value an
/// atom, one that may have some a set, a map a map. A column or table that the server's schema
/// lacks is not there.
public struct OVSDBReplica: Sendable {
  /// What the server knows.
  public let schema: OVSDBSchema
  /// By table and identity.
  private var tables: [String: [OVSDBUUID: OVSDBRow]] = [:]
  /// By table, a row in which no column was ever set.
  private var initialRows: [String: OVSDBRow] = [:]
  /// How many rows there are in all.
  private var count = 0
  /// More would be no node's, and take some hundred megabytes.
  private static let mostRows = 100_000

  /// A copy that has these columns and no row yet.
  package init(schema: OVSDBSchema, watching: [String: [String]]) {
    self.schema = schema
    for (table, columns) in schema.watchable(watching) {
      tables[table] = [:]
      var row: OVSDBRow = [:]
      for column in columns { row[column] = schema.column(table, column)?.initial }
      initialRows[table] = row
    }
  }

  /// The rows of a table; none if it is not watched.
  public func rows(_ table: String) -> [OVSDBUUID: OVSDBRow] { tables[table] ?? [:] }

  /// One row, nil if there is none.
  public func row(_ table: String, _ uuid: OVSDBUUID) -> OVSDBRow? { tables[table]?[uuid] }

  /// The first row found whose column is exactly that text, such as the name of a bridge.
  public func row(_ table: String, where column: String, is text: String) -> (
    uuid: OVSDBUUID, row: OVSDBRow
  )? {
    let wanted = OVSDBAtom.string(text)
    guard let found = tables[table]?.first(where: { $0.value[column]?.atom == wanted }) else {
      return nil
    }
    return (found.key, found.value)
  }

  /// A row of a table before any column is set.
  func initialRow(_ table: String) -> OVSDBRow { initialRows[table] ?? [:] }

  /// Puts a row in, or in the place of the one that is there.
  mutating func put(
    _ table: String, _ uuid: OVSDBUUID, _ row: OVSDBRow
  ) throws(OVSDBWireError) {
    guard tables[table] != nil else { return }
    if tables[table]?.updateValue(row, forKey: uuid) == .some(nil) { count += 1 }
    if count > Self.mostRows {
      throw OVSDBWireError("the database has more than \(Self.mostRows) rows to watch")
    }
  }

  mutating func remove(_ table: String, _ uuid: OVSDBUUID) {
    if case .some(.some) = tables[table]?.removeValue(forKey: uuid) { count -= 1 }
  }

  /// Changes one column of a row that is there.
  mutating func change(
    _ table: String, _ uuid: OVSDBUUID, _ column: String,
    _ body: (inout OVSDBValue) throws(OVSDBWireError) -> Void
  ) throws(OVSDBWireError) {
    // Taken out of its place first, so that a large set is changed and not copied.
    guard var value = tables[table]?[uuid]?.removeValue(forKey: column) else {
      throw OVSDBWireError("a change of a column that is not there")
    }
    try body(&value)
    tables[table]?[uuid]?[column] = value
  }
}
