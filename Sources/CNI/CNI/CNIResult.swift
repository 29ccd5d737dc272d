public import Addresses

/// What ADD created: interfaces, addresses, routes and name servers.
///
/// The same value for all seven versions of the specification; versions differ only in how it is
/// read (``init(_:defaultVersion:)``) and printed (``json(as:)``). Counterpart of Go's
/// `types100.Result`.
public struct CNIResult: Equatable, Sendable {
  /// A link that ADD created or used, on the node or in the container.
  public struct Interface: Equatable, Sendable {
    /// The link's name.
    public var name: String
    /// The hardware address as text, in whatever form the plugin gave it; empty if unknown.
    public var mac: String
    /// The MTU in bytes; nil if it was not given, from version 1.0.0.
    public var mtu: UInt32?
    /// The path of the network namespace, CNI_NETNS; empty for a link of the node.
    public var sandbox: String
    /// The path of a socket (vhost-user), from version 1.0.0; empty if there is none.
    public var socketPath: String
    /// The PCI address of the device, from version 1.0.0; empty if there is none.
    public var pciID: String

    /// Creates an interface.
    public init(
      name: String, mac: String = "", mtu: UInt32? = nil, sandbox: String = "",
      socketPath: String = "", pciID: String = ""
    ) {
      self.name = name
      self.mac = mac
      self.mtu = mtu
      self.sandbox = sandbox
      self.socketPath = socketPath
      self.pciID = pciID
    }
  }

  /// An address of the container.
  public struct IP: Equatable, Sendable {
    /// The index of the link in ``CNIResult/interfaces``; nil in the results of address management.
    ///
    /// It comes from outside: use ``CNIResult/interface(of:)`` to look it up.
    public var interface: Int?
    /// The address with its network's prefix length.
    public var address: IPNetwork
    /// The default gateway of this network.
    public var gateway: IPAddress?

    /// Creates an address.
    public init(interface: Int? = nil, address: IPNetwork, gateway: IPAddress? = nil) {
      self.interface = interface
      self.address = address
      self.gateway = gateway
    }
  }

  /// A route of the container; all but destination and gateway only from version 1.0.0.
  public struct Route: Equatable, Sendable {
    /// The destination.
    public var dst: IPNetwork
    /// The next hop; nil means the gateway of the address of that family.
    public var gw: IPAddress?
    /// The path MTU in bytes.
    public var mtu: UInt32?
    /// The maximum segment size to advertise in bytes.
    public var advmss: UInt32?
    /// The metric: the lower one wins.
    public var priority: UInt32?
    /// The routing table; nil means the main one.
    public var table: UInt32?
    /// The scope by the kernel's numbers (0 universe, 253 link).
    public var scope: UInt8?

    /// Creates a route.
    public init(
      dst: IPNetwork, gw: IPAddress? = nil, mtu: UInt32? = nil, advmss: UInt32? = nil,
      priority: UInt32? = nil, table: UInt32? = nil, scope: UInt8? = nil
    ) {
      self.dst = dst
      self.gw = gw
      self.mtu = mtu
      self.advmss = advmss
      self.priority = priority
      self.table = table
      self.scope = scope
    }
  }

  /// Settings of name resolution; also the `dns` member of a configuration.
  public struct DNS: Equatable, Sendable {
    /// Addresses of name servers, most important first.
    public var nameservers: [String]
    /// The local domain; empty if there is none.
    public var domain: String
    /// The search list.
    public var search: [String]
    /// Options for the resolver.
    public var options: [String]

    /// Creates settings.
    public init(
      nameservers: [String] = [], domain: String = "", search: [String] = [],
      options: [String] = []
    ) {
      self.nameservers = nameservers
      self.domain = domain
      self.search = search
      self.options = options
    }

    /// Whether nothing is set.
    public var isEmpty: Bool {
      nameservers.isEmpty && domain.isEmpty && search.isEmpty && options.isEmpty
    }
  }

  /// The links, in an order to which ``IP/interface`` refers.
  public var interfaces: [Interface]
  /// The addresses.
  public var ips: [IP]
  /// The routes.
  public var routes: [Route]
  /// The name servers.
  public var dns: DNS

  /// Creates a result.
  public init(
    interfaces: [Interface] = [], ips: [IP] = [], routes: [Route] = [], dns: DNS = DNS()
  ) {
    self.interfaces = interfaces
    self.ips = ips
    self.routes = routes
    self.dns = dns
  }
}

extension CNIResult {
  /// The link that has an address; nil if the address names none, or one that does not exist.
  public func interface(of ip: IP) -> Interface? {
    guard let index = ip.interface, interfaces.indices.contains(index) else { return nil }
    return interfaces[index]
  }

  /// The result of a chained plugin: everything that the plugins before it made, then its own.
  ///
  /// The interface indexes of its own addresses are moved behind the previous interfaces. Its own
  /// name servers win if it has any.
  public func appended(to previous: CNIResult) -> CNIResult {
    let moved = ips.map { ip in
      guard let index = ip.interface else { return ip }
      let sum = index.addingReportingOverflow(previous.interfaces.count)
      // An index that large never named a link.
      return IP(
        interface: sum.overflow ? nil : sum.partialValue, address: ip.address, gateway: ip.gateway)
    }
    return CNIResult(
      interfaces: previous.interfaces + interfaces, ips: previous.ips + moved,
      routes: previous.routes + routes, dns: dns.isEmpty ? previous.dns : dns)
  }
}
