/// The identity of a row.
public struct OVSDBUUID: Hashable, Sendable {
  private let bits: UInt128

  /// The identity of no row: the default of a column that refers to one.
  public static let zero = OVSDBUUID(bits: 0)

  private init(bits: UInt128) { self.bits = bits }

  /// Reads the usual form, 8-4-4-4-12 hexadecimal digits; nil for anything else.
  public init?(_ text: String) {
    let utf8 = Array(text.utf8)
    guard utf8.count == 36 else { return nil }
    var bits: UInt128 = 0
    for (index, byte) in utf8.enumerated() {
      if Self.hyphens.contains(index) {
        guard byte == UInt8(ascii: "-") else { return nil }
        continue
      }
      let digit: UInt8
      switch byte {
      case 0x30...0x39: digit = byte - 0x30
      case 0x41...0x46: digit = byte - 0x37
      case 0x61...0x66: digit = byte - 0x57
      default: return nil
      }
      bits = bits << 4 | UInt128(digit)
    }
    self.bits = bits
  }

  private static let hyphens = [8, 13, 18, 23]
}

extension OVSDBUUID: CustomStringConvertible {
  /// The usual form in lower case.
  public var description: String {
    let digits = String(bits, radix: 16)
    let padded = String(repeating: "0", count: max(0, 32 - digits.utf8.count)) + digits
    var text = ""
    for (index, digit) in padded.enumerated() {
      if [8, 12, 16, 20].contains(index) { text += "-" }
      text.append(digit)
    }
    return text
  }
}
