package import Addresses
package import CNI
package import Linux
package import Netlink
package import PluginKit

/// Whose a link is.
///
/// The rule is the same for every plugin; the values in it are the plugin's. A link is the
/// attachment's if it carries the attachment's mark. The mark is set only after the link was
/// created: so one without any mark is, if its kind is right and its hardware address and namespace
/// are those of the record. Where there is no record, one that nobody marked may be what the
/// reference plugin has made before a migration.
package struct LinkOwnership: Sendable {
  /// What a record says of a link.
  package struct Plan: Sendable {
    /// The hardware addresses that it may have.
    let addresses: [MACAddress]
    /// In which namespaces it may be.
    let place: Place

    /// Takes what the plugin reads in a record.
    package init(_ addresses: [MACAddress], in place: Place = .anyNamespace) {
      self.addresses = addresses
      self.place = place
    }
  }

  /// Where a link without a mark may be.
  package enum Place: Sendable {
    /// It is looked for in the daemon's namespace only.
    case anyNamespace
    /// In the namespace of this number; nil: the record knows none, so nowhere.
    case namespace(UInt64?)
  }

  /// What a link without a mark is where there is no record.
  package enum Unrecorded: Sendable {
    /// Another's.
    case others
    /// What the reference plugin has made for this attachment.
    case reference
  }

  private let mark: OwnerMark
  private let kind: String
  private let plan: Plan?
  private let unrecorded: Unrecorded

  /// Takes the attachment's mark, the kernel's word for the kind, what the record says (nil without
  /// one), and what counts without a record.
  package init(mark: OwnerMark, kind: String, plan: Plan?, unrecorded: Unrecorded) {
    self.mark = mark
    self.kind = kind
    self.plan = plan
    self.unrecorded = unrecorded
  }

  /// The rule for the link that a plugin makes in the pod's namespace and plans as ``PlannedLink``.
  ///
  /// The plan names the address that it was made with, the result the one that UPDATE gave it.
  package init<Step: PluginStep>(
    of call: PluginCall<Step>, kind: String, unrecorded: Unrecorded
  ) {
    let plan = call.record.map { record in
      let results = record.result?.interfaces.filter { call.request.isOwn($0) } ?? []
      return Plan(
        record.planned(PlannedLink.self).map(\.mac) + results.compactMap { MACAddress($0.mac) },
        in: .namespace(record.namespace?.cookie))
    }
    self.init(mark: call.request.mark, kind: kind, plan: plan, unrecorded: unrecorded)
  }

  /// Whether a link, in the namespace of a number, is the attachment's.
  @Sendable package func owns(_ link: Link, _ cookie: UInt64) -> Bool {
    if mark.matches(alias: link.alias) { return true }
    guard link.kind == kind, !OwnerMark.isMark(link.alias) else { return false }
    guard let plan else { return unrecorded == .reference }
    guard let mac = link.mac, plan.addresses.contains(mac) else { return false }
    return switch plan.place {
    case .anyNamespace: true
    case .namespace(let number): number == cookie
    }
  }
}

extension PluginHost {
  /// Removes a link of a namespace if it is the right one.
  package func removeLink(
    _ name: String, in namespace: borrowing NetworkNamespace, _ permit: borrowing Permit,
    _ deadline: Deadline, where condition: @escaping LinkRemover.Condition
  ) throws(CNIError) -> LinkRemover.Outcome {
    try mapped("failed to delete \(goQuoted(name))") { () throws(NetlinkError) in
      try linkRemover.remove(
        linkNamed: name, in: namespace, permit, deadline: deadline, where: condition)
    }
  }

  /// Removes a link of the node if it is the right one.
  package func removeLink(
    _ name: String, _ permit: borrowing Permit, _ deadline: Deadline,
    where condition: @escaping LinkRemover.Condition
  ) throws(CNIError) {
    let node = try mapped { () throws(SystemError) in try NetworkNamespace.current() }
    _ = try removeLink(name, in: node, permit, deadline, where: condition)
  }
}

extension PluginCall {
  /// Removes the attachment's link from the pod's namespace, wherever that is by now.
  ///
  /// By the request's path first, whatever its name is by now; then by the mark. How long it takes
  /// to look through namespaces is decided by their owners, so others have the place meanwhile.
  package func removePodLink(
    ownedBy ownership: LinkOwnership, _ permit: borrowing Permit
  ) throws(CNIError) {
    if try removeByPath(ownership, permit) { return }
    guard let found = try waiting({ () throws(CNIError) in try markedLink() }) else { return }
    try remove(found, permit)
  }

  /// - Returns: whether the link is known to be gone; false if it may be in another namespace.
  private func removeByPath(
    _ ownership: LinkOwnership, _ permit: borrowing Permit
  ) throws(CNIError) -> Bool {
    guard let namespace = try AttachmentNamespace.opened(request.netns) else { return false }
    // Without a record an unmarked link of the node itself could look like a pod's.
    if record == nil, !request.allowsOwnNamespace,
      (try? namespace.isSame(as: .current())) == true
    {
      return false
    }
    let outcome = try host.removeLink(
      request.ifName, in: namespace, permit, request.deadline, where: ownership.owns)
    if outcome == .removed { return true }
    // A path that leads elsewhere tells nothing.
    guard let made = record?.namespace?.cookie else { return false }
    var pod = try LinkAccess(in: namespace, listeningTo: [], deadline: request.deadline)
    guard try pod.cookie() == made else { return false }
    let renamed = try waiting { () throws(CNIError) in
      try pod.ask { socket, deadline throws(NetlinkError) in
        try socket.link(inNamespace: nil, deadline: deadline) { ownership.owns($0, made) }
      }
    }
    guard let renamed else { return false }
    return try host.removeLink(
      renamed.name, in: namespace, permit, request.deadline, where: ownership.owns) == .removed
  }

  private func markedLink() throws(CNIError) -> AttachmentNamespace.MarkedLink? {
    var node = try LinkAccess(deadline: request.deadline)
    return try node.ask(failure) { socket, deadline throws(NetlinkError) in
      try AttachmentNamespace.link(
        named: request.ifName, mark: request.mark, likely: record?.namespace?.id, &socket,
        deadline: deadline
      ) { id in
        host.log(
          .warning,
          "namespace \(id) is passed over: its links change all the time; if \(request.ifName) was "
            + "moved there it stays")
      }
    }
  }

  private func remove(
    _ found: AttachmentNamespace.MarkedLink, _ permit: borrowing Permit
  ) throws(CNIError) {
    var node = try LinkAccess(deadline: request.deadline)
    let removal = NetlinkChange.deleteLink(
      index: found.link.index, name: request.ifName, inNamespace: found.namespaceID)
    // Link or namespace may end meanwhile.
    try node.apply(
      [removal.tolerating(.noDevice).tolerating(.invalid)], permit, doing: failure)
  }

  private var failure: String { "failed to delete \(goQuoted(request.ifName))" }
}
