import Addresses
import CNI
import Linux
import Netlink
import PluginKit
import VRouterAgent
import Workbench

/// One ADD's links on their way: the session, and what is made.
struct PodLinks: ~Copyable {
  private let cni: ContrailCni
  private var session: PodSession
  /// The interfaces, once the agent has named them.
  private(set) var ports: [PodPort] = []
  /// Links of the node that stand in the way and may go, by name.
  private(set) var displaced: [String] = []

  private var request: PodRequest { session.request }

  /// Opens everything that needs no answer of the agent; changes nothing.
  ///
  /// - Throws: before anybody is asked, what is wrong with the namespace.
  init(_ request: PodRequest, _ cni: ContrailCni) throws(CNIError) {
    session = try PodSession.attaching(request)
    self.cni = cni
  }

  /// How the kernel names the pod's namespace.
  mutating func identity() throws(CNIError) -> NamespaceIdentity { try session.identity() }

  /// Takes the interfaces, and looks whether they can be made.
  ///
  /// - Throws: code 4 for an interface that the pod has already, 7 for a parent that is missing,
  ///   100 for a link of the node that is another pod's.
  mutating func take(
    _ ports: [PodPort], _ files: [PortFile], _ directory: PortFiles
  ) throws(CNIError) {
    self.ports = ports
    for port in ports { try session.refuseExisting(port.port.ifName) }
    if cni.usesVLANs {
      _ = try parent()
      displaced = try displacedVLANs()
    } else {
      for place in ports.indices { try clear(place, files, directory) }
    }
  }

  /// Finds out whether a link stands where the port's shall be: one of an earlier sandbox of
  /// this pod may go.
  ///
  /// Where it is another pod's, because both uuids begin alike, this one's gets another name. Of
  /// any other link nobody knows whether the agent uses it for this very interface, so it stays,
  /// and the ADD fails.
  private mutating func clear(
    _ place: Int, _ files: [PortFile], _ directory: PortFiles
  ) throws(CNIError) {
    let port = ports[place]
    guard let link = try session.node.link(named: port.link) else { return }
    let file = files.first { $0.interface == port.interface }
    let isOfOther = try mapped(request.title) { () throws(VRouterError) in
      try directory.has(link: link.name, ofAnotherThan: port.port.uuid)
    }
    if isOfThisPod(link, file, isOfOther), link.kind == "veth" {
      return displaced.append(link.name)
    }
    let other = LinkNames.distinct("tap", port.port.ifName, port.port.uuid)
    guard file == nil, isOfOther, try session.node.link(named: other) == nil else {
      throw CNIError(
        .kernel,
        "interface \(goQuoted(link.name)) exists on the node and is not of pod \(request.title)",
        details: link.alias.isEmpty ? "it has no owner's mark" : "its mark is \(link.alias)")
    }
    ports[place].link = other
    ports[place].port.hostLink = other
  }

  /// Whether a link that has a port's name is what an earlier sandbox has left, by its mark and
  /// the port's file.
  ///
  /// The file may be older than the link: two pods' uuids can begin alike, and the other pod's link
  /// has this name now.
  private func isOfThisPod(_ link: Link, _ file: PortFile?, _ isOfOther: Bool) -> Bool {
    if request.mark.matches(alias: link.alias) { return true }
    guard let file else { return false }
    guard file.isReadable else { return !isOfOther }
    return file.hostLink == link.name
      && (!OwnerMark.isMark(link.alias)
        || OwnerMark.isMark(link.alias, ofContainer: file.containerID))
  }

  /// VLAN links of the same VLANs that a missed DEL has left, and of the same name.
  private mutating func displacedVLANs() throws(CNIError) -> [String] {
    let aliases = ports.compactMap { $0.vlanID.map(LinkNames.vlanAlias) }
    let names = ports.map(\.link)
    return try session.node.links().filter { link in
      link.kind == "vlan"
        && (aliases.contains(link.alias)
          || names.contains(link.name)
            && link.alias.utf8.starts(with: LinkNames.vlanAliasPrefix.utf8))
    }.map(\.name)
  }

  private mutating func parent() throws(CNIError) -> Link {
    let name = cni.parentInterface
    if let found = try session.node.link(named: name) { return found }
    let text = try session.node.notFound(name)
    throw CNIError(
      .invalidConfiguration, "failed to lookup parent-interface \(goQuoted(name)): \(text)")
  }

  // MARK: Links

