public import Addresses
import CLinux
public import Linux

/// How the macvlan links of one parent may talk to each other (`MACVLAN_MODE_…`).
public enum MacvlanMode: String, Sendable, CaseIterable {
  /// Directly; the usual one.
  case bridge
  /// Not at all.
  case `private`
  /// Through the switch outside, which must send frames back (802.1Qbg).
  case vepa
  /// There is one link only, which takes over the parent.
  case passthru
  /// Only chosen source addresses reach a link.
  case source

  var kernelValue: UInt32 {
    switch self {
    case .bridge: MACVLAN_MODE_BRIDGE.rawValue
    case .private: MACVLAN_MODE_PRIVATE.rawValue
    case .vepa: MACVLAN_MODE_VEPA.rawValue
    case .passthru: MACVLAN_MODE_PASSTHRU.rawValue
    case .source: MACVLAN_MODE_SOURCE.rawValue
    }
  }

  init?(kernelValue: UInt32) {
    guard let mode = MacvlanMode.allCases.first(where: { $0.kernelValue == kernelValue }) else {
      return nil
    }
    self = mode
  }
}

/// A link's state bits (`IFF_…`).
public struct LinkFlags: OptionSet, Sendable, Hashable {
  /// The kernel's bits.
  public let rawValue: UInt32
  /// Wraps bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// IFF_UP: somebody brought it up.
  public static let up = LinkFlags(rawValue: 1 << 0)
  /// IFF_LOOPBACK: it is a loopback link.
  public static let loopback = LinkFlags(rawValue: 1 << 3)
  /// IFF_RUNNING: it is up and has a carrier.
  public static let running = LinkFlags(rawValue: 1 << 6)
  /// IFF_LOWER_UP: the layer below it has a carrier.
  public static let lowerUp = LinkFlags(rawValue: 1 << 16)
}

/// A network interface as the kernel describes it (`RTM_NEWLINK`).
public struct Link: Sendable, Equatable {
  /// What only a macvlan link has.
  public struct Macvlan: Sendable, Equatable {
    /// Its mode; nil for one that is not known here.
    public var mode: MacvlanMode?
    /// Broadcast frames that may wait on the parent; nil from kernels before 5.11.
    public var broadcastQueueLength: UInt32?
  }

  /// Its number, unique in its namespace as long as it exists.
  public var index: UInt32
  /// Its name, at most 15 bytes.
  public var name = ""
  /// Its driver's word (`macvlan`, `veth`, `bridge`); empty for hardware and loopback.
  public var kind = ""
  /// Its hardware address, if it is one of six bytes.
  public var mac: MACAddress?
  /// The largest packet, in bytes.
  public var mtu: UInt32 = 0
  /// State bits.
  public var flags: LinkFlags
  /// The free text that ip-link(8) calls alias; empty if there is none.
  public var alias = ""
  /// The index of the link on which it sits: a macvlan's or a VLAN's parent, a veth's other end.
  public var parent: UInt32?
  /// The id of the namespace in which `parent` counts; nil if it is the link's own.
  public var parentNamespaceID: Int32?
  /// The index of the bridge of which it is a port.
  public var bridge: UInt32?
  /// Present on a macvlan link.
  public var macvlan: Macvlan?
  /// The tag of a VLAN link.
  public var vlanID: UInt16?

  /// Reads a message of type `RTM_NEWLINK` or `RTM_DELLINK`.
  ///
  /// - Throws: `WireError` if it is cut or an attribute is too short.
  public init(_ message: NetlinkMessage) throws(WireError) {
    var reader = ByteReader(message.payload)
    let header = try reader.read(ifinfomsg.self)
    index = UInt32(bitPattern: header.ifi_index)
    flags = LinkFlags(rawValue: header.ifi_flags)
    var attributes = AttributeReader(reader.rest)
    while let attribute = try attributes.next() {
      switch attribute.type {
      case Int(IFLA_IFNAME): name = attribute.text
      case Int(IFLA_ADDRESS): mac = MACAddress(bytes: Array(attribute.value))
      case Int(IFLA_MTU): mtu = try attribute.read(UInt32.self)
      case Int(IFLA_IFALIAS): alias = attribute.text
      case Int(IFLA_LINK): parent = try attribute.read(UInt32.self)
      case Int(IFLA_LINK_NETNSID): parentNamespaceID = try attribute.read(Int32.self)
      case Int(IFLA_MASTER): bridge = try attribute.read(UInt32.self)
      case Int(IFLA_LINKINFO): try readInfo(attribute.nested)
      default: break
      }
    }
  }

  private mutating func readInfo(_ info: AttributeReader) throws(WireError) {
    var info = info
    var data: AttributeReader?
    while let attribute = try info.next() {
      switch attribute.type {
      case Int(IFLA_INFO_KIND): kind = attribute.text
      case Int(IFLA_INFO_DATA): data = attribute.nested
      default: break
      }
    }
    switch kind {
    case "macvlan": try readMacvlan(data)
    case "vlan":
      while let attribute = try data?.next() {
        if attribute.type == Int(IFLA_VLAN_ID) { vlanID = try attribute.read(UInt16.self) }
      }
    default: break
    }
  }

