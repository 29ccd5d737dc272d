import Addresses
package import CNI
import Netlink
package import PluginKit
import Workbench

extension MacvlanPlugin {
  /// Changes MTU, mode and hardware address of the link to what a new configuration says.
  ///
  /// Everything else stays as ADD created it: addresses, routes and parent. If one of the three
  /// cannot be changed, all are put back. An address that the configuration does not name stays.
  ///
  /// - Returns: the result of ADD with the new hardware address.
  package func update(_ call: PluginCall<Step>) throws(CNIError) -> CNIResult {
    let request = call.request
    let configuration = try MacvlanConfiguration(request.configuration, request.arguments)
    var result = try call.resultToUpdate()
    var session = try PodSession(request)
    let link = try session.ownLink(named: request.ifName, where: ownership(call).owns)
    let parent = try configuration.parent(&session)
    let isElsewhere = link.parentNamespaceID != nil
    guard link.parent == parent.index, isElsewhere != configuration.isParentInContainer else {
      throw CNIError(.invalidConfiguration, "UPDATE cannot change the master of a macvlan link")
    }
    let mtu = try configuration.mtu(on: parent) ?? parent.mtu
    let changes = difference(link, mtu: mtu, configuration.mode, configuration.mac)
    try session.update(
      changes.map { (step: .updateLink, change: $0) }, restore: .restoreLink, call.journal)
    let mac = configuration.mac ?? link.mac
    for index in result.interfaces.indices where request.isOwn(result.interfaces[index]) {
      result.interfaces[index].mac = mac?.description ?? result.interfaces[index].mac
    }
    return result
  }

  private func difference(
    _ link: Link, mtu: UInt32, _ mode: MacvlanMode, _ mac: MACAddress?
  ) -> [Reversible] {
    var (forward, back) = (LinkSettings(), LinkSettings())
    if mtu != link.mtu { (forward.mtu, back.mtu) = (mtu, link.mtu) }
    if mode != link.macvlan?.mode {
      (forward.macvlanMode, back.macvlanMode) = (mode, link.macvlan?.mode)
    }
    if let mac, mac != link.mac { (forward.mac, back.mac) = (mac, link.mac) }
    let isSame = forward.mtu == nil && forward.macvlanMode == nil && forward.mac == nil
    return isSame ? [] : [Reversible(link, on: .pod, forward, back: back)]
  }
}
