import Addresses
package import CNI
import Linux
import Netlink
package import PluginKit
import Workbench
import VRouterAgent

extension VRouterPlugin {
  /// Asks the agent again, and gives the pod's interfaces the addresses, MAC and MTU that they have by now.
  ///
  /// No interface is taken down, and what is the same is not touched. If one of them cannot be changed, all of it is put
  /// back. An interface whose virtual network is another one is announced anew. Interfaces neither come nor go.
  ///
  /// - Returns: the result as an ADD would give it now, without what other plugins of a chain have made.
  package func update(_ call: PluginCall<Step>) throws(CNIError) -> CNIResult {
    let request = call.request
    let cni = try settings(for: request, .strict)
    let attached = try attachment(of: call)
    guard call.record != nil, let uuid = attached.uuid, !attached.ports.isEmpty else {
      throw CNIError(
        .invalidEnvironment,
        "UPDATE of \(goQuoted(request.ifName)) needs an attachment of ADD")
    }
    return try call.whileAlone(Self.lock(named: attached.name)) { () throws(CNIError) in
      try update(attached, uuid, cni, call)
    }
  }

  private func update(
    _ attached: PodAttachment, _ uuid: VRouterUUID, _ cni: ContrailCni, _ call: PluginCall<Step>
  ) throws(CNIError) -> CNIResult {
    let request = call.request
    let limit = request.deadline.capped(milliseconds: cni.addMilliseconds)
    let answers = try call.waiting { () throws(CNIError) in
      try mapped(pod: request.title) { () throws(VRouterError) in
        try attached.vrouter.pollVM(
          uuid, interfaces: attached.ports.map(\.interface), deadline: limit)
      }
    }
    var updating = try Updating.prepared(request, cni, attached.ports, answers)
    try updatePorts(attached, answers, call, limit)
    try updating.run(call.journal)
    return try updating.result(answers)
  }

  /// Announces interfaces again that are in another virtual network by now.
  private func updatePorts(
    _ attached: PodAttachment, _ answers: [VRouterUUID: VRouter.Result], _ call: PluginCall<Step>,
    _ limit: Deadline
  ) throws(CNIError) {
    let pod = call.request.title
    let files = try mapped(pod: pod) { () throws(VRouterError) in
      try attached.vrouter.files.list(name: attached.name)
    }
    var moved: [PodPort] = []
    for port in attached.ports {
      let known = files.first { $0.interface == port.interface }?.network ?? port.port.network
      guard let network = answers[port.interface]?.vnID, network != known else { continue }
      var port = port
      port.port.network = network
      moved.append(port)
    }
    if moved.isEmpty { return }
    try call.journal.waiting(.updatePorts) { permit throws(CNIError) in
      try mapped(pod: pod) { () throws(VRouterError) in
        for port in moved {
          try attached.vrouter.add(
            port.port, updateAgent: !port.usesVLAN, permit, deadline: limit)
        }
      }
    }
  }
}

/// One UPDATE: what the pod's links have, and what they shall have.
private struct Updating: ~Copyable {
  /// The change of one link, and the way back.
  private struct Change {
    let link: Link
    let forward: [NetlinkChange]
    let back: [NetlinkChange]
  }

  private let request: PodRequest
  private let cni: ContrailCni
  private let ports: [PodPort]
  private var node: NetlinkSocket
  private var pod: NetlinkSocket
  private var changes: [Change] = []

  /// Looks at the links; changes nothing.
  static func prepared(
    _ request: PodRequest, _ cni: ContrailCni, _ ports: [PodPort],
    _ answers: [VRouterUUID: VRouter.Result]
  ) throws(CNIError) -> Updating {
    let namespace = try request.openNamespace()
    let node = try mapped { () throws(NetlinkError) in try NetlinkSocket() }
    let pod = try mapped { () throws(NetlinkError) in try NetlinkSocket(in: namespace) }
    var updating = Updating(request: request, cni: cni, ports: ports, node: node, pod: pod)
    for port in ports {
      guard let answer = answers[port.interface] else { continue }
      try updating.compare(port, cni.result(of: port, answer), answer.mac)
    }
    return updating
  }

  private mutating func linkOfPod(_ port: PodPort) throws(CNIError) -> Link {
    let (name, deadline) = (port.port.ifName, request.deadline)
    let found = try mapped { () throws(NetlinkError) in
      try pod.link(named: name, deadline: deadline)
    }
    guard let link = found, request.mark.matches(alias: link.alias) else {
      throw CNIError(
        .invalidEnvironment,
        "\(request.netns) has no interface \(goQuoted(name)) of this attachment")
    }
    return link
  }

