import Addresses
public import CNI
import IPAM
import Linux
import Netlink
public import PluginKit

extension MacvlanPlugin {
  /// Removes the link, if it is the attachment's, and gives its addresses back.
  ///
  /// The parent is never looked at. Also the undo of a failed ADD, from whatever state that left.
  public func delete(_ call: PluginCall<Step>) throws(CNIError) {
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
    let request = call.request
    guard !request.netns.isEmpty else { return }
    let remover = try requireHost().linkRemover
    let owner = LinkOwner(call)
    try call.journal.perform(.deleteLink) { permit throws(CNIError) in
      let namespace: NetworkNamespace
      do throws(SystemError) {
        namespace = try NetworkNamespace(path: request.netns)
      } catch {
        if MacvlanPlugin.isGone(error.errno) { return }
        throw CNIError(
          error, doing: "failed to open netns \(goQuoted(request.netns)): \(error.errno)")
      }
      // Without a record an unmarked link of the node itself could look like a pod's.
      if call.record == nil, !request.allowsOwnNamespace,
        (try? namespace.isSame(as: .current())) == true
      {
        return
      }
      do throws(NetlinkError) {
        _ = try remover.remove(
          linkNamed: request.ifName, in: namespace, permit, deadline: request.deadline,
          where: owner.owns)
      } catch {
        throw CNIError(error, doing: "failed to delete \(goQuoted(request.ifName))")
      }
    }
  }

  /// Whether opening a namespace failed because it has gone: nothing there, or a file on which it was once mounted.
  private static func isGone(_ errno: Errno) -> Bool {
    switch errno {
    case .noEntry, .notDirectory, .noProcess, .invalid: true
    default: false
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
