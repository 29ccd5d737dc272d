package import Addresses

/// Why a range or a set of ranges cannot be used; the text is the reference plugin's.
package struct RangeError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The text, `RangeStart 10.0.1.1 not in network 10.0.0.0/24`.
  package let description: String

  init(_ description: String) { self.description = description }
}

extension IPAddress {
  /// The words for a gateway that cannot be one for a network.
  package func isOfOtherFamily(than network: IPNetwork) -> String {
    "gateway \(self) is an IPv\(family.rawValue) address, \(network) is"
      + " IPv\(network.address.family.rawValue)"
  }
}

/// A run of addresses in one subnet out of which `host-local` gives leases.
///
/// A value of this type is valid and complete: both ends lie in the subnet, the start is not after
/// the end, and the gateway, which is never leased, is known. Counterpart of one entry of `ranges`.
package struct AddressRange: Hashable, Sendable, CustomStringConvertible {
  /// The network that the addresses belong to; its prefix length goes into the result.
  package let subnet: IPNetwork
  /// The first address, itself included.
  package let start: IPAddress
  /// The last address, itself included.
  package let end: IPAddress
  /// The gateway of the result; it is never leased, and it may lie outside the range.
  package let gateway: IPAddress

  /// Checks a range and fills in what was left out.
  ///
  /// - Parameters:
  ///   - subnet: the network; host bits, or fewer than two usable addresses, are errors.
  ///   - start: the first address; network + 1 if nil.
  ///   - end: the last address; if nil the subnet's last one, for IPv4 the one before the
  ///     broadcast address.
  ///   - gateway: the gateway; network + 1 if nil.
  /// - Throws: ``RangeError`` with the reference's text.
  package init(
    subnet: IPNetwork, start: IPAddress? = nil, end: IPAddress? = nil, gateway: IPAddress? = nil
  ) throws(RangeError) {
    let width = subnet.address.family == .v4 ? 32 : 128
    guard subnet.prefixLength <= width - 2 else {
      throw RangeError("Network \(subnet) too small to allocate from")
    }
    let network = subnet.masked.address
    guard network == subnet.address, let first = network.next else {
      throw RangeError(
        "Network has host bits set. For a subnet mask of length \(subnet.prefixLength)"
          + " the network address is \(network)")
    }
    if let start, !subnet.contains(start) {
      throw RangeError("RangeStart \(start) not in network \(subnet)")
    }
    if let end, !subnet.contains(end) {
      throw RangeError("RangeEnd \(end) not in network \(subnet)")
    }
    self.start = start ?? first
    self.end = end ?? AddressRange.lastUsable(in: subnet)
    // Also an IPv4 start at the broadcast address; the reference would lease beyond it.
    guard self.start <= self.end else {
      let words = [start == nil ? "the first address" : "rangeStart", "\(self.start) is behind"]
      let last = end == nil ? "the last address" : "rangeEnd"
      throw RangeError(words.joined(separator: " ") + " \(last) \(self.end)")
    }
    if let gateway, gateway.family != subnet.address.family {
      throw RangeError(gateway.isOfOtherFamily(than: subnet))
    }
    self.subnet = subnet
    self.gateway = gateway ?? first
  }

  /// Whether an address lies between the two ends.
  package func contains(_ address: IPAddress) -> Bool {
    address.family == subnet.address.family && start <= address && address <= end
  }

  /// `10.0.0.1-10.0.0.254`.
  package var description: String { "\(start)-\(end)" }

  private static func lastUsable(in subnet: IPNetwork) -> IPAddress {
    let last = subnet.masked.last
    guard last.family == .v4, last.bits > 0 else { return last }
    return IPAddress(v4: UInt32(truncatingIfNeeded: last.bits - 1))
  }
}

