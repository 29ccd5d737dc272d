import Addresses
import CNI
import Linux
import Netlink
import PluginKit
import VRouterAgent
import Workbench

/// What an UPDATE has to change: what the pod's links have, against what the agent says by now.
struct LinkChanges {
  let cni: ContrailCni
  let ports: [PodPort]
  let answers: [VRouterUUID: VRouter.Result]

  /// Looks at the links; changes nothing.
  ///
  /// - Returns: the changes, those of the node first.
  func found(_ session: inout PodSession) throws(CNIError) -> [Reversible?] {
    var (node, pod): ([Reversible?], [Reversible?]) = ([], [])
    let mark = session.request.mark
    for port in ports {
      guard let answer = answers[port.interface] else { continue }
      let link = try session.ownLink(named: port.port.ifName) { link, _ in
        mark.matches(alias: link.alias)
      }
      pod.append(Reversible(link, on: .pod, mtu: cni.mtu, mac: answer.mac))
      pod.append(try otherAddresses(link, cni.result(of: port, answer), &session.pod))
      if link.mtu != cni.mtu, let near = try session.node.link(named: port.link) {
        node.append(Reversible(near, on: .node, mtu: cni.mtu))
      }
    }
    return node + pod
  }

  /// Other addresses and default routes of a link; nil if it has those of the agent.
  private func otherAddresses(
    _ link: Link, _ wanted: CNIResult, _ pod: inout LinkAccess
  ) throws(CNIError) -> Reversible? {
    let present = try pod.ask { socket, deadline throws(NetlinkError) in
      try socket.addresses(of: link.index, deadline: deadline)
    }
    let old = present.filter { $0.scope == 0 }.map(\.network)
    let new = wanted.ips.map(\.address)
    let after = wanted.routes.map { Route(to: $0.dst, via: $0.gw, index: link.index) }
    // Those of router advertisements are the kernel's own.
    let own = Route(to: IPNetwork(host: IPAddress(v4: 0))).maker
    let before = try pod.routes(through: link, to: [.all(.v4), .all(.v6)]).filter {
      $0.isDefault && $0.index == link.index && $0.maker == own
    }
    let hasOtherRoutes = Set(before.compactMap(\.gateway)) != Set(after.compactMap(\.gateway))
    if Set(old) == Set(new), !hasOtherRoutes { return nil }
    // With an address of the same network the one that goes would take the new one along,
    // so it goes first.
    return Reversible(
      link, on: .pod, steps(link, from: old, to: new, remove: before, add: after),
      back: steps(link, from: new, to: old, remove: after, add: before))
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
