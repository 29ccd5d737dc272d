public import Addresses
import CLinux
import Linux

/// A link to create.
public struct NewLink: Sendable {
  /// What kind of link.
  public enum Kind: Sendable {
    /// A macvlan link on a parent of the socket's own namespace; a queue length of nil is the
    /// kernel's choice.
    case macvlan(parent: UInt32, mode: MacvlanMode, broadcastQueueLength: UInt32? = nil)
    /// What carries one VLAN's tag on a parent of the socket's own namespace (802.1Q); fails with
    /// `EOPNOTSUPP` on a kernel without the module `8021q`.
    case vlan(parent: UInt32, id: UInt16)
    /// One end of a cable; the other end stays in the socket's namespace unless it names another.
    case veth(peer: Peer)
    case bridge
  }

  /// The other end of a veth link.
  ///
  /// Only the near end can come up in the message that makes the pair: the kernel refuses a far end
  /// that is up before the ends are tied together (`ENOTCONN`).
  public struct Peer: Sendable {
    /// Its name.
    public var name: String
    /// Its hardware address; nil is a random one.
    public var mac: MACAddress?
    /// Its MTU in bytes, which is not taken from the near end; nil is the kernel's choice.
    public var mtu: UInt32?
    /// A descriptor of its namespace; nil is the socket's own.
    public var namespace: Int32?

    /// Describes the other end.
    public init(
      name: String, mac: MACAddress? = nil, mtu: UInt32? = nil, namespace: Int32? = nil
    ) {
      self.name = name
      self.mac = mac
      self.mtu = mtu
      self.namespace = namespace
    }
  }

  /// Its name.
  public var name: String
  /// Its kind, with what belongs to it.
  public var kind: Kind
  /// Its hardware address; nil is the kernel's choice.
  public var mac: MACAddress?
  /// Its MTU in bytes; nil is the kernel's choice.
  public var mtu: UInt32?
  /// A descriptor of the namespace in which it appears at once; nil is the socket's own.
  public var namespace: Int32?
  /// Whether it is brought up in the same message.
  public var isUp = false

  /// Describes a link.
  public init(
    name: String, kind: Kind, mac: MACAddress? = nil, mtu: UInt32? = nil, namespace: Int32? = nil,
    isUp: Bool = false
  ) {
    self.name = name
    self.kind = kind
    self.mac = mac
    self.mtu = mtu
    self.namespace = namespace
    self.isUp = isUp
  }
}

/// The changes of a link.
///
/// Whatever is nil stays as it is.
public struct LinkSettings: Sendable {
  /// An IPv4 setting of one link, as in `/proc/sys/net/ipv4/conf/<link>/`.
  public enum IPv4Setting: Sendable {
    /// `arp_notify`: announce the address when the link comes up.
    case arpNotify

    var kernelNumber: Int {
      switch self {
      case .arpNotify: Int(IPV4_DEVCONF_ARP_NOTIFY)
      }
    }
  }

  /// A new name.
  public var name: String?
  /// A new alias, at most 255 bytes; empty removes it.
  public var alias: String?
  /// A new hardware address.
  public var mac: MACAddress?
  /// A new MTU in bytes.
  public var mtu: UInt32?
  /// Brought up or down.
  public var isUp: Bool?
  /// A new mode; the link must be a macvlan.
  public var macvlanMode: MacvlanMode?
  /// IPv4 settings of the link.
  public var ipv4: [(IPv4Setting, UInt32)] = []
  /// The index of the bridge that it joins; 0 leaves its bridge.
  public var bridge: UInt32?
  /// A descriptor of the namespace to which it moves.
  public var namespace: Int32?

  /// Changes what is not nil; further settings can be added.
  public init(
    alias: String? = nil, mac: MACAddress? = nil, mtu: UInt32? = nil, isUp: Bool? = nil,
    macvlanMode: MacvlanMode? = nil
  ) {
    (self.alias, self.mac, self.mtu, self.isUp) = (alias, mac, mtu, isUp)
    self.macvlanMode = macvlanMode
  }
}

