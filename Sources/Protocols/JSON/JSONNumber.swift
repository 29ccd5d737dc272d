/// A JSON number, kept as its text so that nothing is lost or rounded on the way through.
public struct JSONNumber: Sendable, Equatable {
  /// The text, always one number of RFC 8259's grammar.
  public let text: String

  /// Creates the number of an integer.
  public init(_ value: Int) { text = String(value) }

  /// Creates the number of an unsigned integer.
  public init(_ value: UInt64) { text = String(value) }

  /// Creates a number from its text; nil when the text is not exactly one JSON number.
  public init?(text: String) {
    var parser = JSONParser(limits: .default)
    let bytes = Array(text.utf8)
    do throws(JSONError) {
      try parser.number(bytes.span)
    } catch {
      return nil
    }
    guard parser.position == bytes.count else { return nil }
    self.text = text
  }

  init(verified text: String) { self.text = text }

  /// Compares texts: `1` and `1.0` differ.
  public static func == (a: JSONNumber, b: JSONNumber) -> Bool { sameBytes(a.text, b.text) }
}