  private mutating func readMacvlan(_ data: AttributeReader?) throws(WireError) {
    var data = data
    var details = Macvlan()
    while let attribute = try data?.next() {
      switch attribute.type {
      case Int(IFLA_MACVLAN_MODE):
        details.mode = MacvlanMode(kernelValue: try attribute.read(UInt32.self))
      case Int(IFLA_MACVLAN_BC_QUEUE_LEN):
        details.broadcastQueueLength = try attribute.read(UInt32.self)
      default: break
      }
    }
    macvlan = details
  }
}

extension Link {
  /// `ALTIFNAMSIZ`: how long an alternative name is with the zero byte at its end.
  fileprivate static let alternativeNameSize = 128
}

extension NetlinkSocket {
  /// All links of the namespace.
  public mutating func links(deadline: Deadline) throws(NetlinkError) -> [Link] {
    try dump(Link.request(index: 0), "list links", "", deadline: deadline, parse: Link.parse)
  }

  /// The link with a name, or nil if there is none.
  ///
  /// The kernel knows a link by its alternative names too, which may be longer. No link has a name
  /// that neither of the two can hold.
  public mutating func link(named name: String, deadline: Deadline) throws(NetlinkError) -> Link? {
    let length = name.utf8.count
    guard (1..<Link.alternativeNameSize).contains(length), !name.utf8.contains(0) else {
      return nil
    }
    var request = Link.request(index: 0)
    let isLong = length >= Int(IFNAMSIZ)
    request.attribute(Int(isLong ? IFLA_ALT_IFNAME : IFLA_IFNAME), text: name)
    return try link(request, name, deadline)
  }

  /// The link with a name in another namespace, or nil if there is none or the namespace is gone.
  ///
  /// The namespace is asked without being entered or held (`IFLA_TARGET_NETNSID`).
  ///
  /// - Parameters:
  ///   - name: the link's name there.
  ///   - namespace: the id by which the socket's namespace knows it.
  ///   - deadline: when to give up.
  /// - Returns: the link.
  /// - Throws: as `get`.
  public mutating func link(
    named name: String, inNamespace namespace: Int32, deadline: Deadline
  ) throws(NetlinkError) -> Link? {
    var request = Link.request(index: 0)
    request.attribute(Int(IFLA_TARGET_NETNSID), namespace)
    request.attribute(Int(IFLA_IFNAME), text: name)
    do throws(NetlinkError) {
      return try link(request, name, deadline)
    } catch {
      // What the kernel says of an id that it does not know.
      if error.errno == .invalid { return nil }
      throw error
    }
  }

  /// The first link of a namespace that fulfils a condition; nil if none does, or the namespace is
  /// gone.
  ///
  /// Only links that fulfil it are kept of the answer, however many links the namespace has.
  ///
  /// - Parameters:
  ///   - namespace: the id by which the socket's namespace knows it; nil for the socket's own.
  ///   - deadline: when to give up.
  ///   - condition: whether it is the one that is looked for.
  /// - Returns: the link.
  /// - Throws: as `dump`.
  public mutating func link(
    inNamespace namespace: Int32?, deadline: Deadline, where condition: (Link) -> Bool
  ) throws(NetlinkError) -> Link? {
    var request = Link.request(index: 0)
    if let namespace { request.attribute(Int(IFLA_TARGET_NETNSID), namespace) }
    do throws(NetlinkError) {
      // No state outside of the answer: a dump that was interrupted is read again from its start.
      let found = try dump(request, "list links", "", deadline: deadline) {
        message throws(WireError) -> Link? in
        guard let link = try Link.parse(message), condition(link) else { return nil }
        return link
      }
      return found.first
    } catch {
      if namespace != nil, error.errno == .invalid { return nil }
      throw error
    }
  }

  /// The link with a number, or nil if there is none.
  public mutating func link(index: UInt32, deadline: Deadline) throws(NetlinkError) -> Link? {
    try link(Link.request(index: index), "interface \(index)", deadline)
  }

  private mutating func link(
    _ request: MessageBuilder, _ object: String, _ deadline: Deadline
  ) throws(NetlinkError) -> Link? {
    do throws(NetlinkError) {
      return try get(request, "look up link", object, deadline: deadline, parse: Link.parse)
    } catch {
      if error.errno == .noDevice { return nil }
      throw error
    }
  }
}

extension Link {
  fileprivate static func parse(_ message: NetlinkMessage) throws(WireError) -> Link? {
    message.type == Int(RTM_NEWLINK) ? try Link(message) : nil
  }

  /// A question that leaves out statistics, most of the answer otherwise.
  fileprivate static func request(index: UInt32) -> MessageBuilder {
    var request = MessageBuilder(type: Int(RTM_GETLINK))
    var header = ifinfomsg()
    header.ifi_index = Int32(bitPattern: index)
    request.append(header)
    request.attribute(Int(IFLA_EXT_MASK), UInt32(RTEXT_FILTER_SKIP_STATS))
    return request
  }
}
