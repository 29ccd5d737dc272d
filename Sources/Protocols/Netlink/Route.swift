public import Addresses
import CLinux
public import Linux

/// A route of the kernel's tables (`RTM_NEWROUTE`).
public struct Route: Sendable, Equatable {
  /// One of several ways of a route.
  public struct NextHop: Sendable, Equatable {
    /// The link's number.
    public var index: UInt32
    /// The router on that link; nil if the destination is on it.
    public var gateway: IPAddress?
    /// Its share of the traffic, from 1.
    public var weight: Int
  }

  /// Table numbers that have a name (`RT_TABLE_…`).
  public enum Table {
    /// The table that is looked up for ordinary traffic.
    public static var main: UInt32 { UInt32(RT_TABLE_MAIN.rawValue) }
    /// The kernel's own table of local and broadcast addresses.
    public static var local: UInt32 { UInt32(RT_TABLE_LOCAL.rawValue) }
  }

  /// Where the route leads; prefix length 0 is the default route.
  public var destination: IPNetwork
  /// The router to which packets are sent; nil if the destination is on the link.
  public var gateway: IPAddress?
  /// The link's number.
  public var index: UInt32?
  /// The source address that packets get.
  public var source: IPAddress?
  /// The MTU of the path.
  public var mtu: UInt32?
  /// The maximum segment size that TCP announces.
  public var advertisedMSS: UInt32?
  /// The metric: the route with the smallest one wins.
  public var priority: UInt32?
  /// The table.
  public var table = Table.main
  /// The scope (`RT_SCOPE_…`); nil means what ip-route(8) takes: link for IPv4 without a
  /// gateway, else the world.
  public var scope: UInt8?
  /// Who made it (`RTPROT_…`); 3 (boot) is what tools leave that manage no routes.
  public var maker = UInt8(truncatingIfNeeded: RTPROT_BOOT)
  /// What is done with packets (`RTN_…`); 1 (unicast) is a route in the usual sense.
  public var kind = UInt8(truncatingIfNeeded: RTN_UNICAST)
  /// Whether the gateway is taken to be on the link although no route says so.
  public var isOnLink = false
  /// The ways of a route that has several; only read, never sent.
  public var nextHops: [NextHop] = []

  /// Describes a route; its other members are set afterwards.
  public init(to destination: IPNetwork, via gateway: IPAddress? = nil, index: UInt32? = nil) {
    self.destination = destination
    self.gateway = gateway
    self.index = index
  }

  /// Whether this is a default route that packets are sent along.
  public var isDefault: Bool {
    destination.prefixLength == 0 && kind == UInt8(truncatingIfNeeded: RTN_UNICAST)
  }

  /// Reads a message of type `RTM_NEWROUTE` or `RTM_DELROUTE`.
  ///
  /// - Returns: nil for another family than IPv4 and IPv6.
  /// - Throws: `WireError` if it is cut or an attribute is too short.
  public init?(_ message: NetlinkMessage) throws(WireError) {
    var reader = ByteReader(message.payload)
    let header = try reader.read(rtmsg.self)
    var target = Route.zero(header.rtm_family)
    table = UInt32(header.rtm_table)
    scope = header.rtm_scope
    maker = header.rtm_protocol
    kind = header.rtm_type
    isOnLink = header.rtm_flags & UInt32(RTNH_F_ONLINK) != 0
    var attributes = AttributeReader(reader.rest)
    while let attribute = try attributes.next() {
      switch attribute.type {
      case RTA_DST.number: target = IPAddress(bytes: Array(attribute.value))
      case RTA_GATEWAY.number: gateway = IPAddress(bytes: Array(attribute.value))
      case RTA_PREFSRC.number: source = IPAddress(bytes: Array(attribute.value))
      case RTA_OIF.number: index = try attribute.read(UInt32.self)
      case RTA_PRIORITY.number: priority = try attribute.read(UInt32.self)
      case RTA_TABLE.number: table = try attribute.read(UInt32.self)
      case RTA_METRICS.number: (mtu, advertisedMSS) = try Route.metrics(attribute.nested)
      case RTA_MULTIPATH.number: nextHops = try Route.nextHops(attribute.value)
      case RTA_VIA.number:
        // An IPv4 route through an IPv6 router: family (2 bytes), address.
        gateway = IPAddress(bytes: Array(attribute.value.dropFirst(2)))
      default: break
      }
    }
    guard let target,
      let network = IPNetwork(address: target, prefixLength: Int(header.rtm_dst_len))
    else { return nil }
    destination = network
  }

