// Helpers for text whose meaning lies in its bytes. Swift's own `==` on strings is canonical
// equivalence, under which U+212A (kelvin sign) equals "K".

/// Whether two texts have the same bytes.
func sameBytes(_ left: String, _ right: String) -> Bool {
  left.utf8.elementsEqual(right.utf8)
}

/// The parts of a text between the separators; always at least one, possibly empty.
func split(_ text: String, at separator: UInt8) -> [String] {
  text.utf8.split(separator: separator, omittingEmptySubsequences: false).map {
    String(Substring($0))
  }
}

/// The text with ASCII letters in lower case; the library's own way costs the shim
/// Unicode's tables.
func lowercasedASCII(_ text: String) -> String {
  let upper = UInt8(ascii: "A")...UInt8(ascii: "Z")
  return String(decoding: text.utf8.map { upper.contains($0) ? $0 | 0x20 : $0 }, as: UTF8.self)
}

/// Whether a scalar is white space in the sense of Unicode, and of Go's `unicode.IsSpace`.
func isWhiteSpace(_ scalar: Unicode.Scalar) -> Bool {
  switch scalar.value {
  case 0x09...0x0d, 0x20, 0x85, 0xa0, 0x1680, 0x2000...0x200a, 0x2028, 0x2029, 0x202f, 0x205f,
    0x3000:
    true
  default: false
  }
}

/// The text without white space at its ends.
func trimmed(_ text: String) -> String {
  var scalars = text.unicodeScalars[...]
  while let first = scalars.first, isWhiteSpace(first) { scalars.removeFirst() }
  while let last = scalars.last, isWhiteSpace(last) { scalars.removeLast() }
  return String(Substring(scalars))
}
