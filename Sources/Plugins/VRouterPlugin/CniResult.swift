import Addresses
package import CNI
package import VRouterAgent

/// The result that one interface has by the agent's answer; counterpart of `MakeCniResult`.
///
/// - Parameters:
///   - ifName: the interface in the pod.
///   - vrouterResult: the agent's object, with addresses.
///   - sandbox: the pod's namespace.
///   - ipv6PrefixLength: which the agent does not tell.
///   - hasDefaultRoute: whether the pod's default routes go through it.
/// - Returns: the interface, its addresses, default routes where there is a gateway, and name servers.
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
    let any = IPAddress(family: given.address.family)
    if hasDefaultRoute, let gateway = given.gateway,
      let everywhere = IPNetwork(address: any, prefixLength: 0)
    {
      result.routes.append(CNIResult.Route(dst: everywhere, gw: gateway))
    }
  }
  return result
}

extension IPAddress {
  /// 0.0.0.0 or ::.
  fileprivate init(family: Family) {
    self = family == .v4 ? IPAddress(v4: 0) : IPAddress(v6: 0)
  }
}
