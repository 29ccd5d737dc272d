package import JSON

/// Which rows an operation means, RFC 7047 §5.1 `<condition>`.
public struct OVSDBCondition: Hashable, Sendable {
  /// How a column is compared.
  public enum Function: String, Hashable, Sendable {
    /// Both are the same.
    case equal = "=="
    /// They differ.
    case notEqual = "!="
    /// The column has all elements of the value.
    case includes
    /// The column has no element of the value.
    case excludes
    /// The column is less.
    case less = "<"
    /// The column is not greater.
    case lessOrEqual = "<="
    /// The column is greater.
    case greater = ">"
    /// The column is not less.
    case greaterOrEqual = ">="
  }

  /// The column.
  public let column: String
  /// The comparison.
  public let function: Function
  /// With what it is compared.
  public let value: OVSDBValue

  /// Creates a condition.
  public init(_ column: String, _ function: Function, _ value: OVSDBValue) {
    self.column = column
    self.function = function
    self.value = value
  }

  /// The row with this identity.
  public static func row(_ uuid: OVSDBUUID) -> OVSDBCondition {
    OVSDBCondition("_uuid", .equal, .uuid(uuid))
  }

  var json: JSONValue { [.string(column), .string(function.rawValue), value.json] }
}

/// A change of a column that depends on what it holds, RFC 7047 §5.1 `<mutation>`.
public struct OVSDBMutation: Hashable, Sendable {
  /// How a column is changed.
  public enum Mutator: String, Hashable, Sendable {
    /// Elements or pairs are put in; a map keeps the values of keys that it has.
    case insert
    /// Elements or pairs are taken out; of a map also by a set of keys.
    case delete
    /// A number is added.
    case add = "+="
    /// A number is subtracted.
    case subtract = "-="
    /// Multiplied by a number.
    case multiply = "*="
    /// Divided by a number.
    case divide = "/="
    /// The rest of a division.
    case remainder = "%="
  }

  /// The column.
  public let column: String
  /// The change.
  public let mutator: Mutator
  /// What is put in, taken out or computed with.
  public let value: OVSDBValue

  /// Creates a mutation.
  public init(_ column: String, _ mutator: Mutator, _ value: OVSDBValue) {
    self.column = column
    self.mutator = mutator
    self.value = value
  }

  var json: JSONValue { [.string(column), .string(mutator.rawValue), value.json] }
}

/// One operation of a transaction, RFC 7047 §5.2.
///
/// An empty list of conditions means every row of the table.
public struct OVSDBOperation: Hashable, Sendable {
  /// What an operation does.
  enum Kind: Hashable, Sendable {
    case insert(table: String, row: OVSDBRow, name: String?)
    case select(table: String, [OVSDBCondition], columns: [String]?)
    case update(table: String, [OVSDBCondition], row: OVSDBRow)
    case mutate(table: String, [OVSDBCondition], [OVSDBMutation])
    case delete(table: String, [OVSDBCondition])
    case wait(
      table: String, [OVSDBCondition], columns: [String], isEqual: Bool, rows: [OVSDBRow],
      milliseconds: Int)
    case comment(String)
  }

  let kind: Kind

  /// Adds a row; columns that are not named get their defaults.
  ///
  /// - Parameters:
  ///   - table: the table.
  ///   - row: its columns.
  ///   - name: what other operations of the transaction call the row (`OVSDBAtom.named`):
  ///     letters, digits and `_`.
  /// - Returns: the operation; its result has the row's `uuid`.
  public static func insert(
    into table: String, _ row: OVSDBRow, named name: String? = nil
  ) -> OVSDBOperation {
    OVSDBOperation(kind: .insert(table: table, row: row, name: name))
  }

  /// Reads rows; the result has them in `rows`.
  ///
  /// - Parameters:
  ///   - table: the table.
  ///   - conditions: which rows; all conditions must hold.
  ///   - columns: which columns, nil for all (`_uuid` and `_version` included).
  /// - Returns: the operation.
  public static func select(
    from table: String, where conditions: [OVSDBCondition], columns: [String]? = nil
  ) -> OVSDBOperation {
    OVSDBOperation(kind: .select(table: table, conditions, columns: columns))
  }

