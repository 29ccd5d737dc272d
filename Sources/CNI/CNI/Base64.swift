/// Standard base64 with padding, RFC 4648 section 4: how a request carries the exact bytes of
/// a configuration.
public enum Base64 {
  /// Why a text is not base64, and where.
  public struct DecodingError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The offset in bytes of what is wrong; the text's length when something is missing.
    public let offset: Int

    /// One line without any of the text.
    public var description: String { "illegal base64 data at input byte \(offset)" }
  }

  private static let alphabet = Array(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let padding = UInt8(ascii: "=")

  /// Encodes bytes, padded, without line breaks.
  public static func encode(_ bytes: [UInt8]) -> String {
    let alphabet = alphabet
    var output: [UInt8] = []
    output.reserveCapacity(bytes.count / 3 * 4 + 4)
    var at = 0
    while at < bytes.count {
      let count = min(3, bytes.count - at)
      var group = UInt32(bytes[at]) << 16
      if count > 1 { group |= UInt32(bytes[at + 1]) << 8 }
      if count > 2 { group |= UInt32(bytes[at + 2]) }
      for digit in 0..<4 {
        let value = Int(group >> UInt32(18 - 6 * digit)) & 0x3F
        output.append(digit <= count ? alphabet[value] : padding)
      }
      at += count
    }
    return String(decoding: output, as: UTF8.self)
  }

  /// Decodes a text as strictly as it is written: padding is needed, white space, other alphabets
  /// and bits after the last byte are refused.
  ///
  /// - Parameter text: the text.
  /// - Returns: the bytes.
  /// - Throws: where the text goes wrong.
  public static func decode(_ text: String) throws(DecodingError) -> [UInt8] {
    let bytes = Array(text.utf8)
    var digits = bytes.count
    while digits > 0, bytes.count - digits < 2, bytes[digits - 1] == padding { digits -= 1 }
    var output: [UInt8] = []
    output.reserveCapacity(digits / 4 * 3 + 3)
    var group: UInt32 = 0
    for at in 0..<digits {
      guard let value = value(bytes[at]) else { throw DecodingError(offset: at) }
      group = group << 6 | value
      if at % 4 == 3 {
        append(group, bytes: 3, to: &output)
        group = 0
      }
    }
    guard bytes.count % 4 == 0 else { throw DecodingError(offset: bytes.count) }
    let rest = digits % 4
    // The digits that are not there are zero bits; the bits after the last byte must be zero too.
    if rest > 0 {
      group <<= UInt32(6 * (4 - rest))
      let spare: UInt32 = rest == 2 ? 0xFFFF : 0xFF
      guard group & spare == 0 else { throw DecodingError(offset: digits - 1) }
      append(group, bytes: rest - 1, to: &output)
    }
    return output
  }

  private static func append(_ group: UInt32, bytes count: Int, to output: inout [UInt8]) {
    for index in 0..<count {
      output.append(UInt8(truncatingIfNeeded: group >> UInt32(16 - 8 * index)))
    }
  }

  private static func value(_ byte: UInt8) -> UInt32? {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - 65)
    case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - 71)
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte + 4)
    case UInt8(ascii: "+"): 62
    case UInt8(ascii: "/"): 63
    default: nil
    }
  }
}
