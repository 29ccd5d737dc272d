public import Addresses
import CLinux
public import Linux

/// An address's state bits (`IFA_F_…`).
public struct AddressFlags: OptionSet, Sendable, Hashable {
  /// The kernel's bits.
  public let rawValue: UInt32
  /// Wraps bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// IFA_F_NODAD: is used without duplicate address detection.
  public static let noDAD = AddressFlags(rawValue: UInt32(IFA_F_NODAD))
  /// IFA_F_OPTIMISTIC: is used although the detection has not ended.
  public static let optimistic = AddressFlags(rawValue: UInt32(IFA_F_OPTIMISTIC))
  /// IFA_F_DADFAILED: somebody else has the address.
  public static let dadFailed = AddressFlags(rawValue: UInt32(IFA_F_DADFAILED))
  /// IFA_F_TENTATIVE: duplicate address detection has not ended.
  public static let tentative = AddressFlags(rawValue: UInt32(IFA_F_TENTATIVE))
  /// IFA_F_PERMANENT: has no lifetime.
  public static let permanent = AddressFlags(rawValue: UInt32(IFA_F_PERMANENT))
}

/// An address of a link (`RTM_NEWADDR`).
public struct InterfaceAddress: Sendable, Equatable {
  /// The link's number.
  public var index: UInt32
  /// The address with its prefix length.
  public var network: IPNetwork
  /// The other end of a point-to-point link.
  public var peer: IPAddress?
  /// The IPv4 broadcast address.
  public var broadcast: IPAddress?
  /// State bits; of these only `noDAD` and `optimistic` mean something when an address is added.
  public var flags: AddressFlags
  /// The scope (`RT_SCOPE_…`); 0 is the whole world.
  public var scope: UInt8

  /// Describes an address to be added; an IPv4 network larger than two addresses gets its
  /// last as broadcast.
  public init(index: UInt32, network: IPNetwork, flags: AddressFlags = [], scope: UInt8 = 0) {
    self.index = index
    self.network = network
    self.flags = flags
    self.scope = scope
    if network.family == .v4, network.prefixLength < 31 { broadcast = network.last }
  }

  /// Reads a message of type `RTM_NEWADDR` or `RTM_DELADDR`.
  ///
  /// - Returns: nil for another family than IPv4 and IPv6.
  /// - Throws: `WireError` if it is cut or an attribute is too short.
  public init?(_ message: NetlinkMessage) throws(WireError) {
    var reader = ByteReader(message.payload)
    let header = try reader.read(ifaddrmsg.self)
    index = header.ifa_index
    scope = header.ifa_scope
    flags = AddressFlags(rawValue: UInt32(header.ifa_flags))
    var near: IPAddress?
    var far: IPAddress?
    var attributes = AttributeReader(reader.rest)
    while let attribute = try attributes.next() {
      switch attribute.type {
      case Int(IFA_LOCAL): near = IPAddress(bytes: Array(attribute.value))
      case Int(IFA_ADDRESS): far = IPAddress(bytes: Array(attribute.value))
      case Int(IFA_BROADCAST): broadcast = IPAddress(bytes: Array(attribute.value))
      // The header has room for the oldest eight flags only.
      case Int(IFA_FLAGS): flags = AddressFlags(rawValue: try attribute.read(UInt32.self))
      default: break
      }
    }
    guard let address = near ?? far,
      let network = IPNetwork(address: address, prefixLength: Int(header.ifa_prefixlen))
    else { return nil }
    self.network = network
    if near != nil, far != near { peer = far }
  }
}

