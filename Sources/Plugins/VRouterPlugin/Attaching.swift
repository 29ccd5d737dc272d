import Addresses
import CNI
import Linux
import Netlink
import PluginKit
import Workbench
import VRouterAgent

/// One ADD's links on their way: the sockets, and what was made.
struct Attaching: ~Copyable {
  private let request: PodRequest
  private let cni: ContrailCni
  private let namespace: NetworkNamespace
  /// The node's namespace.
  private var node: NamespaceAccess
  private var pod: NamespaceAccess
  /// The interfaces, once the agent has named them.
  private(set) var ports: [PodPort] = []
  /// Links of the node that stand in the way and may go, by name.
  private(set) var displaced: [String] = []

  var deadline: Deadline { request.deadline }

  /// Opens everything that needs no answer of the agent; changes nothing.
  ///
  /// - Throws: before anybody is asked, what is wrong with the namespace.
  static func prepared(
    _ request: PodRequest, _ cni: ContrailCni
  ) throws(CNIError) -> Attaching {
    let namespace = try request.openNamespace()
    let here = try mapped { () throws(SystemError) in try NetworkNamespace.current() }
    let node = try mapped { () throws(NetlinkError) in try NamespaceAccess(here) }
    var pod = try mapped { () throws(NetlinkError) in
      try NamespaceAccess(namespace, listeningTo: .ipv6Addresses)
    }
    try request.refuseOwnNamespace(node.socket, pod.socket)
    try request.refuseExistingLink(&pod.socket)
    return Attaching(request: request, cni: cni, namespace: namespace, node: node, pod: pod)
  }

  /// Takes the interfaces, and looks whether they can be made.
  ///
  /// - Parameters:
  ///   - ports: the interfaces.
  ///   - files: the pod's port files.
  ///   - directory: every pod's.
  /// - Throws: code 4 for an interface that the pod has already, 7 for a parent that is missing, 100 for a link of the node that
  ///   is another pod's.
  mutating func take(
    _ ports: [PodPort], _ files: [PortFile], _ directory: PortFiles
  ) throws(CNIError) {
    self.ports = ports
    for port in ports {
      var one = request
      one.ifName = port.port.ifName
      try one.refuseExistingLink(&pod.socket)
    }
    if cni.usesVLANs {
      _ = try parent()
      displaced = try displacedVLANs()
    } else {
      for place in ports.indices { try clear(place, files, directory) }
    }
  }

  /// Finds out whether a link stands where the port's shall be: one of an earlier sandbox of this pod may go.
  ///
  /// Where it is another pod's, because both uuids begin alike, this one's gets another name. Of any other link nobody knows
  /// whether the agent uses it for this very interface, so it stays, and the ADD fails.
  private mutating func clear(
    _ place: Int, _ files: [PortFile], _ directory: PortFiles
  ) throws(CNIError) {
    let port = ports[place]
    guard let link = try nodeLink(named: port.link) else { return }
    let file = files.first { $0.interface == port.interface }
    let isOfOther = try mapped(pod: request.title) { () throws(VRouterError) in
      try directory.has(link: link.name, ofAnotherThan: port.port.uuid)
    }
    if isOfThisPod(link, file, isOfOther), link.kind == "veth" {
      return displaced.append(link.name)
    }
    let other = LinkNames.distinct("tap", port.port.ifName, port.port.uuid)
    guard file == nil, isOfOther, try nodeLink(named: other) == nil else {
      throw CNIError(
        .kernel,
        "interface \(goQuoted(link.name)) exists on the node and is not of pod \(request.title)",
        details: link.alias.isEmpty ? "it has no owner's mark" : "its mark is \(link.alias)")
    }
    ports[place].link = other
    ports[place].port.hostLink = other
  }

  private mutating func nodeLink(named name: String) throws(CNIError) -> Link? {
    let limit = deadline
    return try mapped { () throws(NetlinkError) in
      try node.socket.link(named: name, deadline: limit)
    }
  }

