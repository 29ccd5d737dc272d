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
    let change = Reversible(
      link, on: .pod, mtu: mtu, mac: configuration.mac, mode: configuration.mode)
    try session.update([(.updateLink, change)], restore: .restoreLink, call.journal)
    let mac = configuration.mac ?? link.mac
    for index in result.interfaces.indices where request.isOwn(result.interfaces[index]) {
      result.interfaces[index].mac = mac?.description ?? result.interfaces[index].mac
    }
    return result
  }
}