/// The ranges out of which an attachment gets one address.
///
/// All ranges of a set are of one family and have no address in common.
package struct RangeSet: Hashable, Sendable, CustomStringConvertible {
  /// The ranges in the order of the configuration; at least one.
  package let ranges: [AddressRange]

  /// Checks that the ranges form a set.
  ///
  /// - Parameter ranges: valid ranges; none, two families and overlaps are errors.
  /// - Throws: ``RangeError`` with the reference's text.
  package init(_ ranges: [AddressRange]) throws(RangeError) {
    guard let first = ranges.first else { throw RangeError("empty range set") }
    let family = first.subnet.address.family
    guard ranges.allSatisfy({ $0.subnet.address.family == family }) else {
      throw RangeError("mixed address families")
    }
    let numbered = ranges.enumerated().map { (number: $0.offset, range: $0.element) }
    if let (one, other) = Self.overlap(of: numbered) {
      throw RangeError("subnets \(ranges[one]) and \(ranges[other]) overlap")
    }
    self.ranges = ranges
  }

  /// The numbers of two sets that have an address in common, the smaller one first; nil if none do.
  package static func overlap(among sets: [RangeSet]) -> (Int, Int)? {
    let ranges = sets.enumerated().flatMap { entry in
      entry.element.ranges.map { (number: entry.offset, range: $0) }
    }
    return overlap(of: ranges)
  }

  /// Two numbers whose ranges have an address in common: sorted by their starts, one of two that do
  /// lies behind a range that reaches into it.
  private static func overlap(of ranges: [(number: Int, range: AddressRange)]) -> (Int, Int)? {
    for family in [IPAddress.Family.v4, .v6] {
      let sorted = ranges.filter { $0.range.subnet.address.family == family }
        .sorted { ($0.range.start, $0.number) < ($1.range.start, $1.number) }
      guard var farthest = sorted.first else { continue }
      for next in sorted.dropFirst() {
        if next.range.start <= farthest.range.end {
          return (min(next.number, farthest.number), max(next.number, farthest.number))
        }
        farthest = next
      }
    }
    return nil
  }

  /// The family of every address in the set.
  package var family: IPAddress.Family { ranges.first?.subnet.address.family ?? .v4 }

  /// The range that holds an address, if any.
  package func range(holding address: IPAddress) -> AddressRange? {
    ranges.first { $0.contains(address) }
  }

  /// The ranges, joined by commas.
  package var description: String { ranges.map(\.description).joined(separator: ",") }

  /// Every address of the set once, gateways left out, in the order in which they are tried.
  ///
  /// - Parameter last: the address leased last; the walk begins after it if the set holds it, else
  ///   at the first range's start.
  /// - Returns: the walk.
  package func walk(after last: IPAddress?) -> RangeWalk { RangeWalk(self, after: last) }
}

/// The addresses of a set in a circle, beginning after the one leased last.
///
/// It is a sequence of up to 2^128 addresses; nothing is made in advance.
package struct RangeWalk: Sequence, IteratorProtocol, Sendable {
  private let ranges: [AddressRange]
  private var index: Int
  private var current: IPAddress?
  private var first: IPAddress?
  private var begun = false

  init(_ set: RangeSet, after last: IPAddress?) {
    ranges = set.ranges
    index = 0
    current = nil
    if let last, let holder = ranges.firstIndex(where: { $0.contains(last) }) {
      index = holder
      current = last
      advance()
    } else {
      current = ranges.first?.start
    }
    first = current
  }

  /// The next address and its range, or nil once the circle is closed.
  package mutating func next() -> (address: IPAddress, range: AddressRange)? {
    while let address = current, ranges.indices.contains(index) {
      if begun && address == first { return nil }
      begun = true
      let range = ranges[index]
      advance()
      if address != range.gateway { return (address, range) }
    }
    return nil
  }

  private mutating func advance() {
    guard let address = current, ranges.indices.contains(index) else { return }
    if address < ranges[index].end, let next = address.next {
      current = next
      return
    }
    index = (index + 1) % ranges.count
    current = ranges[index].start
  }
}