  /// Sets columns of rows; the result has their number in `count`.
  public static func update(
    _ table: String, where conditions: [OVSDBCondition], _ row: OVSDBRow
  ) -> OVSDBOperation {
    OVSDBOperation(kind: .update(table: table, conditions, row: row))
  }

  /// Changes columns of rows; the result has their number in `count`.
  public static func mutate(
    _ table: String, where conditions: [OVSDBCondition], _ mutations: [OVSDBMutation]
  ) -> OVSDBOperation {
    OVSDBOperation(kind: .mutate(table: table, conditions, mutations))
  }

  /// Removes rows; the result has their number in `count`.
  public static func delete(
    from table: String, where conditions: [OVSDBCondition]
  ) -> OVSDBOperation {
    OVSDBOperation(kind: .delete(table: table, conditions))
  }

  /// Lets the transaction go on only if rows are, or are not, as given; otherwise it is refused
  /// with `timed out`.
  ///
  /// - Parameters:
  ///   - table: the table.
  ///   - conditions: which rows are looked at.
  ///   - columns: which of their columns are compared.
  ///   - rows: how they should be.
  ///   - isEqual: whether they must be so, or must not.
  ///   - milliseconds: how long the server waits for it; 0: it must be so now.
  /// - Returns: the operation.
  public static func wait(
    _ table: String, where conditions: [OVSDBCondition], columns: [String], are rows: [OVSDBRow],
    isEqual: Bool = true, milliseconds: Int = 0
  ) -> OVSDBOperation {
    OVSDBOperation(
      kind: .wait(
        table: table, conditions, columns: columns, isEqual: isEqual, rows: rows,
        milliseconds: max(0, milliseconds)))
  }

  /// Writes a text into the server's log of transactions.
  public static func comment(_ text: String) -> OVSDBOperation {
    OVSDBOperation(kind: .comment(text))
  }
}

extension OVSDBOperation: CustomStringConvertible {
  /// The operation and its table, for an error: `insert into Port`.
  public var description: String {
    switch kind {
    case .insert(let table, _, _): "insert into \(table)"
    case .select(let table, _, _): "select from \(table)"
    case .update(let table, _, _): "update of \(table)"
    case .mutate(let table, _, _): "mutation of \(table)"
    case .delete(let table, _): "delete from \(table)"
    case .wait(let table, _, _, _, _, _): "wait for \(table)"
    case .comment: "comment"
    }
  }

  /// The form on the wire.
  package var json: JSONValue {
    switch kind {
    case .insert(let table, let row, let name):
      var json = form("insert", table, [("row", OVSDBValue.json(row: row))])
      if let name { json["uuid-name"] = .string(name) }
      return .object(json)
    case .select(let table, let conditions, let columns):
      var json = form("select", table, [("where", .array(conditions.map(\.json)))])
      if let columns { json["columns"] = .array(columns.map { .string($0) }) }
      return .object(json)
    case .update(let table, let conditions, let row):
      return .object(
        form(
          "update", table,
          [("where", .array(conditions.map(\.json))), ("row", OVSDBValue.json(row: row))]))
    case .mutate(let table, let conditions, let mutations):
      return .object(
        form(
          "mutate", table,
          [
            ("where", .array(conditions.map(\.json))),
            ("mutations", .array(mutations.map(\.json))),
          ]))
    case .delete(let table, let conditions):
      return .object(form("delete", table, [("where", .array(conditions.map(\.json)))]))
    case .wait(let table, let conditions, let columns, let isEqual, let rows, let milliseconds):
      return .object(
        form(
          "wait", table,
          [
            ("where", .array(conditions.map(\.json))),
            ("columns", .array(columns.map { .string($0) })),
            ("until", isEqual ? "==" : "!="),
            ("rows", .array(rows.map { OVSDBValue.json(row: $0) })),
            ("timeout", .number(JSONNumber(milliseconds))),
          ]))
    case .comment(let text): return ["op": "comment", "comment": .string(text)]
    }
  }

  private func form(
    _ operation: String, _ table: String, _ members: [(String, JSONValue)]
  ) -> JSONObject {
    JSONObject([("op", .string(operation)), ("table", .string(table))] + members)
  }
}
