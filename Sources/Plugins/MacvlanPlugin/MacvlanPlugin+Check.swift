package import CNI
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
    try addressing(request, call.host).check(call)
    let expected = try ExpectedLink(request.requiredResult(), request)
    var session = try PodSession(request)
    _ = try configuration.mtu(on: configuration.parent(&session))
    let link = try expected.checkLink(&session.pod, kind: Self.kind)
    try checkMode(link, configuration.mode)
    try expected.checkAddresses(&session.pod, link, call)
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
