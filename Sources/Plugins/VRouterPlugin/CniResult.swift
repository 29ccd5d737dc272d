import Addresses
package import CNI
import Netlink
import PluginKit
package import VRouterAgent

/// The result that one interface has by the agent's answer; counterpart of `MakeCniResult`.
///
/// - Parameters:
///   - ifName: the interface in the pod.
///   - vrouterResult: the agent's object, with addresses.
///   - sandbox: the pod's namespace.
///   - ipv6PrefixLength: which the agent does not tell.
///   - hasDefaultRoute: whether the pod's default routes go through it.
/// - Returns: the interface, its addresses, default routes where there is a gateway,
///   and name servers.
package func makeCniResult(
  ifName: String, _ vrouterResult: VRouter.Result, sandbox: String = "",
  ipv6PrefixLength: Int = 64, hasDefaultRoute: Bool = true
) -> CNIResult {
  var result = CNIResult(interfaces: [
    CNIResult.Interface(
      name: ifName, mac: vrouterResult.mac?.description ?? "", sandbox: sandbox)
  ])
  for given in [vrouterResult.ipv4, vrouterResult.ipv6] {
    guard let given,
      let address = IPNetwork(
        address: given.address,
        prefixLength: given.prefixLength ?? (given.address.family == .v6 ? ipv6PrefixLength : 32))
    else { continue }
    result.ips.append(CNIResult.IP(interface: 0, address: address, gateway: given.gateway))
    if let nameServer = given.nameServer { result.dns.nameservers.append(nameServer.description) }
    if hasDefaultRoute, let gateway = given.gateway {
      result.routes.append(CNIResult.Route(dst: .all(given.address.family), gw: gateway))
    }
  }
  return result
}

extension ContrailCni {
  /// What one interface gets.
  func result(of port: PodPort, _ answer: VRouter.Result) -> CNIResult {
    makeCniResult(
      ifName: port.port.ifName, answer, sandbox: port.port.netns,
      ipv6PrefixLength: ipv6PrefixLength, hasDefaultRoute: port.hasDefaultRoute)
  }

  /// The result of all interfaces: every link, and the addresses of the primary one, because
  /// runtimes take each for the pod's.
  func result(
    of ports: [PodPort], _ answers: [VRouterUUID: VRouter.Result], _ links: [VRouterUUID: Link],
    _ request: PodRequest
  ) -> CNIResult {
    var result = CNIResult()
    for port in ports.sorted(by: { $0.isPrimary && !$1.isPrimary }) {
      guard let answer = answers[port.interface] else { continue }
      var one = self.result(of: port, answer)
      for index in one.interfaces.indices { one.interfaces[index].mtu = mtu }
      let link = links[port.interface]
      result.interfaces.append(
        CNIResult.Interface(
          name: port.link, mac: (link?.mac ?? port.hostMAC)?.description ?? "",
          mtu: link?.mtu ?? mtu))
      if !port.isPrimary { (one.ips, one.routes, one.dns) = ([], [], CNIResult.DNS()) }
      result = one.appended(to: result)
    }
    if !request.configuration.dns.isEmpty { result.dns = request.configuration.dns }
    return result
  }
}
