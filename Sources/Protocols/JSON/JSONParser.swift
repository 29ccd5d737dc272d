extension JSONValue {
  /// Reads the one value that makes up the whole input.
  ///
  /// RFC 8259 without leniency: UTF-8 only, no byte order mark, no comments, nothing after the
  /// value; half of a surrogate pair is refused, since it could not be printed again. Time is
  /// linear in the input's size.
  ///
  /// - Parameters:
  ///   - bytes: the text.
  ///   - limits: how deep and how much.
  /// - Returns: the value; each member of an object knows where its value stands in `bytes`.
  /// - Throws: the first thing that is wrong, and where.
  public static func parse(
    _ bytes: [UInt8], limits: JSONLimits = .default
  ) throws(JSONError) -> JSONValue {
    var parser = JSONParser(limits: limits)
    do throws(JSONError) {
      return try parser.document(bytes.span)
    } catch {
      throw error.explained(in: bytes)
    }
  }
}

/// A recursive descent over the bytes; its depth is bounded by the limits.
struct JSONParser {
  var position = 0
  private var depth = 0
  private var remainingValues: Int
  private let maximumDepth: Int

  init(limits: JSONLimits) {
    remainingValues = limits.values
    maximumDepth = limits.depth
  }

  mutating func document(_ input: Span<UInt8>) throws(JSONError) -> JSONValue {
    skipSpace(input)
    let value = try self.value(input)
    skipSpace(input)
    guard position == input.count else {
      throw JSONError(offset: position, reason: .trailingByte(input[position]))
    }
    return value
  }

  // MARK: Values

  private mutating func value(_ input: Span<UInt8>) throws(JSONError) -> JSONValue {
    guard remainingValues > 0 else { throw JSONError(offset: position, reason: .tooManyValues) }
    remainingValues -= 1
    switch try byte(input) {
    case UInt8(ascii: "\""):
      return .string(try string(input))
    case UInt8(ascii: "{"):
      return .object(try object(input))
    case UInt8(ascii: "["):
      return .array(try array(input))
    case UInt8(ascii: "t"):
      return try literal(input, "true", .bool(true))
    case UInt8(ascii: "f"):
      return try literal(input, "false", .bool(false))
    case UInt8(ascii: "n"):
      return try literal(input, "null", .null)
    default:
      let start = position
      try number(input)
      return .number(JSONNumber(verified: try text(input, start..<position)))
    }
  }

  private mutating func literal(
    _ input: Span<UInt8>, _ text: String, _ value: JSONValue
  ) throws(JSONError) -> JSONValue {
    for expected in text.utf8 {
      guard try byte(input) == expected else { throw unexpected(input) }
      position += 1
    }
    return value
  }

  private mutating func object(_ input: Span<UInt8>) throws(JSONError) -> JSONObject {
    try enter()
    defer { depth -= 1 }
    var members: [JSONObject.Member] = []
    if try closes(input, UInt8(ascii: "}")) { return JSONObject(members: members) }
    members.reserveCapacity(4)
    repeat {
      guard try byte(input) == UInt8(ascii: "\"") else { throw unexpected(input) }
      let key = try string(input)
      skipSpace(input)
      guard try byte(input) == UInt8(ascii: ":") else { throw unexpected(input) }
      position += 1
      skipSpace(input)
      let start = position
      let value = try self.value(input)
      members.append(JSONObject.Member(key: key, value: value, range: start..<position))
    } while try continues(input, closing: UInt8(ascii: "}"))
    return JSONObject(members: members)
  }

  private mutating func array(_ input: Span<UInt8>) throws(JSONError) -> [JSONValue] {
    try enter()
    defer { depth -= 1 }
    var elements: [JSONValue] = []
    if try closes(input, UInt8(ascii: "]")) { return elements }
    repeat {
      elements.append(try value(input))
    } while try continues(input, closing: UInt8(ascii: "]"))
    return elements
  }

  /// Steps over an opening bracket.
  private mutating func enter() throws(JSONError) {
    guard depth < maximumDepth else { throw JSONError(offset: position, reason: .tooDeep) }
    depth += 1
    position += 1
  }

  /// Steps over a closing bracket that follows its opening one.
  private mutating func closes(
    _ input: Span<UInt8>, _ bracket: UInt8
  ) throws(JSONError) -> Bool {
    skipSpace(input)
    guard try byte(input) == bracket else { return false }
    position += 1
    return true
  }

  /// Steps over what follows an element: true for a comma, false for the closing bracket.
  private mutating func continues(
    _ input: Span<UInt8>, closing bracket: UInt8
  ) throws(JSONError) -> Bool {
    skipSpace(input)
    switch try byte(input) {
    case UInt8(ascii: ","):
      position += 1
      skipSpace(input)
      return true
    case bracket:
      position += 1
      return false
    default:
      throw unexpected(input)
    }
  }

  // MARK: Bytes

  /// The byte at the position.
  func byte(_ input: Span<UInt8>) throws(JSONError) -> UInt8 {
    guard position < input.count else { throw JSONError(offset: position, reason: .unexpectedEnd) }
    return input[position]
  }

  func unexpected(_ input: Span<UInt8>) -> JSONError {
    guard position < input.count else { return JSONError(offset: position, reason: .unexpectedEnd) }
    return JSONError(offset: position, reason: .unexpectedByte(input[position]))
  }

  private mutating func skipSpace(_ input: Span<UInt8>) {
    while position < input.count {
      switch input[position] {
      case 0x20, 0x0A, 0x0D, 0x09: position += 1
      default: return
      }
    }
  }

  /// The text of a part of the input.
  func text(_ input: Span<UInt8>, _ range: Range<Int>) throws(JSONError) -> String {
    do {
      return String(copying: try UTF8Span(validating: input.extracting(range)))
    } catch {
      throw JSONError(offset: range.lowerBound + error.byteOffsets.lowerBound, reason: .invalidUTF8)
    }
  }
}
