import Addresses
package import CNI
import Linux
import Netlink
package import PluginKit
import Workbench

extension MacvlanPlugin {
  /// Changes MTU, mode and hardware address of the link to what a new configuration says.
  ///
  /// Everything else stays as ADD made it: addresses, routes and parent. If one of the three cannot be changed, all are put
  /// back. An address that the configuration does not name stays.
  ///
  /// - Returns: the result of ADD with the new hardware address.
  package func update(_ call: PluginCall<Step>) throws(CNIError) -> CNIResult {
    let request = call.request
    let deadline = request.deadline
    let configuration = try MacvlanConfiguration(request.configuration, request.arguments)
    let given = try request.configuration.prevResult()
    guard var result = call.record?.result ?? given else {
      throw CNIError(
        .invalidEnvironment,
        "UPDATE of \(goQuoted(request.ifName)) needs an attachment of ADD, or prevResult")
    }
    let namespace = try request.openNamespace()
    var pod = try mapped { () throws(NetlinkError) in try NetlinkSocket(in: namespace) }
    let link = try ownLink(call, &pod)
    let parent: Link
    if configuration.isParentInContainer {
      parent = try configuration.parent(&pod, deadline: deadline)
    } else {
      var node = try mapped { () throws(NetlinkError) in try NetlinkSocket() }
      parent = try configuration.parent(&node, deadline: deadline)
    }
    let isElsewhere = link.parentNamespaceID != nil
    guard link.parent == parent.index, isElsewhere != configuration.isParentInContainer else {
      throw CNIError(.invalidConfiguration, "UPDATE cannot change the master of a macvlan link")
    }
    let change = LinkUpdate(
      from: link, mtu: try configuration.mtu(on: parent) ?? parent.mtu, mode: configuration.mode,
      mac: configuration.mac)
    if !change.isEmpty { try apply(change, call.journal, &pod, deadline) }
    for index in result.interfaces.indices
    where result.interfaces[index].name.utf8.elementsEqual(request.ifName.utf8)
      && !result.interfaces[index].sandbox.isEmpty
    {
      result.interfaces[index].mac =
        (change.mac ?? link.mac)?.description ?? result.interfaces[index].mac
    }
    return result
  }

  private func ownLink(
    _ call: PluginCall<Step>, _ pod: inout NetlinkSocket
  ) throws(CNIError) -> Link {
    let request = call.request
    let owner = LinkOwner(call)
    let (link, cookie): (Link?, UInt64)
    do throws(NetlinkError) {
      link = try pod.link(named: request.ifName, deadline: request.deadline)
      cookie = try pod.namespaceCookie()
    } catch {
      throw CNIError(error)
    }
    guard let link, link.macvlan != nil, owner.owns(link, cookie) else {
      throw CNIError(
        .invalidEnvironment,
        "\(request.netns) has no interface \(goQuoted(request.ifName)) of this attachment")
    }
    return link
  }

  private func apply(
    _ change: LinkUpdate, _ journal: Journal<Step>, _ pod: inout NetlinkSocket,
    _ deadline: Deadline
  ) throws(CNIError) {
    do throws(CNIError) {
      try journal.perform(.updateLink) { permit throws(CNIError) in
        do throws(NetlinkError) {
          try pod.apply([change.forward], permit, deadline: deadline)
        } catch {
          throw CNIError(error, doing: "failed to update \(goQuoted(change.link.name))")
        }
      }
    } catch {
      // The kernel does not take a refused message back as a whole; the refusal is what the caller is told.
      try? journal.perform(.restoreLink) { permit throws(CNIError) in
        do throws(NetlinkError) {
          try pod.apply([change.back], permit, deadline: deadline)
        } catch {
          throw CNIError(error)
        }
      }
      throw error
    }
  }
}

/// A change of a link, and the way back.
private struct LinkUpdate: Sendable {
  let link: Link
  private let mtu: UInt32?
  private let mode: MacvlanMode?
  /// The new address, if it is another one.
  let mac: MACAddress?

  init(from link: Link, mtu: UInt32, mode: MacvlanMode, mac: MACAddress?) {
    self.link = link
    self.mtu = mtu == link.mtu ? nil : mtu
    self.mode = mode == link.macvlan?.mode ? nil : mode
    self.mac = mac == link.mac ? nil : mac
  }

  var isEmpty: Bool { mtu == nil && mode == nil && mac == nil }

  var forward: NetlinkChange {
    var settings = LinkSettings()
    (settings.mtu, settings.macvlanMode, settings.mac) = (mtu, mode, mac)
    return .changeLink(index: link.index, name: link.name, settings)
  }

  var back: NetlinkChange {
    var settings = LinkSettings()
    if mtu != nil { settings.mtu = link.mtu }
    if mode != nil { settings.macvlanMode = link.macvlan?.mode }
    if mac != nil { settings.mac = link.mac }
    return .changeLink(index: link.index, name: link.name, settings)
  }
}
