/// An address together with the length of its network's prefix, written in CIDR notation.
///
/// The address keeps its host bits, as an interface's address has them; ``masked`` is the network
/// itself. Two values with different host bits are different values. Counterpart of Go's
/// `net.IPNet` as CNI uses it.
public struct IPNetwork: Hashable, Sendable {
  /// The address, host bits included.
  public let address: IPAddress

  /// The number of leading bits that all addresses of the network share: 0...32 or 0...128.
  public let prefixLength: Int

  /// Joins an address and a prefix length; nil when the length does not fit the family.
  public init?(address: IPAddress, prefixLength: Int) {
    guard prefixLength >= 0, prefixLength <= address.family.bitWidth else { return nil }
    self.address = address
    self.prefixLength = prefixLength
  }

  /// The network of one address only: `/32` or `/128`.
  public init(host address: IPAddress) {
    self.address = address
    self.prefixLength = address.family.bitWidth
  }

  /// Every address of a family: `0.0.0.0/0` or `::/0`, the destination of a default route.
  public static func all(_ family: IPAddress.Family) -> IPNetwork {
    IPNetwork(unchecked: IPAddress(family: family, bits: 0), 0)
  }

  /// Reads CIDR notation by the rules of Go's `net.ParseCIDR`.
  ///
  /// The address follows ``IPAddress/init(_:)``; the length is a decimal number, leading zeros
  /// included. An IPv4-mapped address with a length of at least 96 is the IPv4 network.
  public init?(_ cidr: String) {
    let text = cidr.utf8.span
    guard let slash = text.indices.first(where: { text[$0] == UInt8(ascii: "/") }),
      let address = IPAddress(exactly: text.extracting(0..<slash)),
      let length = readLength(text.extracting((slash + 1)..<text.count)),
      length <= address.family.bitWidth
    else { return nil }
    if address.unmapped.family != address.family, length >= 96 {
      self.init(address: address.unmapped, prefixLength: length - 96)
    } else {
      self.init(address: address, prefixLength: length)
    }
  }

  /// The address family.
  public var family: IPAddress.Family { address.family }

  /// The same network with all host bits zero.
  public var masked: IPNetwork { IPNetwork(unchecked: first, prefixLength) }

  /// The lowest address: the network's own.
  public var first: IPAddress {
    IPAddress(family: family, bits: address.bits & ~hostMask)
  }

  /// The highest address: for IPv4 the broadcast address.
  public var last: IPAddress {
    IPAddress(family: family, bits: address.bits | hostMask)
  }

  /// The network mask as an address: `255.255.255.0` for `/24`.
  public var mask: IPAddress {
    let all = family == .v4 ? UInt128(UInt32.max) : UInt128.max
    return IPAddress(family: family, bits: all & ~hostMask)
  }

  /// Whether the address lies in this network; never for one of the other family.
  public func contains(_ other: IPAddress) -> Bool {
    other.family == family && other.bits & ~hostMask == address.bits & ~hostMask
  }

  /// Whether the two networks have an address in common.
  public func overlaps(_ other: IPNetwork) -> Bool {
    contains(other.first) || other.contains(first)
  }

  /// The bits that differ between the network's addresses.
  private var hostMask: UInt128 {
    let width = family.bitWidth - prefixLength
    return width == 128 ? UInt128.max : (1 << UInt128(width)) - 1
  }

  private init(unchecked address: IPAddress, _ prefixLength: Int) {
    self.address = address
    self.prefixLength = prefixLength
  }
}

extension IPNetwork: CustomStringConvertible {
  /// CIDR notation with the host bits kept: `10.1.2.3/24`.
  public var description: String { address.description + "/" + String(prefixLength) }
}

/// Reads a decimal number of at most 128; anything else is nil.
private func readLength(_ text: Span<UInt8>) -> Int? {
  guard !text.isEmpty else { return nil }
  var value = 0
  for index in text.indices {
    guard let digit = decimalDigit(text[index]) else { return nil }
    value = value * 10 + Int(digit)
    guard value <= 128 else { return nil }
  }
  return value
}