  /// Creates the veth pairs.
  mutating func createPairs(_ permit: borrowing Permit) throws(CNIError) {
    for port in ports {
      let peer = NewLink.Peer(
        name: port.port.ifName, mac: port.mac, mtu: cni.mtu, namespace: session.podDescriptor)
      let pair = NewLink(
        name: port.link, kind: .veth(peer: peer), mac: port.hostMAC, mtu: cni.mtu)
      try session.create(
        pair, as: port.port.ifName, doing: "failed to create veth pair \(goQuoted(port.link))",
        permit)
    }
  }

  /// Creates the VLAN links on the parent and brings them up.
  mutating func createVLANs(_ permit: borrowing Permit) throws(CNIError) {
    let parent = try parent()
    for port in ports {
      guard let id = port.vlanID else { continue }
      let vlan = NewLink(
        name: port.link, kind: .vlan(parent: parent.index, id: id), mtu: cni.mtu)
      try session.create(
        vlan, as: port.port.ifName,
        doing: "failed to create VLAN \(id) on \(goQuoted(parent.name))", permit)
      try session.node.change(
        try session.node.made(port.link),
        LinkSettings(alias: LinkNames.vlanAlias(id), isUp: true), permit,
        doing: "failed to set up \(goQuoted(port.link))")
    }
  }

  /// Creates the macvlan links on the VLANs, in the pod's namespace.
  mutating func createMacvlans(_ permit: borrowing Permit) throws(CNIError) {
    for port in ports {
      let vlan = try session.node.made(port.link)
      let link = NewLink(
        name: port.port.ifName, kind: .macvlan(parent: vlan.index, mode: .vepa), mac: port.mac,
        mtu: cni.mtu, namespace: session.podDescriptor)
      try session.create(
        link, as: port.port.ifName, doing: "failed to create macvlan on \(goQuoted(vlan.name))",
        permit)
    }
  }

  /// Marks the links as this attachment's, and brings the node's ends up; the pod's too, as soon as
  /// its address is final.
  mutating func mark(_ permit: borrowing Permit) throws(CNIError) {
    for port in ports {
      if port.vlanID == nil {
        let near = try session.node.made(port.link)
        // What the pod says must not make the node's own routes.
        try? session.node.sockets.ipv6.set("accept_ra", of: near.name, to: "0", permit)
        try session.mark(near, on: .node, isUp: true, permit)
      }
      // The agent sees a carrier before it is told of the port, as with the plugin on disk.
      try session.mark(
        try session.pod.made(port.port.ifName), on: .pod, isUp: port.mac != nil, permit)
    }
  }

  // MARK: Addresses

  /// Gives the pod's links their addresses and routes and brings them up.
  mutating func configure(
    _ answers: [VRouterUUID: VRouter.Result], _ journal: Journal<VRouterPlugin.Step>
  ) throws(CNIError) {
    var setups: [LinkSetup] = []
    for port in ports { setups.append(try setup(port, answers)) }
    try session.configure(setups, .configureLinks, .awaitAddresses, .addRoutes, journal)
  }

  private mutating func setup(
    _ port: PodPort, _ answers: [VRouterUUID: VRouter.Result]
  ) throws(CNIError) -> LinkSetup {
    let link = try session.pod.made(port.port.ifName)
    guard let answer = answers[port.interface] else {
      throw CNIError(
        .vRouterAgent, "VMI UUID \(port.interface) does not exist in the Vrouter Result")
    }
    let mac = answer.mac == link.mac ? nil : answer.mac
    // Down: the link-local address of the old one goes.
    let settings = LinkSettings(mac: mac, isUp: mac.map { _ in false })
    return LinkSetup(link, settings, cni.result(of: port, answer), skipsDAD: cni.skipsDAD)
  }

  /// The result of the whole attachment.
  mutating func result(_ answers: [VRouterUUID: VRouter.Result]) throws(CNIError) -> CNIResult {
    var links: [VRouterUUID: Link] = [:]
    for port in ports { links[port.interface] = try session.node.made(port.link) }
    return cni.result(of: ports, answers, links, request)
  }
}

extension PortFiles {
  /// Whether a pod with another uuid has a link.
  fileprivate func has(
    link: String, ofAnotherThan uuid: VRouterUUID
  ) throws(VRouterError) -> Bool {
    for name in try names() {
      for file in try list(name: name) where file.hostLink == link {
        if let other = file.uuid, other != uuid { return true }
      }
    }
    return false
  }
}
