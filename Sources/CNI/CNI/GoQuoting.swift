/// The text in double quotes as Go's `%q` prints it; many of CNI's error texts hold such values.
///
/// Control characters, white space other than U+0020 and invisible characters are escaped. Code
/// points that Unicode has not assigned are printed as they are, for which Go has tables.
public func goQuoted(_ text: String) -> String {
  var quoted = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": quoted += "\\\""
    case "\\": quoted += "\\\\"
    case "\u{07}": quoted += "\\a"
    case "\u{08}": quoted += "\\b"
    case "\u{0c}": quoted += "\\f"
    case "\n": quoted += "\\n"
    case "\r": quoted += "\\r"
    case "\t": quoted += "\\t"
    case "\u{0b}": quoted += "\\v"
    default:
      if isPrintable(scalar) {
        quoted.unicodeScalars.append(scalar)
      } else if scalar.value < 0x80 {
        quoted += "\\x" + hexadecimal(scalar.value, digits: 2)
      } else if scalar.value < 0x10000 {
        quoted += "\\u" + hexadecimal(scalar.value, digits: 4)
      } else {
        quoted += "\\U" + hexadecimal(scalar.value, digits: 8)
      }
    }
  }
  return quoted + "\""
}

/// A list as Go's `%q` prints it: `["a" "b"]`.
public func goQuoted(_ list: [String]) -> String {
  "[" + list.map { goQuoted($0) }.joined(separator: " ") + "]"
}

/// Whether Go prints the scalar as it is.
private func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0x20: true
  case 0...0x1f, 0x7f...0x9f, 0xad: false
  case 0x200b...0x200f, 0x202a...0x202e, 0x2060...0x206f, 0xfeff, 0xfff9...0xfffb: false
  case 0xe000...0xf8ff, 0xe0000...0xe007f, 0xf0000...: false
  default: !isWhiteSpace(scalar) && scalar.value & 0xfffe != 0xfffe
  }
}

private func hexadecimal(_ value: UInt32, digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
}