  private static func zero(_ family: UInt8) -> IPAddress? {
    switch Int32(family) {
    case AF_INET: IPAddress(v4: 0)
    case AF_INET6: IPAddress(v6: 0)
    default: nil
    }
  }

  private static func metrics(
    _ attributes: AttributeReader
  ) throws(WireError) -> (mtu: UInt32?, advertisedMSS: UInt32?) {
    var attributes = attributes
    var found: (mtu: UInt32?, advertisedMSS: UInt32?) = (nil, nil)
    while let attribute = try attributes.next() {
      switch attribute.type {
      case Int(RTAX_MTU): found.mtu = try attribute.read(UInt32.self)
      case Int(RTAX_ADVMSS): found.advertisedMSS = try attribute.read(UInt32.self)
      default: break
      }
    }
    return found
  }

  private static func nextHops(_ bytes: ArraySlice<UInt8>) throws(WireError) -> [NextHop] {
    var hops: [NextHop] = []
    var rest = bytes
    let headerSize = MemoryLayout<rtnexthop>.size
    while let header = Kernel.load(rtnexthop.self, from: rest) {
      let length = Int(header.rtnh_len)
      guard length >= headerSize else { throw .shortLength(what: "next hop", length: length) }
      guard length <= rest.count else {
        throw .truncated(what: "next hop", needed: length, left: rest.count)
      }
      var hop = NextHop(
        index: UInt32(bitPattern: header.rtnh_ifindex), weight: Int(header.rtnh_hops) + 1)
      var attributes = AttributeReader(rest.prefix(length).dropFirst(headerSize))
      while let attribute = try attributes.next() {
        if attribute.type == RTA_GATEWAY.number {
          hop.gateway = IPAddress(bytes: Array(attribute.value))
        }
      }
      hops.append(hop)
      rest = rest.dropFirst(aligned(length))
    }
    return hops
  }
}

extension NetlinkSocket {
  /// The routes of one family, of a table, through a link and to some networks if given.
  ///
  /// The kernel is asked for those of the table and the link only, and what leads elsewhere is
  /// forgotten as it comes. So the memory does not depend on what a pod does in its namespace.
  ///
  /// - Parameters:
  ///   - family: IPv4 or IPv6.
  ///   - table: the table; nil for all.
  ///   - index: the link's number; nil for all.
  ///   - destinations: the networks; nil for all.
  ///   - deadline: when to give up.
  /// - Returns: the routes in the kernel's order; of those to given networks the first 1000.
  /// - Throws: as `dump`.
  public mutating func routes(
    _ family: IPAddress.Family, table: UInt32? = nil, index: UInt32? = nil,
    to destinations: Set<IPNetwork>? = nil, deadline: Deadline
  ) throws(NetlinkError) -> [Route] {
    var request = MessageBuilder(type: Int(RTM_GETROUTE))
    var header = rtmsg()
    header.rtm_family = addressFamily(family)
    request.append(header)
    if let table { request.attribute(RTA_TABLE.number, table) }
    if let index { request.attribute(RTA_OIF.number, index) }
    func isWanted(_ route: Route) -> Bool {
      (table == nil || route.table == table)
        && (index == nil || route.index == index || route.nextHops.contains { $0.index == index })
        && destinations?.contains(route.destination) ?? true
    }
    var room = destinations == nil ? Int.max : NetlinkSocket.mostToNetworks
    do throws(NetlinkError) {
      return try dump(request, "list routes", "", deadline: deadline) {
        message throws(WireError) in
        guard message.type == Int(RTM_NEWROUTE), room > 0 else { return nil }
        guard let route = try Route(message), isWanted(route) else { return nil }
        room -= 1
        return route
      }
    } catch {
      // A table that nobody has used does not exist yet.
      if table != nil, error.errno == .noEntry { return [] }
      throw error
    }
  }