extension NetlinkChange {
  /// Creates a link; fails with `EEXIST` if its name is taken.
  ///
  /// Name, address, MTU and namespace are in the one message, so nobody ever sees a half-created
  /// link. An alias cannot be: the kernel ignores it here.
  public static func createLink(_ link: NewLink) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_NEWLINK), flags: NLM_F_CREATE | NLM_F_EXCL)
    var header = ifinfomsg()
    if link.isUp {
      header.ifi_flags = LinkFlags.up.rawValue
      header.ifi_change = LinkFlags.up.rawValue
    }
    message.append(header)
    message.attribute(Int(IFLA_IFNAME), text: link.name)
    if let mac = link.mac { message.attribute(Int(IFLA_ADDRESS), bytes: mac.bytes) }
    if let mtu = link.mtu { message.attribute(Int(IFLA_MTU), mtu) }
    if let namespace = link.namespace { message.attribute(Int(IFLA_NET_NS_FD), namespace) }
    message.append(link.kind)
    return NetlinkChange("create link", link.name, message)
  }

  /// Removes a link; fails with `ENODEV` if it is gone already.
  ///
  /// The acknowledgement comes about 18 ms after the link is gone; `LinkRemover` does
  /// not wait for it.
  ///
  /// - Parameters:
  ///   - index: the link's number.
  ///   - name: what errors call it.
  ///   - namespace: the id of the namespace in which it is; nil is the socket's own. Fails with
  ///     `EINVAL` if that namespace is gone.
  /// - Returns: the change.
  public static func deleteLink(
    index: UInt32, name: String? = nil, inNamespace namespace: Int32? = nil
  ) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_DELLINK))
    message.append(header(index))
    if let namespace { message.attribute(Int(IFLA_TARGET_NETNSID), namespace) }
    return NetlinkChange("delete link", name ?? "interface \(index)", message)
  }

  /// Changes a link.
  ///
  /// - Parameters:
  ///   - index: the link's number.
  ///   - name: what errors call it.
  ///   - settings: what to change.
  /// - Returns: the change.
  public static func changeLink(
    index: UInt32, name: String? = nil, _ settings: LinkSettings
  ) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_NEWLINK))
    var header = header(index)
    if let isUp = settings.isUp {
      header.ifi_change = LinkFlags.up.rawValue
      header.ifi_flags = isUp ? LinkFlags.up.rawValue : 0
    }
    message.append(header)
    if let name = settings.name { message.attribute(Int(IFLA_IFNAME), text: name) }
    if let alias = settings.alias { message.attribute(Int(IFLA_IFALIAS), bytes: alias.utf8) }
    if let mac = settings.mac { message.attribute(Int(IFLA_ADDRESS), bytes: mac.bytes) }
    if let mtu = settings.mtu { message.attribute(Int(IFLA_MTU), mtu) }
    if let bridge = settings.bridge { message.attribute(Int(IFLA_MASTER), bridge) }
    if let namespace = settings.namespace { message.attribute(Int(IFLA_NET_NS_FD), namespace) }
    if let mode = settings.macvlanMode {
      message.linkInfo("macvlan") { $0.attribute(Int(IFLA_MACVLAN_MODE), mode.kernelValue) }
    }
    message.append(ipv4: settings.ipv4)
    return NetlinkChange("change link", name ?? "interface \(index)", message)
  }

  /// Changes a link that was read; errors call it by its name.
  public static func change(_ link: Link, _ settings: LinkSettings) -> NetlinkChange {
    changeLink(index: link.index, name: link.name, settings)
  }

  /// Keeps the kernel from giving a link an IPv6 address by itself when it comes up
  /// (`IN6_ADDR_GEN_MODE_NONE`).
  ///
  /// For a link that is a switch's port: what the node said of itself there would reach the other
  /// end. A kernel without IPv6 has nothing to be kept from.
  ///
  /// - Parameters:
  ///   - index: the link's number.
  ///   - name: what errors call it.
  /// - Returns: the change.
  public static func withoutIPv6Address(index: UInt32, name: String? = nil) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_NEWLINK))
    message.append(header(index))
    message.nested(Int(IFLA_AF_SPEC)) { families in
      families.nested(Int(AF_INET6)) { family in
        family.attribute(Int(IFLA_INET6_ADDR_GEN_MODE), UInt8(IN6_ADDR_GEN_MODE_NONE.rawValue))
      }
    }
    return NetlinkChange("change link", name ?? "interface \(index)", message)
      .tolerating(Errno(rawValue: EAFNOSUPPORT))
  }

  private static func header(_ index: UInt32) -> ifinfomsg {
    var header = ifinfomsg()
    header.ifi_index = Int32(bitPattern: index)
    return header
  }
}

extension MessageBuilder {
  fileprivate mutating func linkInfo(_ kind: String, _ data: (inout MessageBuilder) -> Void) {
    nested(Int(IFLA_LINKINFO)) { info in
      info.attribute(Int(IFLA_INFO_KIND), text: kind)
      info.nested(Int(IFLA_INFO_DATA), data)
    }
  }

  fileprivate mutating func append(_ kind: NewLink.Kind) {
    switch kind {
    case .macvlan(let parent, let mode, let queue):
      attribute(Int(IFLA_LINK), parent)
      linkInfo("macvlan") { data in
        data.attribute(Int(IFLA_MACVLAN_MODE), mode.kernelValue)
        if let queue { data.attribute(Int(IFLA_MACVLAN_BC_QUEUE_LEN), queue) }
      }
    case .vlan(let parent, let id):
      attribute(Int(IFLA_LINK), parent)
      linkInfo("vlan") { $0.attribute(Int(IFLA_VLAN_ID), id) }
    case .veth(let peer):
      linkInfo("veth") { data in
        data.nested(Int(VETH_INFO_PEER)) { other in
          other.append(ifinfomsg())
          other.attribute(Int(IFLA_IFNAME), text: peer.name)
          if let mac = peer.mac { other.attribute(Int(IFLA_ADDRESS), bytes: mac.bytes) }
          if let mtu = peer.mtu { other.attribute(Int(IFLA_MTU), mtu) }
          if let namespace = peer.namespace { other.attribute(Int(IFLA_NET_NS_FD), namespace) }
        }
      }
    case .bridge: linkInfo("bridge") { _ in }
    }
  }

  fileprivate mutating func append(ipv4 settings: [(LinkSettings.IPv4Setting, UInt32)]) {
    if settings.isEmpty { return }
    nested(Int(IFLA_AF_SPEC)) { families in
      families.nested(Int(AF_INET)) { family in
        family.nested(Int(IFLA_INET_CONF)) { values in
          for (setting, value) in settings { values.attribute(setting.kernelNumber, value) }
        }
      }
    }
  }
}
