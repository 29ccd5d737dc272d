/// An Ethernet hardware address of six bytes.
public struct MACAddress: Hashable, Sendable {
  /// The address as a number in the low 48 bits.
  private let bits: UInt64

  /// Creates an address from six bytes in transmission order; nil for any other length.
  public init?(bytes: [UInt8]) {
    guard bytes.count == 6 else { return nil }
    bits = bytes.reduce(0) { $0 << 8 | UInt64($1) }
  }

  /// Reads the three notations of Go's `net.ParseMAC`, six bytes only.
  ///
  /// They are `02:00:5e:10:00:01`, `02-00-5e-10-00-01` and `0200.5e10.0001`, digits of either case.
  public init?(_ text: String) {
    let utf8 = text.utf8.span
    guard utf8.count == 17 || utf8.count == 14 else { return nil }
    let group = utf8.count == 17 ? 2 : 4
    let separator = utf8[group]
    guard group == 4 ? separator == UInt8(ascii: ".") : isColonOrHyphen(separator) else {
      return nil
    }
    var value: UInt64 = 0
    for index in utf8.indices {
      if index % (group + 1) == group {
        guard utf8[index] == separator else { return nil }
      } else {
        guard let digit = hexadecimalDigit(utf8[index]) else { return nil }
        value = value << 4 | UInt64(digit)
      }
    }
    bits = value
  }

  /// The six bytes in transmission order.
  public var bytes: [UInt8] {
    stride(from: 40, through: 0, by: -8).map { UInt8(truncatingIfNeeded: bits >> UInt64($0)) }
  }

  /// Whether the address names a group; a link cannot have such an address.
  public var isMulticast: Bool { bits >> 40 & 1 == 1 }

  /// Whether the address was not assigned by a manufacturer.
  public var isLocallyAdministered: Bool { bits >> 41 & 1 == 1 }

  /// Creates a locally administered unicast address from six random bytes; nil for other lengths.
  public static func locallyAdministered(random: [UInt8]) -> MACAddress? {
    guard var bytes = random.count == 6 ? random : nil else { return nil }
    bytes[0] = bytes[0] & 0xfc | 0x02
    return MACAddress(bytes: bytes)
  }
}

extension MACAddress: CustomStringConvertible {
  /// Six lower-case pairs of digits with colons between them, as the kernel's tools print them.
  public var description: String {
    let digits: [UInt8] = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(17)
    for byte in bytes {
      if !text.isEmpty { text.append(UInt8(ascii: ":")) }
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }
}

private func isColonOrHyphen(_ byte: UInt8) -> Bool {
  byte == UInt8(ascii: ":") || byte == UInt8(ascii: "-")
}
