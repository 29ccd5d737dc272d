public import JSON

/// One row of a table, as the `list` command of Open vSwitch's tools shows it.
public struct OVSRecord: Sendable, CustomStringConvertible {
  /// The columns as they stand in the protocol.
  public let values: [String: JSONValue]

  /// Reads what `--format=json list TABLE` has printed.
  static func read(_ output: String) throws -> [OVSRecord] {
    let json = JSONValue(text: output)
    guard let headings = json["headings"]?.array, let rows = json["data"]?.array else {
      throw TestError("no table: \(output)")
    }
    let names = headings.compactMap(\.string)
    return rows.map { row in
      OVSRecord(values: Dictionary(zip(names, row.array ?? [])) { $1 })
    }
  }

  /// A column of one value as text; nil if it is empty or has several.
  public func text(_ column: String) -> String? {
    let elements = list(column)
    return elements.count == 1 ? elements.first : nil
  }

  /// A column's values as texts, sorted.
  public func list(_ column: String) -> [String] {
    guard let value = values[column] else { return [] }
    if value.at(0)?.string == "set" {
      return (value.at(1)?.array ?? []).compactMap(Self.text).sorted()
    }
    return Self.text(value).map { [$0] } ?? []
  }

  /// A column of pairs.
  public func map(_ column: String) -> [String: String] {
    var map: [String: String] = [:]
    guard let value = values[column], value.at(0)?.string == "map" else { return map }
    for pair in value.at(1)?.array ?? [] {
      if let key = pair.at(0).flatMap(Self.text), let text = pair.at(1).flatMap(Self.text) {
        map[key] = text
      }
    }
    return map
  }

  private static func text(_ value: JSONValue) -> String? {
    switch value {
    case .string(let text): text
    case .number(let number): number.text
    case .bool(let flag): flag ? "true" : "false"
    case .array: value.at(0)?.string == "uuid" ? value.at(1)?.string : nil
    default: nil
    }
  }

  /// Its columns, for a failed expectation.
  public var description: String {
    values.sorted { $0.key < $1.key }.map {
      "\($0.key)=\(String(decoding: $0.value.bytes, as: UTF8.self))"
    }.joined(separator: " ")
  }
}
