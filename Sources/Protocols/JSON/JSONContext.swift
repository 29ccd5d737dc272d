/// What a parser was in the middle of at a place of a text, for the words of an error.
///
/// Everything before the place is good, so a walk over it with a stack of brackets tells.
struct JSONContext {
  /// What may come at the place.
  private enum Expected {
    case value, firstElement, key, firstKey, colon, comma, end, restOfString
  }

  private let bytes: [UInt8]
  private let offset: Int
  /// Line and column from 1; a column is a character.
  private var (line, column) = (1, 1)
  /// The brackets that are open.
  private var open: [UInt8] = []
  private var expected = Expected.value
  /// Whether the string at the place is a key.
  private var isKey = false

  init(_ bytes: [UInt8], before offset: Int) {
    self.bytes = bytes
    self.offset = min(offset, bytes.count)
    var isEscaped = false
    for byte in bytes.prefix(self.offset) {
      count(byte)
      if expected == .restOfString {
        if byte == UInt8(ascii: "\""), !isEscaped { expected = isKey ? .colon : afterValue }
        isEscaped = byte == UInt8(ascii: "\\") && !isEscaped
      } else {
        step(byte)
      }
    }
  }

  private mutating func count(_ byte: UInt8) {
    if byte == 0x0A {
      (line, column) = (line + 1, 1)
    } else if byte & 0xC0 != 0x80 {
      column += 1
    }
  }

  /// Steps over a byte outside of a string.
  private mutating func step(_ byte: UInt8) {
    switch byte {
    case 0x20, 0x09, 0x0A, 0x0D: break
    case UInt8(ascii: "\""):
      isKey = expected == .key || expected == .firstKey
      expected = .restOfString
    case UInt8(ascii: "{"), UInt8(ascii: "["):
      open.append(byte)
      expected = byte == UInt8(ascii: "{") ? .firstKey : .firstElement
    case UInt8(ascii: "}"), UInt8(ascii: "]"):
      _ = open.popLast()
      expected = afterValue
    case UInt8(ascii: ","): expected = isInObject ? .key : .value
    case UInt8(ascii: ":"): expected = .value
    // A part of a word or a number.
    default: expected = afterValue
    }
  }

  private var isInObject: Bool { open.last == UInt8(ascii: "{") }

  private var afterValue: Expected { open.isEmpty ? .end : .comma }

  /// The byte right before the place, unless it is white space.
  private var neighbour: UInt8? { offset > 0 ? bytes[offset - 1] : nil }
}

// MARK: - Words

extension JSONContext {
  /// What is wrong, with the place unless it is the whole text.
  func explanation(of error: JSONError) -> String {
    if bytes.allSatisfy({ [0x20, 0x09, 0x0A, 0x0D].contains($0) }) { return "it is empty" }
    for mark: [UInt8] in [[0xEF, 0xBB, 0xBF], [0xFE, 0xFF], [0xFF, 0xFE]]
    where offset == 0 && bytes.starts(with: mark) {
      return "begins with a byte order mark"
    }
    return "line " + String(line) + ", column " + String(column) + ": " + words(for: error.reason)
  }

  private func words(for reason: JSONError.Reason) -> String {
    switch reason {
    case .unexpectedEnd: endWords
    case .unexpectedByte(let byte), .trailingByte(let byte): words(for: byte)
    case .controlCharacter(0x0A), .controlCharacter(0x0D):
      "a line ends inside a string: a \" is missing"
    case .controlCharacter(0x09): "a tab inside a string, where \\t must be written"
    case .controlCharacter: "the control character " + character + " inside a string"
    case .invalidEscape: "a \\ before " + character + " is no escape"
    case .loneSurrogate: "half of a surrogate pair"
    case .invalidUTF8: "not UTF-8"
    case .tooDeep: "nested too deeply"
    case .tooManyValues: "too many values"
    }
  }

  private var endWords: String {
    if expected == .restOfString { return "ends inside a string: a \" is missing" }
    switch open.last {
    case UInt8(ascii: "{"): return "ends inside an object: a } is missing"
    case UInt8(ascii: "["): return "ends inside an array: a ] is missing"
    default: return "ends inside a number or a word"
    }
  }

  private func words(for byte: UInt8) -> String {
    if expected == .restOfString { return "\\u needs four hexadecimal digits" }
    if isComment(byte) { return "JSON has no comments" }
    if isQuote { return character + " is no quote of JSON, write \"" }
    if neighbour == UInt8(ascii: "0"), 0x30...0x39 ~= byte {
      return "a number does not begin with 0"
    }
    let isBracket = byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]")
    switch expected {
    case .key where isBracket, .value where isBracket && isAfterComma:
      return character + " after a comma"
    case .key, .firstKey:
      return isWordLike(byte) ? "a key without quotes" : character + " where a key belongs"
    case .colon: return "a : is missing before " + character
    case .comma where isWordLike(byte) && !isInsideWord, .comma where isOpening(byte):
      return "a , is missing before " + character
    case .end where isBracket: return character + " is one too many"
    case .end where !isInsideWord: return character + " after the end of the document"
    case .value, .firstElement:
      return isWordLike(byte) && byte > 0x39
        ? character + " begins no value; the words of JSON are true, false and null"
        : character + " where a value belongs"
    default: return "unexpected " + character
    }
  }

  private func isComment(_ byte: UInt8) -> Bool {
    if byte == UInt8(ascii: "#") { return true }
    let next = bytes.dropFirst(offset + 1).first
    return byte == UInt8(ascii: "/")
      && (next == UInt8(ascii: "/") || next == UInt8(ascii: "*"))
  }

  /// Whether the last thing before the place is a comma.
  private var isAfterComma: Bool {
    bytes.prefix(offset).last { ![0x20, 0x09, 0x0A, 0x0D].contains($0) } == UInt8(ascii: ",")
  }

  private var isInsideWord: Bool { neighbour.map { isWordLike($0) } ?? false }

  private func isWordLike(_ byte: UInt8) -> Bool {
    0x30...0x39 ~= byte || 0x61...0x7A ~= byte | 0x20 || byte == UInt8(ascii: "_")
  }

  private func isOpening(_ byte: UInt8) -> Bool {
    byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "{") || byte == UInt8(ascii: "[")
  }

  // MARK: The character at the place

  private var scalar: Unicode.Scalar? {
    String(decoding: bytes.dropFirst(offset).prefix(4), as: UTF8.self).unicodeScalars.first
  }

  /// Quotes that word processors write, and those of other languages.
  private var isQuote: Bool {
    switch scalar?.value ?? 0 {
    case 0x27, 0x60, 0xAB, 0xB4, 0xBB, 0x2018...0x201F: true
    default: false
    }
  }

  /// The character for people: in quotes, or by its number if it cannot be seen.
  private var character: String {
    guard let scalar else { return "nothing" }
    switch scalar.value {
    case 0x21...0x7E, 0xA1...0xAC, 0xAE...0x1FFF, 0x2010...0x2027, 0x2030...0x205E,
      0x2070...0xD7FF:
      return scalar == "\"" ? "a string" : "\"" + String(scalar) + "\""
    default:
      let digits = String(scalar.value, radix: 16, uppercase: true)
      return "U+" + String(repeating: "0", count: max(0, 4 - digits.utf8.count)) + digits
    }
  }
}
