// Numbers and strings: the tokens with a grammar of their own.

extension JSONParser {
  /// Steps over one number.
  mutating func number(_ input: Span<UInt8>) throws(JSONError) {
    if try byte(input) == UInt8(ascii: "-") { position += 1 }
    if try byte(input) == UInt8(ascii: "0") {
      position += 1
    } else {
      try digits(input)
    }
    if position < input.count, input[position] == UInt8(ascii: ".") {
      position += 1
      try digits(input)
    }
    if position < input.count, input[position] | 0x20 == UInt8(ascii: "e") {
      position += 1
      let sign = try byte(input)
      if sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-") { position += 1 }
      try digits(input)
    }
  }

  private mutating func digits(_ input: Span<UInt8>) throws(JSONError) {
    let start = position
    while position < input.count, 0x30...0x39 ~= input[position] { position += 1 }
    if position == start { throw unexpected(input) }
  }

  /// Reads a string whose opening quote is at the position.
  mutating func string(_ input: Span<UInt8>) throws(JSONError) -> String {
    let start = position + 1
    var at = start
    var escaped = false
    while at < input.count {
      let byte = input[at]
      if byte == UInt8(ascii: "\"") {
        position = at + 1
        // Escapes are ASCII, so the raw bytes are UTF-8 exactly when what they stand for is.
        let text = try text(input, start..<at)
        return escaped ? try unescaped(input, start..<at) : text
      }
      if byte < 0x20 { throw JSONError(offset: at, reason: .controlCharacter(byte)) }
      if byte == UInt8(ascii: "\\") {
        escaped = true
        at += 1
      }
      at += 1
    }
    throw JSONError(offset: input.count, reason: .unexpectedEnd)
  }

  /// What the bytes between two quotes stand for; they are UTF-8 already.
  private func unescaped(
    _ input: Span<UInt8>, _ range: Range<Int>
  ) throws(JSONError) -> String {
    var output: [UInt8] = []
    output.reserveCapacity(range.count)
    var at = range.lowerBound
    while at < range.upperBound {
      let byte = input[at]
      at += 1
      guard byte == UInt8(ascii: "\\") else {
        output.append(byte)
        continue
      }
      let letter = input[at]
      at += 1
      switch letter {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): output.append(letter)
      case UInt8(ascii: "b"): output.append(0x08)
      case UInt8(ascii: "f"): output.append(0x0C)
      case UInt8(ascii: "n"): output.append(0x0A)
      case UInt8(ascii: "r"): output.append(0x0D)
      case UInt8(ascii: "t"): output.append(0x09)
      case UInt8(ascii: "u"): output.append(contentsOf: try scalar(input, &at, range.upperBound))
      default: throw JSONError(offset: at - 1, reason: .invalidEscape(letter))
      }
    }
    return String(decoding: output, as: UTF8.self)
  }

  /// Reads the digits of `\u`, with the second escape of a pair, up to `end` at most.
  private func scalar(
    _ input: Span<UInt8>, _ at: inout Int, _ end: Int
  ) throws(JSONError) -> UTF8.EncodedScalar {
    let start = at - 2
    var code = try codeUnit(input, &at, end)
    if 0xD800..<0xDC00 ~= code {
      guard end - at >= 2, input[at] == UInt8(ascii: "\\"), input[at + 1] == UInt8(ascii: "u")
      else { throw JSONError(offset: start, reason: .loneSurrogate) }
      at += 2
      let low = try codeUnit(input, &at, end)
      guard 0xDC00..<0xE000 ~= low else {
        throw JSONError(offset: start, reason: .loneSurrogate)
      }
      code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
    }
    guard let scalar = Unicode.Scalar(code), let encoded = UTF8.encode(scalar) else {
      throw JSONError(offset: start, reason: .loneSurrogate)
    }
    return encoded
  }

  private func codeUnit(
    _ input: Span<UInt8>, _ at: inout Int, _ end: Int
  ) throws(JSONError) -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      // The closing quote stands at `end`, so there is always a byte to name.
      let byte = input[at]
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte - 0x30
      case 0x41...0x46: digit = byte - 0x37
      case 0x61...0x66: digit = byte - 0x57
      default: throw JSONError(offset: at, reason: .unexpectedByte(byte))
      }
      code = code << 4 | UInt32(digit)
      at += 1
    }
    return code
  }
}
