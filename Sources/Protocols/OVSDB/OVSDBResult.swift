package import JSON

/// What came of one operation of a transaction.
public struct OVSDBResult: Equatable, Sendable {
  /// The row that was inserted; nil for other operations.
  public let uuid: OVSDBUUID?
  /// How many rows were updated, mutated or deleted; 0 for other operations.
  public let count: Int
  /// The rows that were selected; none for other operations.
  public let rows: [OVSDBRow]

  /// Reads one operation's result object.
  init(_ json: JSONValue) throws(OVSDBWireError) {
    guard let object = json.object else {
      throw OVSDBWireError("\(json.kind) where a result should be")
    }
    var rows: [OVSDBRow] = []
    if let list = object["rows"] {
      guard let list = list.array else { throw OVSDBWireError("rows that are no array") }
      for row in list { rows.append(try OVSDBValue.row(row)) }
    }
    self.rows = rows
    if let value = object["uuid"] {
      guard case .uuid(let uuid) = try OVSDBAtom(value) else {
        throw OVSDBWireError("a uuid that is none")
      }
      self.uuid = uuid
    } else {
      uuid = nil
    }
    count = object["count"]?.int ?? 0
  }

  /// What an answer to `transact` says.
  package enum Outcome: Equatable, Sendable {
    /// Everything was done: a result for each operation.
    case done([OVSDBResult])
    /// Nothing was done, because of the operation with this number or, without one, of the whole.
    case refused(index: Int?, error: String, details: String)
  }

  /// Reads the result array of an answer to `transact`, RFC 7047 §4.1.3.
  ///
  /// - Parameters:
  ///   - json: the answer's `result`.
  ///   - count: how many operations there were.
  /// - Returns: what it says.
  /// - Throws: when it says nothing that can be understood.
  package static func outcome(
    _ json: JSONValue, operations count: Int
  ) throws(OVSDBWireError) -> Outcome {
    guard let elements = json.array else {
      throw OVSDBWireError("\(json.kind) where results should be")
    }
    for (index, element) in elements.enumerated() {
      guard let error = element["error"]?.string else { continue }
      return .refused(
        index: index < count ? index : nil, error: serverText(error),
        details: serverText(element["details"]?.string ?? ""))
    }
    guard elements.count >= count else { throw OVSDBWireError("too few results") }
    var results: [OVSDBResult] = []
    for element in elements.prefix(count) { results.append(try OVSDBResult(element)) }
    return .done(results)
  }
}
