import Addresses
import CNI
import JSON
import Linux
import Netlink
import PluginKit
import Workbench

/// One ADD's veth pair and port on their way: what is known before they are made, and the session.
struct PortAttachment: ~Copyable {
  /// The pair, when it was made.
  struct Pair {
    /// The node's end.
    let near: Link
    /// The pod's.
    var far: Link
  }

  private let host: PluginHost
  private let port: Switch.PlannedPort
  private let limits: Bandwidth
  private var session: PodSession
  /// The hardware address of the pod's end, if it does not follow from its address.
  private let wantedMAC: MACAddress?
  /// The hardware addresses of the ends until addresses are known.
  private let hostMAC: MACAddress
  private let podMAC: MACAddress

  private var request: PodRequest { session.request }
  private var configuration: OVSConfiguration { port.configuration }

  /// Looks at everything that an ADD needs; changes nothing.
  init(
    _ port: Switch.PlannedPort, _ limits: Bandwidth, mac: MACAddress?, _ host: PluginHost
  ) throws(CNIError) {
    let hostMAC = try MACAddress.random()
    let podMAC = if let mac { mac } else { try MACAddress.random() }
    session = try PodSession.attaching(port.request)
    (self.hostMAC, self.podMAC, wantedMAC) = (hostMAC, podMAC, mac)
    (self.host, self.port, self.limits) = (host, port, limits)
  }

  /// What the ADD creates, with what `delete` needs to know it again.
  ///
  /// - Parameters:
  ///   - lease: address management's part.
  ///   - defaults: what the configuration lacked, from the file of defaults, which may
  ///     change before the DEL.
  /// - Returns: the plan.
  func plan(_ lease: [PlannedResource], _ defaults: JSONObject) -> [PlannedResource] {
    let link = PlannedLink(port.name, hostMAC)
    let planned = PlannedPort(
      name: port.name, bridge: port.bridge.name, database: configuration.database)
    let file = PlannedDefaults(members: defaults)
    return [link.planned, planned.planned] + lease + (defaults.isEmpty ? [] : [file.planned])
  }

  /// What no other attachment may have at the same time.
  var names: Set<OutsideName> {
    Set(port.interfaceID.map { [.interfaceID($0, in: configuration.database)] } ?? [])
  }

  /// How the kernel names the pod's namespace.
  mutating func identity() throws(CNIError) -> NamespaceIdentity { try session.identity() }

  // MARK: The pair

  /// Creates the pair and marks both ends.
  mutating func create(
    for leased: CNIResult, _ journal: Journal<OVSPlugin.Step>
  ) throws(CNIError) -> Pair {
    let pair = try journal.perform(.createLinks) { permit throws(CNIError) in
      try createLinks(mac: mac(for: leased), permit)
    }
    try journal.perform(.markLinks) { permit throws(CNIError) in
      try session.mark(pair.near, on: .node, permit)
      try session.mark(pair.far, on: .pod, permit)
    }
    return pair
  }

  /// The hardware address for some addresses: the one that was asked for, else made of the first
  /// address as ovs-cni does.
  private func mac(for leased: CNIResult) -> MACAddress {
    if let wantedMAC { return wantedMAC }
    let ipv4 = leased.ips.first { $0.address.family == .v4 }?.address.address
    guard let address = ipv4, let mac = MACAddress(bytes: [0x0A, 0x58] + address.bytes) else {
      return podMAC
    }
    return mac
  }

  private mutating func createLinks(
    mac: MACAddress, _ permit: borrowing Permit
  ) throws(CNIError) -> Pair {
    let peer = NewLink.Peer(
      name: request.ifName, mac: mac, mtu: configuration.mtu, namespace: session.podDescriptor)
    let pair = NewLink(
      name: port.name, kind: .veth(peer: peer), mac: hostMAC, mtu: configuration.mtu,
      isUp: true)
    try session.create(pair, as: request.ifName, doing: "failed to create veth pair", permit)
    return Pair(
      near: try session.node.made(port.name), far: try session.pod.made(request.ifName))
  }

  // MARK: The port

  /// Connects the host's end to the bridge.
  mutating func connect(
    _ pair: Pair, _ leased: CNIResult, _ journal: Journal<OVSPlugin.Step>
  ) throws(CNIError) -> Switch.AddedPort {
    let name = pair.far.name
    if port.bridge.isUserspace {
      try journal.perform(.setOffload) { permit throws(CNIError) in
        try session.pod.ask("failed to switch off checksum offload of \(goQuoted(name))") {
          socket, _ throws(NetlinkError) in
          try socket.setTransmitChecksumOffload(false, of: name, permit)
        }
      }
    }
    let externalIDs = port.externalIDs(
      mac: mac(for: leased), addresses: leased.ips.map(\.address))
    let added = try journal.waiting(.addPort) { permit throws(CNIError) in
      try port.add(externalIDs, limits, permit)
    }
    try journal.waiting(.awaitPort) { _ throws(CNIError) in try port.await(added, pair.near) }
    return added
  }

  // MARK: Addresses

  /// Brings the pod's end up and gives it its addresses and routes, when the port works.
  mutating func configure(
    _ pair: inout Pair, _ added: Switch.AddedPort, _ leased: CNIResult,
    _ journal: Journal<OVSPlugin.Step>
  ) throws(CNIError) {
    var settings = LinkSettings()
    let mac = mac(for: leased)
    if pair.far.mac != mac {
      settings.mac = mac
      pair.far.mac = mac
    }
    try session.configure(
      [LinkSetup(pair.far, settings, leased.addresses(.v4))], .configureLink, .awaitAddresses,
      .addRoutes, journal)
    try journal.waiting(.awaitLink) { _ throws(CNIError) in try port.awaitLink(added) }
    try limitBandwidth(pair, journal)
    if port.needsFlows {
      try journal.waiting(.awaitFlows) { _ throws(CNIError) in try port.awaitFlows(added) }
    }
    // Only now: duplicate address detection through a port that does not work yet
    // would hear nobody.
    let ipv6 = leased.addresses(.v6)
    if !ipv6.ips.isEmpty {
      let setup = LinkSetup(pair.far, LinkSettings(), ipv6, skipsDAD: configuration.skipsDAD)
      try session.configure([setup], .addIPv6, .awaitAddresses, .addRoutes, journal)
    }
    try session.addRoutes([LinkSetup(pair.far, LinkSettings(), leased)], .addRoutes, journal)
  }

  private mutating func limitBandwidth(
    _ pair: Pair, _ journal: Journal<OVSPlugin.Step>
  ) throws(CNIError) {
    if limits.isEmpty { return }
    let shaping = Shaping(
      limits: limits, hostLink: pair.near, podLink: pair.far, isUserspace: port.bridge.isUserspace,
      owner: port.owner, log: host.log)
    try journal.waiting(.limitBandwidth) { permit throws(CNIError) in
      try shaping.enforce(&session, permit)
    }
  }

  /// The pair as ADD's result names it.
  func interfaces(_ pair: Pair) -> [CNIResult.Interface] {
    [
      CNIResult.Interface(
        name: port.name, mac: (pair.near.mac ?? hostMAC).description,
        mtu: pair.near.mtu),
      request.interface(pair.far.mac ?? podMAC, mtu: pair.far.mtu),
    ]
  }
}

extension CNIResult {
  /// The addresses of one family alone, without routes.
  fileprivate func addresses(_ family: IPAddress.Family) -> CNIResult {
    CNIResult(ips: ips.filter { $0.address.family == family })
  }
}