  /// Whether a link that has a port's name is what an earlier sandbox has left, by its mark and the port's file.
  ///
  /// The file may be older than the link: two pods' uuids can begin alike, and the other pod's link has this name now.
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
    let limit = deadline
    let links = try mapped { () throws(NetlinkError) in
      try node.socket.links(deadline: limit)
    }
    let aliases = ports.compactMap { $0.vlanID.map(LinkNames.vlanAlias) }
    let names = ports.map(\.link)
    return links.filter { link in
      link.kind == "vlan"
        && (aliases.contains(link.alias)
          || names.contains(link.name)
            && link.alias.utf8.starts(with: LinkNames.vlanAliasPrefix.utf8))
    }.map(\.name)
  }

  private mutating func parent() throws(CNIError) -> Link {
    let name = cni.parentInterface
    if let found = try nodeLink(named: name) { return found }
    throw CNIError(
      .invalidConfiguration, "failed to lookup parent-interface \(goQuoted(name)): Link not found")
  }

  /// How the kernel names the pod's namespace.
  mutating func identity() throws(CNIError) -> NamespaceIdentity {
    try NamespaceIdentity(of: namespace, pod.socket, &node.socket, deadline: deadline)
  }

  // MARK: Links

  /// Makes the veth pairs.
  mutating func createPairs(_ permit: borrowing Permit) throws(CNIError) {
    for port in ports {
      let peer = NewLink.Peer(
        name: port.port.ifName, mac: port.mac, mtu: cni.mtu,
        namespace: namespace.descriptor.rawValue)
      let pair = NewLink(
        name: port.link, kind: .veth(peer: peer), mac: port.hostMAC, mtu: cni.mtu)
      try create(pair, for: port, "failed to create veth pair \(goQuoted(port.link))", permit)
    }
  }

  /// Makes the VLAN links on the parent and brings them up.
  mutating func createVLANs(_ permit: borrowing Permit) throws(CNIError) {
    let parent = try parent()
    for port in ports {
      guard let id = port.vlanID else { continue }
      let vlan = NewLink(
        name: port.link, kind: .vlan(parent: parent.index, id: id), mtu: cni.mtu)
      try create(vlan, for: port, "failed to create VLAN \(id) on \(goQuoted(parent.name))", permit)
      let link = try linkOfNode(port)
      var settings = LinkSettings()
      settings.alias = LinkNames.vlanAlias(id)
      settings.isUp = true
      try change(link, settings, permit)
    }
  }

  /// Makes the macvlan links on the VLANs, in the pod's namespace.
  mutating func createMacvlans(_ permit: borrowing Permit) throws(CNIError) {
    for port in ports {
      let vlan = try linkOfNode(port)
      let link = NewLink(
        name: port.port.ifName, kind: .macvlan(parent: vlan.index, mode: .vepa), mac: port.mac,
        mtu: cni.mtu, namespace: namespace.descriptor.rawValue)
      try create(
        link, for: port, "failed to create macvlan on \(goQuoted(vlan.name))", permit)
    }
  }

  private mutating func create(
    _ link: NewLink, for port: PodPort, _ failure: String, _ permit: borrowing Permit
  ) throws(CNIError) {
    do throws(NetlinkError) {
      try node.socket.apply([.createLink(link)], permit, deadline: deadline)
    } catch {
      // Which of the two names was taken the kernel does not say.
      if error.errno == .exists,
        (try? pod.socket.link(named: port.port.ifName, deadline: deadline)) != nil
      {
        throw request.linkExists
      }
      throw CNIError(error, doing: failure)
    }
  }

  private mutating func change(
    _ link: Link, _ settings: LinkSettings, _ permit: borrowing Permit
  ) throws(CNIError) {
    do throws(NetlinkError) {
      try node.socket.apply(
        [.changeLink(index: link.index, name: link.name, settings)], permit, deadline: deadline)
    } catch {
      throw CNIError(error, doing: "failed to set up \(goQuoted(link.name))")
    }
  }

  private mutating func linkOfNode(_ port: PodPort) throws(CNIError) -> Link {
    if let found = try nodeLink(named: port.link) { return found }
    throw CNIError(.kernel, "interface \(goQuoted(port.link)) vanished while it was set up")
  }

  private mutating func linkOfPod(_ port: PodPort) throws(CNIError) -> Link {
    let (name, limit) = (port.port.ifName, deadline)
    let found = try mapped { () throws(NetlinkError) in
      try pod.socket.link(named: name, deadline: limit)
    }
    if let found { return found }
    throw CNIError(.kernel, "interface \(goQuoted(name)) vanished while it was set up")
  }

  /// Marks the links as this attachment's, and brings the node's ends up; the pod's too, as soon as its address is final.
  mutating func mark(_ permit: borrowing Permit) throws(CNIError) {
    for port in ports {
      if port.vlanID == nil { try markTap(port, permit) }
      let far = try linkOfPod(port)
      var settings = LinkSettings()
      settings.alias = request.mark.text
      // The agent sees a carrier before it is told of the port, as with the plugin on disk.
      if port.mac != nil { settings.isUp = true }
      do throws(NetlinkError) {
        try pod.socket.apply(
          [.changeLink(index: far.index, name: far.name, settings)], permit, deadline: deadline)
      } catch {
        throw CNIError(error, doing: "failed to mark \(goQuoted(far.name))")
      }
    }
  }

  private mutating func markTap(_ port: PodPort, _ permit: borrowing Permit) throws(CNIError) {
    let near = try linkOfNode(port)
    var mark = LinkSettings()
    mark.alias = request.mark.text
    var up = LinkSettings()
    up.isUp = true
    // What the pod says must not make the node's own routes.
    try? node.ipv6.set("accept_ra", of: near.name, to: "0", permit)
    do throws(NetlinkError) {
      try node.socket.apply(
        [
          .changeLink(index: near.index, name: near.name, mark),
          .withoutIPv6Address(index: near.index, name: near.name),
          .changeLink(index: near.index, name: near.name, up),
        ], permit, deadline: deadline)
    } catch {
      throw CNIError(error, doing: "failed to mark \(goQuoted(near.name))")
    }
  }

  // MARK: Addresses

  /// Gives the pod's links their addresses and routes and brings them up.
  mutating func configure(
    _ answers: [VRouterUUID: VRouter.Result], _ journal: Journal<VRouterPlugin.Step>
  ) throws(CNIError) {
    var setups: [LinkSetup] = []
    for port in ports { setups.append(try setup(port, answers)) }
    try journal.perform(.configureLinks) { permit throws(CNIError) in
      for setup in setups { try setup.configure(&pod, permit) }
    }
    for setup in setups where setup.needsWait {
      try journal.perform(.awaitAddresses) { _ throws(CNIError) in
        try setup.awaitAddresses(&pod)
      }
    }
    guard ports.contains(where: \.hasDefaultRoute) else { return }
    try journal.perform(.addRoutes) { permit throws(CNIError) in
      for setup in setups { try setup.addRoutes(&pod.socket, permit) }
    }
  }

  private mutating func setup(
    _ port: PodPort, _ answers: [VRouterUUID: VRouter.Result]
  ) throws(CNIError) -> LinkSetup {
    let link = try linkOfPod(port)
    guard let answer = answers[port.interface] else {
      throw CNIError(
        .vRouterAgent, "VMI UUID \(port.interface) does not exist in the Vrouter Result")
    }
    var settings = LinkSettings()
    if let mac = answer.mac, mac != link.mac {
      settings.mac = mac
      // Down: the link-local address of the old one goes.
      settings.isUp = false
    }
    return LinkSetup(
      link, settings, cni.result(of: port, answer), skipsDAD: cni.skipsDAD, deadline: deadline)
  }

  /// The result of the whole attachment.
  mutating func result(_ answers: [VRouterUUID: VRouter.Result]) throws(CNIError) -> CNIResult {
    var links: [VRouterUUID: Link] = [:]
    for port in ports { links[port.interface] = try linkOfNode(port) }
    return cni.result(of: ports, answers, links, request)
  }
}

