/// The FNV-1a hash of 128 bits: short names of attachments, for files and links.
///
/// Source: <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>. It keeps names
/// apart and no secrets.
public struct FNV1a: Sendable {
  private var value: UInt128 = 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D

  /// The hash of nothing.
  public init() {}

  /// Adds a text and an end mark, so that `ab`, `c` differs from `a`, `bc`.
  public mutating func combine(_ text: String) {
    for byte in text.utf8 { add(byte) }
    add(0)
  }

  private mutating func add(_ byte: UInt8) {
    value ^= UInt128(byte)
    value = value &* 0x0000_0000_0100_0000_0000_0000_0000_013B
  }

  /// 32 hexadecimal digits.
  public var text: String { digits(32, bits: 4) }

  /// So many digits of base 32 (`0`–`9`, `a`–`v`), five bits each, where a name has little room.
  public func short(digits count: Int) -> String { digits(count, bits: 5) }

  /// The last digits.
  ///
  /// `String(_:radix:)` takes ten times longer for a number of this size.
  private func digits(_ count: Int, bits: UInt64) -> String {
    var digits: [UInt8] = []
    var (high, low) = (UInt64(truncatingIfNeeded: value >> 64), UInt64(truncatingIfNeeded: value))
    for _ in 0..<count {
      let digit = UInt8(low & ((1 << bits) - 1))
      digits.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
      low = low >> bits | high << (64 - bits)
      high >>= bits
    }
    return String(decoding: digits.reversed(), as: UTF8.self)
  }
}
