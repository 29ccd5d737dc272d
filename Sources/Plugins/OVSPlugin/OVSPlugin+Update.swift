package import CNI
import Netlink
package import PluginKit
import Workbench

extension OVSPlugin {
  /// Changes VLANs, limits and MTU to what a new configuration says.
  ///
  /// Everything else stays as ADD created it, and what does not change is not touched, so no packet
  /// is lost. If one of them cannot be changed, all are put back.
  ///
  /// - Returns: the result of ADD with the new MTU.
  package func update(_ call: PluginCall<Step>) throws(CNIError) -> CNIResult {
    let request = try completed(call)
    let configuration = try OVSConfiguration(request.configuration, request.arguments)
    var result = try call.resultToUpdate()
    let limits = try limits(configuration, PodAnnotations(request.configuration))
    let owner = try openSwitch(configuration.database, call.host)
    let update = try call.waiting { () throws(CNIError) in
      try PortUpdate(request, limits, configuration, owner)
    }
    var session = try PodSession(request)
    let near = try session.node.link(named: update.port.name)
    let far = try session.pod.link(named: request.ifName)
    guard let near, let far, request.mark.matches(alias: near.alias) else {
      throw request.notAttached(request.ifName)
    }
    try session.update(
      update.changes(near, far, call.host.log), restore: .restorePort, call.journal)
    guard let mtu = configuration.mtu else { return result }
    for index in result.interfaces.indices
    where [request.ifName, near.name].contains(result.interfaces[index].name) {
      result.interfaces[index].mtu = mtu
    }
    return result
  }
}
