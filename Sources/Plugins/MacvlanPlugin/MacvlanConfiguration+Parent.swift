import Addresses
import CNI
import Netlink
import Workbench

/// The parent, and the link on it.
extension MacvlanConfiguration {
  /// The link on which the pod's link sits: the one that `master` names, else the default route's.
  ///
  /// - Throws: code 7 `failed to lookup master …`, with the links that there are,
  ///   `no default route interface found …`, and for a link that can have no other on it.
  func parent(_ access: inout LinkAccess) throws(CNIError) -> Link {
    let parent = try master.isEmpty ? defaultParent(&access) : namedParent(&access)
    if parent.flags.contains(.loopback) {
      throw CNIError(
        .invalidConfiguration, "\(parent.name) is the loopback link, which cannot be a master")
    }
    if let index = parent.bridge, let owner = try access.link(index: index),
      Self.exclusiveKinds.contains(owner.kind)
    {
      throw CNIError(
        .invalidConfiguration,
        "\(parent.name) is a port of \(owner.kind) \(owner.name) and cannot be a master as well")
    }
    return parent
  }

  // Each of them takes what comes in at its ports before a macvlan link could.
  private static let exclusiveKinds = ["bridge", "bond", "team", "openvswitch"]

  /// What the kernel means by an invalid message for a link on a parent.
  func hint(on parent: Link) -> String {
    if parent.mac == nil { return "\(parent.name) is no Ethernet link" }
    if (1..<68).contains(mtu) { return "an MTU of \(mtu) is less than 68" }
    return mode == .passthru
      ? "in mode passthru a link has its master for itself, and \(parent.name) has another"
      : "\(parent.name) may have a link in mode passthru, which has it for itself"
  }

  private func namedParent(_ access: inout LinkAccess) throws(CNIError) -> Link {
    let name = goQuoted(master)
    let found = try access.ask("failed to lookup master \(name)") {
      socket, deadline throws(NetlinkError) in
      try socket.link(named: master, deadline: deadline)
    }
    if let found { return found }
    let text = try access.notFound(master)
    throw CNIError(.invalidConfiguration, "failed to lookup master \(name): \(text)")
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
    throw CNIError(
      .invalidConfiguration,
      "no default route interface found: the network has no \"master\", and there is no default "
        + "route to take it from")
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