extension ContrailCni {
  /// What one interface gets.
  func result(of port: PodPort, _ answer: VRouter.Result) -> CNIResult {
    makeCniResult(
      ifName: port.port.ifName, answer, sandbox: port.port.netns,
      ipv6PrefixLength: ipv6PrefixLength, hasDefaultRoute: port.hasDefaultRoute)
  }

  /// The result of all interfaces: every link, and the addresses of the primary one, because runtimes take each for the pod's.
  func result(
    of ports: [PodPort], _ answers: [VRouterUUID: VRouter.Result], _ links: [VRouterUUID: Link],
    _ request: PodRequest
  ) -> CNIResult {
    var result = CNIResult()
    for port in ports.sorted(by: { $0.isPrimary && !$1.isPrimary }) {
      guard let answer = answers[port.interface] else { continue }
      var one = self.result(of: port, answer)
      for index in one.interfaces.indices { one.interfaces[index].mtu = mtu }
      let link = links[port.interface]
      let near = CNIResult.Interface(
        name: port.link, mac: (link?.mac ?? port.hostMAC)?.description ?? "", mtu: link?.mtu ?? mtu)
      if !port.isPrimary { (one.ips, one.routes, one.dns) = ([], [], CNIResult.DNS()) }
      result = one.appended(to: result.appending(near))
    }
    if !request.configuration.dns.isEmpty { result.dns = request.configuration.dns }
    return result
  }
}

extension CNIResult {
  fileprivate func appending(_ interface: Interface) -> CNIResult {
    var result = self
    result.interfaces.append(interface)
    return result
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
