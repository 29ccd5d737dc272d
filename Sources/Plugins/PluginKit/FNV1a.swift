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
  public var text: String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, 32 - digits.count)) + digits
  }

  /// So many digits of base 32 (`0`–`9`, `a`–`v`), five bits each, where a name has little room.
  public func short(digits count: Int) -> String {
    let digits = String(value, radix: 32)
    let missing = max(0, count - digits.count)
    return String((String(repeating: "0", count: missing) + digits).suffix(count))
  }
}