  private mutating func compare(
    _ port: PodPort, _ wanted: CNIResult, _ mac: MACAddress?
  ) throws(CNIError) {
    let link = try linkOfPod(port)
    let deadline = request.deadline
    let (present, routes): ([InterfaceAddress], [Route]) = try mapped {
      () throws(NetlinkError) in
      (
        try pod.addresses(of: link.index, deadline: deadline),
        try pod.routes(.v4, deadline: deadline) + pod.routes(.v6, deadline: deadline)
      )
    }
    let old = present.filter { $0.scope == 0 }.map(\.network)
    let new = wanted.ips.map(\.address)
    let after = wanted.routes.map { Route(to: $0.dst, via: $0.gw, index: link.index) }
    // Those of router advertisements are the kernel's own.
    let own = Route(to: IPNetwork(host: IPAddress(v4: 0))).maker
    let before = routes.filter { $0.isDefault && $0.index == link.index && $0.maker == own }
    let hasOtherRoutes = Set(before.compactMap(\.gateway)) != Set(after.compactMap(\.gateway))
    let settings = difference(link, mac: mac ?? link.mac, mtu: cni.mtu)
    let isSame = Set(old) == Set(new) && !hasOtherRoutes && settings == nil
    if isSame { return }
    // With an address of the same network the one that goes would take the new one along, so it goes first.
    changes.append(
      Change(
        link: link,
        forward: [settings?.forward].compactMap { $0 }
          + steps(link, from: old, to: new, remove: before, add: after),
        back: [settings?.back].compactMap { $0 }
          + steps(link, from: new, to: old, remove: after, add: before)))
    if settings?.changesMTU == true { try compareNode(port) }
  }

  /// The settings of a link that are to be changed; nil for none.
  private func difference(
    _ link: Link, mac: MACAddress?, mtu: UInt32
  ) -> (forward: NetlinkChange, back: NetlinkChange, changesMTU: Bool)? {
    var (forward, back) = (LinkSettings(), LinkSettings())
    if mac != link.mac { (forward.mac, back.mac) = (mac, link.mac) }
    if mtu != link.mtu { (forward.mtu, back.mtu) = (mtu, link.mtu) }
    if mac == link.mac, mtu == link.mtu { return nil }
    return (
      .changeLink(index: link.index, name: link.name, forward),
      .changeLink(index: link.index, name: link.name, back), mtu != link.mtu
    )
  }

  private func steps(
    _ link: Link, from old: [IPNetwork], to new: [IPNetwork], remove before: [Route],
    add after: [Route]
  ) -> [NetlinkChange] {
    let gone = old.filter { !new.contains($0) }.map { network in
      NetlinkChange.removeAddress(InterfaceAddress(index: link.index, network: network))
        .tolerating(.addressNotAvailable)
    }
    let come = new.filter { !old.contains($0) }.map { network in
      NetlinkChange.addAddress(
        InterfaceAddress(
          index: link.index, network: network,
          flags: cni.skipsDAD && network.family == .v6 ? .noDAD : [])
      ).tolerating(.exists)
    }
    let lost = before.filter { route in !after.contains { $0.gateway == route.gateway } }.map {
      NetlinkChange.removeRoute($0).tolerating(.noProcess)
    }
    let gained = after.map { NetlinkChange.addRoute($0).tolerating(.exists) }
    return lost + gone + come + gained
  }

  private mutating func compareNode(_ port: PodPort) throws(CNIError) {
    let deadline = request.deadline
    let found = try mapped { () throws(NetlinkError) in
      try node.link(named: port.link, deadline: deadline)
    }
    if let found, found.mtu != cni.mtu { nodeLinks.append(found) }
  }

  /// The links of the node whose MTU is changed as well.
  private var nodeLinks: [Link] = []

  /// Makes the changes; all or none.
  mutating func run(_ journal: Journal<VRouterPlugin.Step>) throws(CNIError) {
    if changes.isEmpty { return }
    do throws(CNIError) {
      try journal.perform(.updateLinks) { permit throws(CNIError) in
        for link in nodeLinks { try set(cni.mtu, link, permit) }
        for change in changes { try apply(change.forward, change.link, permit) }
      }
    } catch {
      // The refusal is what the caller is told.
      try? journal.perform(.restoreLinks) { permit throws(CNIError) in
        for change in changes {
          _ = try? pod.attempt(change.back, permit, deadline: request.deadline)
        }
        for link in nodeLinks { try set(link.mtu, link, permit) }
      }
      throw error
    }
  }

  private mutating func set(
    _ mtu: UInt32, _ link: Link, _ permit: borrowing Permit
  ) throws(CNIError) {
    var settings = LinkSettings()
    settings.mtu = mtu
    do throws(NetlinkError) {
      try node.apply(
        [.changeLink(index: link.index, name: link.name, settings)], permit,
        deadline: request.deadline)
    } catch {
      throw CNIError(error, doing: "failed to update \(goQuoted(link.name))")
    }
  }

  private mutating func apply(
    _ steps: [NetlinkChange], _ link: Link, _ permit: borrowing Permit
  ) throws(CNIError) {
    do throws(NetlinkError) {
      try pod.apply(steps, permit, deadline: request.deadline)
    } catch {
      throw CNIError(error, doing: "failed to update \(goQuoted(link.name))")
    }
  }

  /// The attachment's result as it is now.
  mutating func result(_ answers: [VRouterUUID: VRouter.Result]) throws(CNIError) -> CNIResult {
    var links: [VRouterUUID: Link] = [:]
    for port in ports {
      links[port.interface] = try mapped { () throws(NetlinkError) in
        try node.link(named: port.link, deadline: request.deadline)
      }
    }
    return cni.result(of: ports, answers, links, request)
  }
}
