import Addresses
import CNI
import JSON
import Linux
import Netlink
import PluginKit
import Workbench

/// One ADD's veth pair and port on their way: what is known before they are made, and the sockets.
struct Attaching: ~Copyable {
  private typealias Step = OVSPlugin.Step

  private let request: PodRequest
  private let configuration: OVSConfiguration
  private let host: PluginHost
  private let port: Switch.PlannedPort
  private let limits: Bandwidth
  private let namespace: NetworkNamespace
  /// A socket of the node's namespace.
  private var node: NetlinkSocket
  private var pod: NamespaceAccess
  /// The hardware address of the pod's end, if it does not follow from its address.
  private let wantedMAC: MACAddress?
  /// The hardware addresses of the ends until addresses are known.
  private let hostMAC: MACAddress
  private let podMAC: MACAddress
  private var hostLink: Link?
  private var podLink: Link?

  private var deadline: Deadline { request.deadline }

  /// Looks at everything that an ADD needs; changes nothing.
  static func prepared(
    _ request: PodRequest, _ configuration: OVSConfiguration, _ port: Switch.PlannedPort,
    _ limits: Bandwidth, mac: MACAddress?, _ host: PluginHost
  ) throws(CNIError) -> Attaching {
    let node = try mapped { () throws(NetlinkError) in try NetlinkSocket() }
    let namespace = try request.openNamespace()
    var pod = try mapped { () throws(NetlinkError) in
      try NamespaceAccess(namespace, listeningTo: .ipv6Addresses)
    }
    try request.refuseOwnNamespace(node, pod.socket)
    try request.refuseExistingLink(&pod.socket)
    let hostMAC = try MACAddress.random()
    let podMAC = if let mac { mac } else { try MACAddress.random() }
    return Attaching(
      request: request, configuration: configuration, host: host, port: port, limits: limits,
      namespace: namespace, node: node, pod: pod, wantedMAC: mac, hostMAC: hostMAC, podMAC: podMAC)
  }

  /// What the ADD makes, with what `delete` needs to know it again.
  ///
  /// - Parameters:
  ///   - defaults: what the configuration lacked, from the file of defaults, which may change before the DEL.
  ///   - addressType: address management's name, if it is used.
  /// - Returns: the plan.
  func plan(_ defaults: JSONObject, addressType: String?) -> [PlannedResource] {
    var plan = [
      PlannedResource(
        "link",
        [
          ("name", .string(request.hostLinkName)), ("mac", .string(hostMAC.description)),
          ("podLink", .string(request.ifName)), ("netns", .string(request.netns)),
        ]),
      PlannedResource(
        "port",
        [
          ("name", .string(request.hostLinkName)), ("bridge", .string(port.bridge.name)),
          ("database", .string(configuration.database)),
        ]),
    ]
    if let addressType { plan.append(PlannedResource("lease", [("type", .string(addressType))])) }
    if !defaults.isEmpty {
      plan.append(PlannedResource("defaults", defaults.members.map { ($0.key, $0.value) }))
    }
    return plan
  }

  /// How the kernel names the pod's namespace.
  mutating func identity() throws(CNIError) -> NamespaceIdentity {
    try NamespaceIdentity(of: namespace, pod.socket, &node, deadline: deadline)
  }

  // MARK: The pair

  /// Makes the pair and marks both ends.
  mutating func create(
    for leased: CNIResult, _ journal: Journal<OVSPlugin.Step>
  ) throws(CNIError) {
    try journal.perform(.createLinks) { permit throws(CNIError) in
      try createLinks(mac: mac(for: leased), permit)
    }
    try journal.perform(.markLinks) { permit throws(CNIError) in try mark(permit) }
  }

