public import Addresses
import CLinux
public import Linux

/// An entry of the kernel's ARP or neighbour discovery table (`RTM_NEWNEIGH`).
public struct Neighbour: Sendable, Equatable {
  /// How much the kernel trusts an entry (`NUD_…`).
  public struct State: OptionSet, Sendable, Hashable {
    /// The kernel's bits.
    public let rawValue: UInt16
    /// Wraps bits.
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    /// NUD_REACHABLE: confirmed not long ago.
    public static let reachable = State(rawValue: UInt16(NUD_REACHABLE))
    /// NUD_STALE: to be confirmed when it is used.
    public static let stale = State(rawValue: UInt16(NUD_STALE))
    /// NUD_FAILED: nobody answered.
    public static let failed = State(rawValue: UInt16(NUD_FAILED))
    /// NUD_NOARP: needs no confirmation.
    public static let noARP = State(rawValue: UInt16(NUD_NOARP))
    /// NUD_PERMANENT: stays until it is removed.
    public static let permanent = State(rawValue: UInt16(NUD_PERMANENT))
  }

  /// The link's number.
  public var index: UInt32
  /// Whose entry it is.
  public var address: IPAddress
  /// Its hardware address; nil as long as it is not known.
  public var mac: MACAddress?
  /// How much the kernel trusts it.
  public var state: State

  /// Describes an entry, a permanent one unless said otherwise.
  public init(index: UInt32, address: IPAddress, mac: MACAddress?, state: State = .permanent) {
    self.index = index
    self.address = address
    self.mac = mac
    self.state = state
  }

  /// Reads a message of type `RTM_NEWNEIGH` or `RTM_DELNEIGH`.
  ///
  /// - Returns: nil for an entry without an IP address, such as a bridge's.
  /// - Throws: `WireError` if it is cut or an attribute is too short.
  public init?(_ message: NetlinkMessage) throws(WireError) {
    var reader = ByteReader(message.payload)
    let header = try reader.read(ndmsg.self)
    index = UInt32(bitPattern: header.ndm_ifindex)
    state = State(rawValue: header.ndm_state)
    var found: IPAddress?
    var attributes = AttributeReader(reader.rest)
    while let attribute = try attributes.next() {
      switch attribute.type {
      case Int(NDA_DST): found = IPAddress(bytes: Array(attribute.value))
      case Int(NDA_LLADDR): mac = MACAddress(bytes: Array(attribute.value))
      default: break
      }
    }
    guard let found else { return nil }
    address = found
  }
}

extension NetlinkSocket {
  /// The neighbours on a link, or on all links.
  ///
  /// - Parameters:
  ///   - index: the link's number; nil for all.
  ///   - deadline: when to give up.
  /// - Returns: the neighbours in the kernel's order.
  /// - Throws: as `dump`.
  public mutating func neighbours(
    of index: UInt32? = nil, deadline: Deadline
  ) throws(NetlinkError) -> [Neighbour] {
    var request = MessageBuilder(type: Int(RTM_GETNEIGH))
    request.append(ndmsg())
    if let index { request.attribute(Int(NDA_IFINDEX), index) }
    let found = try dump(request, "list neighbours", "", deadline: deadline) {
      message throws(WireError) in
      message.type == Int(RTM_NEWNEIGH) ? try Neighbour(message) : nil
    }
    return found.filter { index == nil || $0.index == index }
  }
}

extension NetlinkChange {
  /// Adds a neighbour, or replaces the entry of the same address.
  public static func setNeighbour(_ neighbour: Neighbour) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_NEWNEIGH), flags: NLM_F_CREATE | NLM_F_REPLACE)
    message.append(neighbour)
    return NetlinkChange("set neighbour", neighbour.object, message)
  }

  /// Removes a neighbour; fails with `ENOENT` if it is not there.
  public static func removeNeighbour(_ neighbour: Neighbour) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_DELNEIGH))
    message.append(neighbour)
    return NetlinkChange("remove neighbour", neighbour.object, message)
  }
}

extension Neighbour {
  fileprivate var object: String { "\(address) on interface \(index)" }
}

extension MessageBuilder {
  fileprivate mutating func append(_ neighbour: Neighbour) {
    var header = ndmsg()
    header.ndm_family = addressFamily(neighbour.address.family)
    header.ndm_ifindex = Int32(bitPattern: neighbour.index)
    header.ndm_state = neighbour.state.rawValue
    append(header)
    attribute(Int(NDA_DST), bytes: neighbour.address.bytes)
    if let mac = neighbour.mac { attribute(Int(NDA_LLADDR), bytes: mac.bytes) }
  }
}
