/// An IPv4 or IPv6 address.
///
/// An address has no zone: link-local addresses are only meaningful together with a link, which
/// CNI always names separately.
public struct IPAddress: Hashable, Sendable {
  /// The two address families, by the number that CNI results print as an address's `version`.
  public enum Family: UInt8, Sendable, Hashable {
    /// IPv4, 32 bits.
    case v4 = 4
    /// IPv6, 128 bits.
    case v6 = 6

    /// The number of bits of an address of this family: 32 or 128.
    public var bitWidth: Int { self == .v4 ? 32 : 128 }
  }

  /// The family, which is never changed behind the caller's back: see ``unmapped``.
  public let family: Family

  /// The address as a number; an IPv4 address is in the low 32 bits and the others are zero.
  public let bits: UInt128

  /// Creates an IPv4 address from its number: `127.0.0.1` is `0x7f000001`.
  public init(v4: UInt32) {
    family = .v4
    bits = UInt128(v4)
  }

  /// Creates an IPv6 address from its number, also when that is an IPv4-mapped one.
  public init(v6: UInt128) {
    family = .v6
    bits = v6
  }

  /// Creates an address from 4 or 16 bytes in network order; nil for any other length.
  public init?(bytes: [UInt8]) {
    guard bytes.count == 4 || bytes.count == 16 else { return nil }
    family = bytes.count == 4 ? .v4 : .v6
    bits = bytes.reduce(0) { $0 << 8 | UInt128($1) }
  }

  /// The address in network order: 4 or 16 bytes.
  public var bytes: [UInt8] {
    let width = family.bitWidth
    return stride(from: width - 8, through: 0, by: -8).map { shift in
      UInt8(truncatingIfNeeded: bits >> UInt128(shift))
    }
  }

  /// The following address of the same family; nil after the last one.
  public var next: IPAddress? {
    let last = family == .v4 ? UInt128(UInt32.max) : UInt128.max
    guard bits < last else { return nil }
    return IPAddress(family: family, bits: bits + 1)
  }

  /// The IPv4 address that an IPv4-mapped IPv6 address (`::ffff:0:0/96`) stands for, else itself.
  public var unmapped: IPAddress {
    guard family == .v6, bits >> 32 == 0xffff else { return self }
    return IPAddress(v4: UInt32(truncatingIfNeeded: bits))
  }

  /// Creates an address whose bits are known to fit the family.
  init(family: Family, bits: UInt128) {
    self.family = family
    self.bits = bits
  }
}

extension IPAddress: Comparable {
  /// Orders by number; every IPv4 address comes before every IPv6 address.
  public static func < (left: IPAddress, right: IPAddress) -> Bool {
    guard left.family == right.family else { return left.family == .v4 }
    return left.bits < right.bits
  }
}

extension IPAddress {
  /// Whether the address names a group: `224.0.0.0/4` or `ff00::/8`.
  public var isMulticast: Bool {
    family == .v4 ? bits >> 28 == 0xe : bits >> 120 == 0xff
  }

  /// Whether the address is the machine's own, on no network: in `127.0.0.0/8`, or `::1`.
  public var isLoopback: Bool { family == .v4 ? bits >> 24 == 127 : bits == 1 }

  /// Whether the address is `0.0.0.0` or `::`.
  public var isUnspecified: Bool { bits == 0 }
}