  private static let mostToNetworks = 1000

  /// The number of the link to which the default route of the main table leads;
  /// IPv4's before IPv6's.
  ///
  /// - Returns: nil if there is no default route.
  public mutating func defaultRouteLink(deadline: Deadline) throws(NetlinkError) -> UInt32? {
    for family in [IPAddress.Family.v4, .v6] {
      let routes = try routes(
        family, table: Route.Table.main, to: [.all(family)], deadline: deadline)
      let usable = routes.filter { $0.isDefault && ($0.index ?? $0.nextHops.first?.index) != nil }
      let best = usable.min { ($0.priority ?? 0) < ($1.priority ?? 0) }
      if let best { return best.index ?? best.nextHops.first?.index }
    }
    return nil
  }
}

extension NetlinkChange {
  /// Adds a route after those with the same destination and metric, of which it
  /// becomes a further way.
  ///
  /// Fails with `EEXIST` if exactly this route is there.
  public static func addRoute(_ route: Route) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_NEWROUTE), flags: NLM_F_CREATE | NLM_F_APPEND)
    message.append(route)
    return NetlinkChange("add route", route.description, message)
  }

  /// Removes the route that matches; fails with `ESRCH` if there is none.
  public static func removeRoute(_ route: Route) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_DELROUTE))
    message.append(route)
    return NetlinkChange("remove route", route.description, message)
  }
}

extension Route: CustomStringConvertible {
  /// As ip-route(8) prints it, as far as errors need it: `10.0.0.0/8 via 10.1.2.1 dev 7`.
  public var description: String {
    var text = destination.prefixLength == 0 ? "default" : destination.description
    if let gateway { text += " via \(gateway)" }
    if let index { text += " dev \(index)" }
    if table != Table.main { text += " table \(table)" }
    return text
  }

  fileprivate var effectiveScope: UInt8 {
    if let scope { return scope }
    let isDirect = gateway == nil && kind == UInt8(truncatingIfNeeded: RTN_UNICAST)
    let scope = isDirect && destination.family == .v4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE
    return UInt8(truncatingIfNeeded: scope.rawValue)
  }
}

extension MessageBuilder {
  fileprivate mutating func append(_ route: Route) {
    var header = rtmsg()
    header.rtm_family = addressFamily(route.destination.family)
    header.rtm_dst_len = UInt8(truncatingIfNeeded: route.destination.prefixLength)
    // Larger numbers do not fit here and are in the attribute only.
    header.rtm_table = UInt8(exactly: route.table) ?? 0
    header.rtm_protocol = route.maker
    header.rtm_scope = route.effectiveScope
    header.rtm_type = route.kind
    if route.isOnLink { header.rtm_flags = UInt32(RTNH_F_ONLINK) }
    append(header)
    attribute(RTA_TABLE.number, route.table)
    if route.destination.prefixLength > 0 {
      attribute(RTA_DST.number, bytes: route.destination.first.bytes)
    }
    if let gateway = route.gateway { append(gateway, for: route.destination.family) }
    if let index = route.index { attribute(RTA_OIF.number, index) }
    if let source = route.source { attribute(RTA_PREFSRC.number, bytes: source.bytes) }
    if let priority = route.priority { attribute(RTA_PRIORITY.number, priority) }
    if route.mtu != nil || route.advertisedMSS != nil {
      nested(RTA_METRICS.number) { metrics in
        if let mtu = route.mtu { metrics.attribute(Int(RTAX_MTU), mtu) }
        if let size = route.advertisedMSS { metrics.attribute(Int(RTAX_ADVMSS), size) }
      }
    }
  }

  private mutating func append(_ gateway: IPAddress, for family: IPAddress.Family) {
    if gateway.family == family {
      attribute(RTA_GATEWAY.number, bytes: gateway.bytes)
      return
    }
    // struct rtvia: the family in two bytes of the machine's order, then the address.
    var via: [UInt8] = []
    Kernel.append(UInt16(addressFamily(gateway.family)), to: &via)
    attribute(RTA_VIA.number, bytes: via + gateway.bytes)
  }
}

extension rtattr_type_t {
  var number: Int { Int(rawValue) }
}
