public import Addresses
import JSON

extension VRouter {
  /// One object of an answer: what the agent knows of an interface.
  ///
  /// Counterpart of `Result` in the original's `contrail` package. `/vm-cfg` gives names,
  /// annotations and VLAN, `/vm` gives addresses. A member that is missing or makes no sense is nil
  /// or empty; it never spoils the others.
  public struct Result: Sendable, Equatable {
    /// The interface's identity; ``VRouterUUID/none`` where the answer has none.
    public var id = VRouterUUID.none
    /// The pod's identity: `vm-uuid`, or `instance-id` in answers that call it so.
    public var vmUUID: VRouterUUID?
    /// The network's identity.
    public var vnID: VRouterUUID?
    /// The network's full name, its parts joined by colons.
    public var vnName = ""
    /// The hardware address; nil where it is missing, zero or a group's.
    public var mac: MACAddress?
    /// The VLAN on the parent link, as the agent says it; nil where it is missing or 65535,
    /// which means none.
    public var vlanID: Int?
    /// The host link that the agent uses for it.
    public var systemName = ""
    /// What the control plane wrote about it.
    public var annotations = Annotations()
    /// The IPv4 address.
    public var ipv4: Address?
    /// The IPv6 address; the agent says no prefix length.
    public var ipv6: Address?

    /// Creates an object that says nothing.
    public init() {}
  }

  /// An address as the agent gives it.
  public struct Address: Sendable, Equatable {
    /// The address.
    public var address: IPAddress
    /// The length of its network's prefix; nil where it is missing or impossible, always with IPv6.
    public var prefixLength: Int?
    /// The gateway; nil where it is missing or unspecified.
    public var gateway: IPAddress?
    /// The name server; nil where it is missing or unspecified.
    public var nameServer: IPAddress?

    /// Creates an address from its parts.
    public init(
      address: IPAddress, prefixLength: Int? = nil, gateway: IPAddress? = nil,
      nameServer: IPAddress? = nil
    ) {
      self.address = address
      self.prefixLength = prefixLength
      self.gateway = gateway
      self.nameServer = nameServer
    }
  }
}

extension VRouter.Result {
  /// Reads one element of an answer; an element that is no object says nothing.
  init(_ value: JSONValue) {
    id = Self.identity(value["id"]) ?? .none
    vmUUID = Self.identity(value["vm-uuid"]) ?? Self.identity(value["instance-id"])
    vnID = Self.identity(value["vn-id"])
    vnName = value["vn-name"]?.string ?? ""
    mac = value["mac-address"]?.string.flatMap { MACAddress($0) }.flatMap { mac in
      mac.isMulticast || mac.bytes.allSatisfy { $0 == 0 } ? nil : mac
    }
    vlanID = value["vlan-id"]?.int.flatMap { $0 == 65_535 ? nil : $0 }
    systemName = value["system-name"]?.string ?? ""
    annotations = VRouter.Annotations(
      (value["annotations"]?.array ?? []).compactMap { $0.string })
    ipv4 = Self.ip(value["ip-address"], .v4).map { address in
      VRouter.Address(
        address: address,
        prefixLength: value["plen"]?.int.flatMap { (0...32).contains($0) ? $0 : nil },
        gateway: Self.ip(value["gateway"], .v4), nameServer: Self.ip(value["dns-server"], .v4))
    }
    ipv6 = Self.ip(value["v6-ip-address"], .v6).map { address in
      VRouter.Address(
        address: address, gateway: Self.ip(value["v6-gateway"], .v6),
        nameServer: Self.ip(value["v6-dns-server"], .v6))
    }
  }

  private static func identity(_ value: JSONValue?) -> VRouterUUID? {
    value?.string.flatMap { VRouterUUID($0) }.flatMap { $0 == .none ? nil : $0 }
  }

  private static func ip(_ value: JSONValue?, _ family: IPAddress.Family) -> IPAddress? {
    value?.string.flatMap { IPAddress($0) }.flatMap { address in
      address.family == family && !address.isUnspecified ? address : nil
    }
  }
}
