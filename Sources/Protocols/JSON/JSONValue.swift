/// One JSON value as it was written: member order, duplicate keys and the text of numbers are kept.
///
/// The daemon passes configurations on that it understands only in part, so what it does not
/// understand must come out as it went in. Equality compares content: members in their order,
/// strings and keys byte by byte (Swift's own `==` also takes differently composed texts for
/// equal), numbers by their text, never positions.
public enum JSONValue: Sendable {
  /// The literal `null`.
  case null
  /// The literal `true` or `false`.
  case bool(Bool)
  /// A number, kept as its text.
  case number(JSONNumber)
  /// A string, unescaped.
  case string(String)
  /// An array's elements in order.
  case array([JSONValue])
  /// An object's members in order.
  case object(JSONObject)
}

extension JSONValue {
  /// The object, or nil for any other kind.
  public var object: JSONObject? {
    if case .object(let object) = self { object } else { nil }
  }

  /// The array's elements, or nil for any other kind.
  public var array: [JSONValue]? {
    if case .array(let elements) = self { elements } else { nil }
  }

  /// The string's text, or nil for any other kind.
  public var string: String? {
    if case .string(let text) = self { text } else { nil }
  }

  /// The boolean, or nil for any other kind.
  public var bool: Bool? {
    if case .bool(let flag) = self { flag } else { nil }
  }

  /// The number, or nil for any other kind.
  public var number: JSONNumber? {
    if case .number(let number) = self { number } else { nil }
  }

  /// The number when it is written as an integer (no fraction, no exponent) and fits; else nil.
  public var int: Int? { number.flatMap { Int($0.text) } }

  /// The number when it is written as an integer that is not negative and fits; else nil.
  public var uint64: UInt64? { number.flatMap { UInt64($0.text) } }

  /// Whether this is `null`.
  public var isNull: Bool {
    if case .null = self { true } else { false }
  }

  /// The kind's name for an error text: `null`, `boolean`, `number`, `string`, `array` or `object`.
  public var kind: String {
    switch self {
    case .null: "null"
    case .bool: "boolean"
    case .number: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }

  /// The member of an object, as ``JSONObject/subscript(_:)`` finds it; nil for any other kind.
  public subscript(key: String) -> JSONValue? { object?[key] }
}

extension JSONValue: Equatable {
  /// Compares content, not positions.
  public static func == (a: JSONValue, b: JSONValue) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.number(let a), .number(let b)): a == b
    case (.string(let a), .string(let b)): sameBytes(a, b)
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)): a == b
    default: false
    }
  }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  /// Creates a string.
  public init(stringLiteral text: String) { self = .string(text) }

  /// Creates a number.
  public init(integerLiteral number: Int) { self = .number(JSONNumber(number)) }

  /// Creates a boolean.
  public init(booleanLiteral flag: Bool) { self = .bool(flag) }

  /// Creates an array.
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }

  /// Creates an object with the members in the order written.
  public init(dictionaryLiteral members: (String, JSONValue)...) {
    self = .object(JSONObject(members))
  }
}

/// Compares texts byte by byte, as JSON keys and every protocol text must be.
package func sameBytes(_ a: String, _ b: String) -> Bool {
  a.utf8.count == b.utf8.count && a.utf8.elementsEqual(b.utf8)
}