  /// The hardware address for some addresses: the one that was asked for, else made of the first address as ovs-cni does.
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
  ) throws(CNIError) {
    let peer = NewLink.Peer(
      name: request.ifName, mac: mac, mtu: configuration.mtu,
      namespace: namespace.descriptor.rawValue)
    let pair = NewLink(
      name: request.hostLinkName, kind: .veth(peer: peer), mac: hostMAC, mtu: configuration.mtu,
      isUp: true)
    do throws(NetlinkError) {
      try node.apply([.createLink(pair)], permit, deadline: deadline)
      hostLink = try node.link(named: request.hostLinkName, deadline: deadline)
      podLink = try pod.socket.link(named: request.ifName, deadline: deadline)
    } catch {
      // Which of the two names was taken the kernel does not say.
      if error.errno == .exists,
        (try? pod.socket.link(named: request.ifName, deadline: deadline)) != nil
      {
        throw request.linkExists
      }
      throw CNIError(error, doing: "failed to create veth pair")
    }
  }

  /// One of the ends, unless somebody has removed it meanwhile.
  private func made(_ link: Link?, _ name: String) throws(CNIError) -> Link {
    if let link { return link }
    throw CNIError(.kernel, "interface \(goQuoted(name)) vanished while it was set up")
  }

  private mutating func mark(_ permit: borrowing Permit) throws(CNIError) {
    let near = try made(hostLink, request.hostLinkName)
    let far = try made(podLink, request.ifName)
    var settings = LinkSettings()
    settings.alias = request.mark.text
    do throws(NetlinkError) {
      try node.apply(
        [
          .changeLink(index: near.index, name: near.name, settings),
          .withoutIPv6Address(index: near.index, name: near.name),
        ], permit, deadline: deadline)
      try pod.socket.apply(
        [.changeLink(index: far.index, name: far.name, settings)], permit, deadline: deadline)
    } catch {
      throw CNIError(error)
    }
  }

  // MARK: The port

  /// Connects the host's end to the bridge.
  mutating func connect(
    _ leased: CNIResult, _ journal: Journal<OVSPlugin.Step>
  ) throws(CNIError) {
    let far = try made(podLink, request.ifName)
    if port.bridge.isUserspace {
      try journal.perform(.setOffload) { permit throws(CNIError) in
        try mapped("failed to switch off checksum offload of \(goQuoted(far.name))") {
          () throws(NetlinkError) in
          try pod.socket.setTransmitChecksumOffload(false, of: far.name, permit)
        }
      }
    }
    let externalIDs = port.externalIDs(
      request, mac: mac(for: leased), addresses: leased.ips.map(\.address))
    let added = try journal.perform(.addPort) { permit throws(CNIError) in
      try port.add(externalIDs, limits, permit, deadline)
    }
    try journal.waiting(.awaitPort) { _ throws(CNIError) in try port.await(added, deadline) }
    self.added = added
  }

  private var added: Switch.AddedPort?

  // MARK: Addresses

  /// Brings the pod's end up and gives it its addresses and routes, when the port works.
  mutating func configure(
    _ leased: CNIResult, _ journal: Journal<OVSPlugin.Step>
  ) throws(CNIError) {
    let far = try made(podLink, request.ifName)
    guard let added else { throw CNIError(.internal, "no port was added") }
    var settings = LinkSettings()
    let mac = mac(for: leased)
    if far.mac != mac {
      settings.mac = mac
      podLink?.mac = mac
    }
    var early = leased
    early.ips.removeAll { $0.address.family == .v6 }
    let first = LinkSetup(far, settings, early, deadline: deadline)
    try journal.perform(.configureLink) { permit throws(CNIError) in
      try first.configure(&pod, permit)
    }
    try journal.waiting(.awaitLink) { _ throws(CNIError) in
      try port.awaitLink(added, within: configuration.linkStateMilliseconds, deadline)
    }
    try limitBandwidth(far, journal)
    if port.needsFlows {
      try journal.waiting(.awaitFlows) { _ throws(CNIError) in
        try port.awaitFlows(added, deadline)
      }
    }
    try addIPv6(far, leased, journal)
    if !leased.routes.isEmpty {
      let all = LinkSetup(far, LinkSettings(), leased, deadline: deadline)
      try journal.perform(.addRoutes) { permit throws(CNIError) in
        try all.addRoutes(&pod.socket, permit)
      }
    }
  }

  private mutating func limitBandwidth(
    _ far: Link, _ journal: Journal<OVSPlugin.Step>
  ) throws(CNIError) {
    if limits.isEmpty { return }
    let near = try made(hostLink, request.hostLinkName)
    let shaping = Shaping(
      limits, hostLink: near, podLink: far, isUserspace: port.bridge.isUserspace, host: host,
      deadline: deadline)
    let (owner, request) = (port.owner, request)
    try journal.perform(.limitBandwidth) { permit throws(CNIError) in
      try shaping.enforce(&node, &pod.socket, permit) { permit throws(CNIError) in
        try owner.retireQueue(of: request, permit)
      }
    }
  }

  /// Only now: duplicate address detection through a port that does not work yet would hear nobody.
  private mutating func addIPv6(
    _ far: Link, _ leased: CNIResult, _ journal: Journal<OVSPlugin.Step>
  ) throws(CNIError) {
    var late = leased
    late.ips.removeAll { $0.address.family == .v4 }
    if late.ips.isEmpty { return }
    let setup = LinkSetup(
      far, LinkSettings(), late, skipsDAD: configuration.skipsDAD, deadline: deadline)
    try journal.perform(.addIPv6) { permit throws(CNIError) in try setup.configure(&pod, permit) }
    if setup.needsWait {
      try journal.perform(.awaitAddresses) { _ throws(CNIError) in try setup.awaitAddresses(&pod) }
    }
  }

  /// The result of this plugin alone.
  func result(_ leased: CNIResult) -> CNIResult {
    let interfaces = [
      CNIResult.Interface(
        name: request.hostLinkName, mac: (hostLink?.mac ?? hostMAC).description,
        mtu: hostLink?.mtu),
      CNIResult.Interface(
        name: request.ifName, mac: (podLink?.mac ?? podMAC).description, mtu: podLink?.mtu,
        sandbox: request.netns),
    ]
    let ips = leased.ips.map { ip in
      CNIResult.IP(interface: 1, address: ip.address, gateway: ip.gateway)
    }
    let own = request.configuration.dns
    return CNIResult(
      interfaces: interfaces, ips: ips, routes: leased.routes, dns: own.isEmpty ? leased.dns : own)
  }
}