extension NetlinkSocket {
  /// The addresses of a link, or of all links.
  ///
  /// - Parameters:
  ///   - index: the link's number; nil for all.
  ///   - family: one family only, if given.
  ///   - networks: those with these networks only, if given; others are forgotten as they come.
  ///   - deadline: when to give up.
  /// - Returns: the addresses in the kernel's order.
  /// - Throws: as `dump`.
  public mutating func addresses(
    of index: UInt32? = nil, family: IPAddress.Family? = nil, with networks: Set<IPNetwork>? = nil,
    deadline: Deadline
  ) throws(NetlinkError) -> [InterfaceAddress] {
    var request = MessageBuilder(type: Int(RTM_GETADDR))
    var header = ifaddrmsg()
    header.ifa_family = addressFamily(family)
    header.ifa_index = index ?? 0
    request.append(header)
    let object = index.map { "of interface \($0)" } ?? ""
    return try dump(request, "list addresses", object, deadline: deadline) {
      message throws(WireError) in
      guard message.type == Int(RTM_NEWADDR), let address = try InterfaceAddress(message),
        // Kernels before 4.20 do not look at the index.
        index == nil || address.index == index
      else { return nil }
      return networks?.contains(address.network) ?? true ? address : nil
    }
  }

  /// Which of some addresses the links of a namespace have; none if the namespace is gone.
  ///
  /// Nothing else is kept of the answer, however many addresses the namespace has.
  ///
  /// - Parameters:
  ///   - wanted: the addresses that are looked for.
  ///   - namespace: the id by which the socket's namespace knows it; nil for the socket's own.
  ///   - deadline: when to give up.
  /// - Returns: those that are there.
  /// - Throws: as `dump`.
  public mutating func addresses(
    among wanted: Set<IPAddress>, inNamespace namespace: Int32? = nil, deadline: Deadline
  ) throws(NetlinkError) -> Set<IPAddress> {
    var present: Set<IPAddress> = []
    for family in [IPAddress.Family.v4, .v6] where wanted.contains(where: { $0.family == family }) {
      var request = MessageBuilder(type: Int(RTM_GETADDR))
      var header = ifaddrmsg()
      header.ifa_family = addressFamily(family)
      request.append(header)
      if let namespace { request.attribute(Int(IFA_TARGET_NETNSID), namespace) }
      do throws(NetlinkError) {
        let _: [Bool] = try dump(request, "list addresses", "", deadline: deadline) {
          message throws(WireError) in
          guard message.type == Int(RTM_NEWADDR) else { return nil }
          let address = try InterfaceAddress(message)?.network.address
          if let address, wanted.contains(address) { present.insert(address) }
          return nil
        }
      } catch {
        if namespace == nil || error.errno != .invalid { throw error }
      }
    }
    return present
  }
}

extension NetlinkChange {
  /// Adds an address to a link; fails with `EEXIST` if it is there.
  public static func addAddress(_ address: InterfaceAddress) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_NEWADDR), flags: NLM_F_CREATE | NLM_F_EXCL)
    message.append(address)
    if let broadcast = address.broadcast {
      message.attribute(Int(IFA_BROADCAST), bytes: broadcast.bytes)
    }
    if !address.flags.isEmpty { message.attribute(Int(IFA_FLAGS), address.flags.rawValue) }
    return NetlinkChange("add address", "\(address.network) to interface \(address.index)", message)
  }

  /// Removes an address from a link; fails with `EADDRNOTAVAIL` if it is not there.
  public static func removeAddress(_ address: InterfaceAddress) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_DELADDR))
    message.append(address)
    return NetlinkChange(
      "remove address", "\(address.network) from interface \(address.index)", message)
  }
}

extension MessageBuilder {
  fileprivate mutating func append(_ address: InterfaceAddress) {
    var header = ifaddrmsg()
    header.ifa_family = addressFamily(address.network.family)
    header.ifa_prefixlen = UInt8(truncatingIfNeeded: address.network.prefixLength)
    header.ifa_scope = address.scope
    header.ifa_index = address.index
    append(header)
    let near = address.network.address
    attribute(Int(IFA_LOCAL), bytes: near.bytes)
    attribute(Int(IFA_ADDRESS), bytes: (address.peer ?? near).bytes)
  }
}

/// The kernel's number of an address family; 0 stands for every family.
func addressFamily(_ family: IPAddress.Family?) -> UInt8 {
  switch family {
  case .v4: UInt8(truncatingIfNeeded: AF_INET)
  case .v6: UInt8(truncatingIfNeeded: AF_INET6)
  case nil: UInt8(truncatingIfNeeded: AF_UNSPEC)
  }
}
