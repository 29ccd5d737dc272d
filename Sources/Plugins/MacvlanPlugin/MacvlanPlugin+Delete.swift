import Addresses
package import CNI
import IPAM
import Linux
import Netlink
package import PluginKit
import Workbench

extension MacvlanPlugin {
  /// Removes the link, if it is the attachment's, and gives its addresses back.
  ///
  /// The parent is never looked at. Also the undo of a failed ADD, from whatever state that left.
  package func delete(_ call: PluginCall<Step>) throws(CNIError) {
    let request = call.request
    let addresses = try addressManagement(for: request)
    var failure: CNIError?
    if let addresses, !addresses.isInProcess {
      do throws(CNIError) {
        try call.journal.perform(.runIPAMDelete) { permit throws(CNIError) in
          try addresses.delete(permit)
        }
      } catch {
        // The link must go all the same.
        failure = error
      }
    }
    try removeLink(call)
    if let addresses, addresses.isInProcess {
      try call.journal.perform(.releaseLease) { permit throws(CNIError) in
        try addresses.delete(permit)
      }
    }
    if let failure { throw failure }
  }

  private func removeLink(_ call: PluginCall<Step>) throws(CNIError) {
    try call.journal.perform(.deleteLink) { permit throws(CNIError) in
      if try removeByPath(call, permit) { return }
      try removeByMark(call, permit)
    }
  }

  /// Removes the link in the namespace to which the request's path leads.
  ///
  /// - Returns: whether the link is known to be gone; false if it may be in another namespace.
  private func removeByPath(
    _ call: PluginCall<Step>, _ permit: borrowing Permit
  ) throws(CNIError) -> Bool {
    let request = call.request
    guard let namespace = try openedNamespace(request) else { return false }
    // Without a record an unmarked link of the node itself could look like a pod's.
    if call.record == nil, !request.allowsOwnNamespace,
      (try? namespace.isSame(as: .current())) == true
    {
      return false
    }
    if try remove(call, in: namespace, permit) == .removed { return true }
    // Where it was made it is not any more; a path that leads elsewhere says nothing.
    guard let made = call.record?.namespace?.cookie else { return false }
    return try cookie(of: namespace) == made
  }

  /// The namespace to which the request's path leads; nil if there is none.
  private func openedNamespace(_ request: PodRequest) throws(CNIError) -> NetworkNamespace? {
    if request.netns.isEmpty { return nil }
    do throws(SystemError) {
      return try NetworkNamespace(path: request.netns)
    } catch {
      if error.isGoneNamespace { return nil }
      throw CNIError(
        error, doing: "failed to open netns \(goQuoted(request.netns)): \(error.errno)")
    }
  }

  private func cookie(of namespace: borrowing NetworkNamespace) throws(CNIError) -> UInt64 {
    do throws(SystemError) {
      return try namespace.cookie()
    } catch {
      throw CNIError(error, code: .kernel)
    }
  }

  private func remove(
    _ call: PluginCall<Step>, in namespace: borrowing NetworkNamespace, _ permit: borrowing Permit
  ) throws(CNIError) -> LinkRemover.Outcome {
    let request = call.request
    let remover = try requireHost().linkRemover
    do throws(NetlinkError) {
      return try remover.remove(
        linkNamed: request.ifName, in: namespace, permit, deadline: request.deadline,
        where: LinkOwner(call).owns)
    } catch {
      throw CNIError(error, doing: "failed to delete \(goQuoted(request.ifName))")
    }
  }

  /// Removes the link that carries the attachment's mark from whichever namespace has it.
  private func removeByMark(
    _ call: PluginCall<Step>, _ permit: borrowing Permit
  ) throws(CNIError) {
    let request = call.request
    do throws(NetlinkError) {
      var node = try NetlinkSocket()
      let found = try AttachmentNamespace.link(
        named: request.ifName, mark: request.mark, likely: call.record?.namespace?.id, &node,
        deadline: request.deadline)
      guard let found else { return }
      let removal = NetlinkChange.deleteLink(
        index: found.link.index, name: request.ifName, inNamespace: found.namespaceID)
      // Link or namespace may end meanwhile.
      try node.apply(
        [removal.tolerating(.noDevice).tolerating(.invalid)], permit, deadline: request.deadline)
    } catch {
      throw CNIError(error, doing: "failed to delete \(goQuoted(request.ifName))")
    }
  }
}

/// What tells the attachment's link from another's of the same name.
struct LinkOwner: Sendable {
  private let mark: OwnerMark
  /// The namespace's number at ADD; nil without a record.
  private let cookie: UInt64?
  /// The hardware addresses that the link has had.
  private let addresses: [MACAddress]
  private let hasRecord: Bool

  init(_ call: PluginCall<MacvlanPlugin.Step>) {
    let request = call.request
    mark = request.mark
    hasRecord = call.record != nil
    cookie = call.record?.namespace?.cookie
    let planned = call.record?.planned("link").compactMap { $0.string("mac") } ?? []
    let resulting =
      call.record?.result?.interfaces.filter {
        $0.name.utf8.elementsEqual(request.ifName.utf8) && !$0.sandbox.isEmpty
      }.map(\.mac) ?? []
    addresses = (planned + resulting).compactMap { MACAddress($0) }
  }

  /// Whether a link is the attachment's.
  ///
  /// It is if it carries the attachment's mark. Without a mark, which is set only after the link was made, it is if kind,
  /// namespace and address are those of the record; and where there is no record, a macvlan link that nobody marked was
  /// made by the reference plugin.
  @Sendable func owns(_ link: Link, _ namespaceCookie: UInt64) -> Bool {
    if mark.matches(alias: link.alias) { return true }
    guard link.kind == "macvlan", !OwnerMark.isMark(link.alias) else { return false }
    guard hasRecord else { return true }
    guard let mac = link.mac else { return false }
    return cookie == namespaceCookie && addresses.contains(mac)
  }
}
