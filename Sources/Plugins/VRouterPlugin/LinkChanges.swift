import Addresses
import CNI
import Linux
import Netlink
import PluginKit
import VRouterAgent
import Workbench

/// What an UPDATE has to change: what the pod's links have, against what the agent says by now.
struct LinkChanges {
  private let cni: ContrailCni
  private let ports: [PodPort]
  private let answers: [VRouterUUID: VRouter.Result]

  init(_ cni: ContrailCni, _ ports: [PodPort], _ answers: [VRouterUUID: VRouter.Result]) {
    (self.cni, self.ports, self.answers) = (cni, ports, answers)
  }

  /// Looks at the links; changes nothing.
  ///
  /// - Returns: the changes, those of the node first.
  func found(_ session: inout PodSession) throws(CNIError) -> [Reversible] {
    var (node, pod): ([Reversible], [Reversible]) = ([], [])
    let mark = session.request.mark
    for port in ports {
      guard let answer = answers[port.interface] else { continue }
      let link = try session.ownLink(named: port.port.ifName) { link, _ in
        mark.matches(alias: link.alias)
      }
      pod += try difference(link, cni.result(of: port, answer), answer.mac, &session.pod)
      if link.mtu != cni.mtu, let near = try session.node.link(named: port.link) {
        node += [Reversible.mtu(cni.mtu, of: near, on: .node)].compactMap { $0 }
      }
    }
    return node + pod
  }

  private func difference(
    _ link: Link, _ wanted: CNIResult, _ mac: MACAddress?, _ pod: inout LinkAccess
  ) throws(CNIError) -> [Reversible] {
    let present = try pod.ask { socket, deadline throws(NetlinkError) in
      try socket.addresses(of: link.index, deadline: deadline)
    }
    let old = present.filter { $0.scope == 0 }.map(\.network)
    let new = wanted.ips.map(\.address)
    let after = wanted.routes.map { Route(to: $0.dst, via: $0.gw, index: link.index) }
    // Those of router advertisements are the kernel's own.
    let own = Route(to: IPNetwork(host: IPAddress(v4: 0))).maker
    let before = try pod.routes().filter {
      $0.isDefault && $0.index == link.index && $0.maker == own
    }
    let hasOtherRoutes = Set(before.compactMap(\.gateway)) != Set(after.compactMap(\.gateway))
    let settings = settings(link, mac: mac ?? link.mac)
    if Set(old) == Set(new), !hasOtherRoutes, settings.isEmpty { return [] }
    // With an address of the same network the one that goes would take the new one along,
    // so it goes first.
    return [
      Reversible(
        link, on: .pod,
        settings.map(\.forward) + steps(link, from: old, to: new, remove: before, add: after),
        back: settings.map(\.back) + steps(link, from: new, to: old, remove: after, add: before))
    ]
  }

  /// The settings that are to be changed, if any.
  private func settings(
    _ link: Link, mac: MACAddress?
  ) -> [(forward: NetlinkChange, back: NetlinkChange)] {
    if mac == link.mac, cni.mtu == link.mtu { return [] }
    var (forward, back) = (LinkSettings(), LinkSettings())
    if mac != link.mac { (forward.mac, back.mac) = (mac, link.mac) }
    if cni.mtu != link.mtu { (forward.mtu, back.mtu) = (cni.mtu, link.mtu) }
    return [
      (
        .changeLink(index: link.index, name: link.name, forward),
        .changeLink(index: link.index, name: link.name, back)
      )
    ]
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
}
