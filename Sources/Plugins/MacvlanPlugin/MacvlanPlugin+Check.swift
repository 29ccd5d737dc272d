package import CNI
import IPAM
import Netlink
package import PluginKit
import Workbench

extension MacvlanPlugin {
  /// Compares the link, its addresses and the routes with the result of ADD.
  ///
  /// What other plugins of the chain have changed since is in `prevResult`, so it is no fault.
  package func check(_ call: PluginCall<Step>) throws(CNIError) {
    let request = call.request
    let configuration = try MacvlanConfiguration(request.configuration, request.arguments)
    try addressManagement(for: request)?.check()
    guard let result = try request.configuration.prevResult() else {
      throw CNIError(.invalidConfiguration, "required prevResult missing")
    }
    let expected = try ExpectedLink(result, request)
    let deadline = request.deadline
    let namespace = try request.openNamespace()
    var pod = try mapped { () throws(NetlinkError) in try NetlinkSocket(in: namespace) }
    if configuration.isParentInContainer {
      _ = try configuration.mtu(on: try configuration.parent(&pod, deadline: deadline))
    } else {
      var node = try mapped { () throws(NetlinkError) in try NetlinkSocket() }
      _ = try configuration.mtu(on: try configuration.parent(&node, deadline: deadline))
    }
    let link = try expected.checkLink(&pod, kind: "macvlan", deadline)
    try checkMode(link, configuration.mode)
    try expected.checkAddresses(&pod, link, deadline)
    try expected.checkRoutes(&pod, deadline)
  }
  private func checkMode(_ link: Link, _ mode: MacvlanMode) throws(CNIError) {
    if link.macvlan?.mode != mode {
      throw CNIError(
        .kernel,
        "container macvlan mode \(link.macvlan?.mode?.rawValue ?? "unknown") does not match expected "
          + "value: \(mode.rawValue)")
    }
  }
}
