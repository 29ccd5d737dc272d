@testable import Netlink

/// Bytes written as hexadecimal digits; white space is passed over, and `;` begins a comment up to
/// the end of the line.
func hex(_ text: String) -> [UInt8] {
  var bytes: [UInt8] = []
  for line in text.split(separator: "\n") {
    let digits = line.prefix { $0 != ";" }.compactMap(\.hexDigitValue)
    for index in stride(from: 0, to: digits.count - 1, by: 2) {
      bytes.append(UInt8(digits[index] << 4 | digits[index + 1]))
    }
  }
  return bytes
}

/// Bytes as lines of hexadecimal digits, for a failed expectation.
func dump(_ bytes: [UInt8]) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
}

/// The messages of a datagram.
func messages(_ bytes: [UInt8]) throws -> [NetlinkMessage] {
  var reader = MessageReader(bytes[...])
  var found: [NetlinkMessage] = []
  while let message = try reader.next() { found.append(message) }
  return found
}

/// The attributes in some bytes.
func attributes(_ bytes: ArraySlice<UInt8>) throws -> [Attribute] {
  var reader = AttributeReader(bytes)
  var found: [Attribute] = []
  while let attribute = try reader.next() { found.append(attribute) }
  return found
}
