import Addresses
import CNI
import Netlink
import Workbench

/// The parent, and the link on it.
extension MacvlanConfiguration {
  /// The link on which the pod's link sits: the one that `master` names, else the default route's.
  ///
  /// - Throws: code 7 `failed to lookup master …` and `no default route interface found`.
  func parent(_ access: inout LinkAccess) throws(CNIError) -> Link {
    if master.isEmpty { return try defaultParent(&access) }
    let name = goQuoted(master)
    let found = try access.ask("failed to lookup master \(name)") {
      socket, deadline throws(NetlinkError) in
      try socket.link(named: master, deadline: deadline)
    }
    if let found { return found }
    throw CNIError(.invalidConfiguration, "failed to lookup master \(name): Link not found")
  }

  /// The parent, in the namespace that the configuration names.
  func parent(_ session: inout PodSession) throws(CNIError) -> Link {
    isParentInContainer ? try parent(&session.pod) : try parent(&session.node)
  }

  /// The parent and its MTU checked, if it is in the node's namespace; nil if it is in the pod's.
  func parentOfNode(_ node: inout LinkAccess) throws(CNIError) -> Link? {
    if isParentInContainer { return nil }
    let parent = try parent(&node)
    _ = try mtu(on: parent)
    return parent
  }

  private func defaultParent(_ access: inout LinkAccess) throws(CNIError) -> Link {
    let found = try access.ask("failed to look up the default route") {
      socket, deadline throws(NetlinkError) -> Link? in
      guard let index = try socket.defaultRouteLink(deadline: deadline) else { return nil }
      return try socket.link(index: index, deadline: deadline)
    }
    if let found { return found }
    throw CNIError(.invalidConfiguration, "no default route interface found")
  }

  /// The requested address, else the parent's for a link that takes it over, else a random one.
  func mac(on parent: Link) throws(CNIError) -> MACAddress {
    if let mac { return mac }
    if mode == .passthru, let mac = parent.mac { return mac }
    return try .random()
  }

  /// The link as it is made; where the parent is in the pod's namespace, by a socket there.
  func link(
    _ name: String, on parent: Link, _ mac: MACAddress, in pod: Int32
  ) throws(CNIError) -> NewLink {
    let kind = NewLink.Kind.macvlan(
      parent: parent.index, mode: mode, broadcastQueueLength: broadcastQueueLength)
    return NewLink(
      name: name, kind: kind, mac: mac, mtu: try mtu(on: parent),
      namespace: isParentInContainer ? nil : pod)
  }
}
