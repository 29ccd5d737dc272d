/// How a value is printed.
public struct JSONStyle: Sendable, Equatable {
  /// Spaces by level, each member and element on a line of its own; nil prints
  /// everything on one line.
  public var indent: Int?
  /// Whether members are ordered by the bytes of their keys; duplicates keep their order.
  public var sorted: Bool

  /// Creates a style.
  ///
  /// - Parameters:
  ///   - indent: spaces by level, 0 to 16; nil for one line.
  ///   - sorted: whether members are ordered by key.
  public init(indent: Int? = nil, sorted: Bool = false) {
    self.indent = indent.map { min(max($0, 0), 16) }
    self.sorted = sorted
  }

  /// One line without any space, members in their order.
  public static let compact = JSONStyle()

  /// One member or element a line, as Go's `json.MarshalIndent` lays them out: `"key": value`, `{}`
  /// and `[]` when empty, no newline at the end.
  public static func indented(_ spaces: Int = 4, sorted: Bool = false) -> JSONStyle {
    JSONStyle(indent: spaces, sorted: sorted)
  }
}

extension JSONValue {
  /// Prints the value as UTF-8.
  ///
  /// Only what must be escaped is: quote, backslash and control characters. Recursion is as
  /// deep as the value.
  ///
  /// - Parameter style: the layout.
  /// - Returns: the text, without a newline at its end.
  public func encoded(_ style: JSONStyle = .compact) -> [UInt8] {
    var printer = JSONPrinter(style: style)
    printer.print(self)
    return printer.output
  }
}

private struct JSONPrinter {
  let style: JSONStyle
  var output: [UInt8] = []
  var level = 0

  init(style: JSONStyle) {
    self.style = style
  }

  mutating func print(_ value: JSONValue) {
    switch value {
    case .null: output.append(contentsOf: "null".utf8)
    case .bool(let flag): output.append(contentsOf: (flag ? "true" : "false").utf8)
    case .number(let number): output.append(contentsOf: number.text.utf8)
    case .string(let text): print(text)
    case .array(let elements): print(elements)
    case .object(let object): print(object)
    }
  }

  private mutating func print(_ elements: [JSONValue]) {
    output.append(UInt8(ascii: "["))
    level += 1
    var first = true
    for element in elements {
      separate(&first)
      print(element)
    }
    close(UInt8(ascii: "]"), empty: first)
  }

  private mutating func print(_ object: JSONObject) {
    output.append(UInt8(ascii: "{"))
    level += 1
    var first = true
    for member in style.sorted ? sorted(object.members) : object.members {
      separate(&first)
      print(member.key)
      output.append(UInt8(ascii: ":"))
      if style.indent != nil { output.append(UInt8(ascii: " ")) }
      print(member.value)
    }
    close(UInt8(ascii: "}"), empty: first)
  }

  private mutating func separate(_ first: inout Bool) {
    if !first { output.append(UInt8(ascii: ",")) }
    first = false
    breakLine()
  }

  private mutating func close(_ bracket: UInt8, empty: Bool) {
    level -= 1
    if !empty { breakLine() }
    output.append(bracket)
  }

  private mutating func breakLine() {
    guard let indent = style.indent else { return }
    output.append(0x0A)
    output.append(contentsOf: repeatElement(0x20, count: indent * level))
  }

  private func sorted(_ members: [JSONObject.Member]) -> [JSONObject.Member] {
    // The offset breaks ties, because the library does not promise a stable sort.
    members.enumerated().sorted { a, b in
      let keys = (a.element.key.utf8, b.element.key.utf8)
      if keys.0.lexicographicallyPrecedes(keys.1) { return true }
      return a.offset < b.offset && keys.0.elementsEqual(keys.1)
    }.map { $0.element }
  }

  private mutating func print(_ text: String) {
    output.append(UInt8(ascii: "\""))
    if text.utf8.contains(where: mustEscape) {
      for byte in text.utf8 { printEscaped(byte) }
    } else {
      output.append(contentsOf: text.utf8)
    }
    output.append(UInt8(ascii: "\""))
  }

  private func mustEscape(_ byte: UInt8) -> Bool {
    byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
  }

  private mutating func printEscaped(_ byte: UInt8) {
    guard mustEscape(byte) else { return output.append(byte) }
    output.append(UInt8(ascii: "\\"))
    switch byte {
    case 0x08: output.append(UInt8(ascii: "b"))
    case 0x09: output.append(UInt8(ascii: "t"))
    case 0x0A: output.append(UInt8(ascii: "n"))
    case 0x0C: output.append(UInt8(ascii: "f"))
    case 0x0D: output.append(UInt8(ascii: "r"))
    case let byte where byte < 0x20:
      output.append(contentsOf: byte < 0x10 ? "u000".utf8 : "u00".utf8)
      output.append(contentsOf: String(byte, radix: 16).utf8)
    default: output.append(byte)
    }
  }
}
