/// A text that can make or forge no line of a log.
///
/// What ends a line somewhere, steers a terminal or turns the direction of what follows is escaped.
///
/// - Parameters:
///   - text: what comes from outside.
///   - quotes: whether quotation marks and backslashes are escaped too.
/// - Returns: the text, in one line.
public func harmless(_ text: String, quotes: Bool = false) -> String {
  var result = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\n": result += "\\n"
    case "\"" where quotes: result += "\\\""
    case "\\" where quotes: result += "\\\\"
    case _ where isHarmful(scalar): result += "\\u{\(String(scalar.value, radix: 16))}"
    default: result.unicodeScalars.append(scalar)
    }
  }
  return result
}

/// Whether a scalar must not stand in a line as it is.
public func isHarmful(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069: true
  default: false
  }
}
