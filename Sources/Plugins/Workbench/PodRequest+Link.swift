package import Addresses
package import CNI
package import PluginKit

/// What the plugins that work in a pod's namespace ask of a request.
extension PodRequest {
  package var mark: OwnerMark { OwnerMark(containerID: sandboxID, ifName: ifName) }

  /// Whether the caller insists on the node's own namespace (`CNI_NETNS_OVERRIDE`).
  package var allowsOwnNamespace: Bool {
    let value = environment["CNI_NETNS_OVERRIDE", default: ""].lowercased()
    return value == "1" || value == "true"
  }

  /// Whether an interface of a result is the attachment's link in the pod.
  package func isOwn(_ interface: CNIResult.Interface) -> Bool {
    interface.name.utf8.elementsEqual(ifName.utf8) && !interface.sandbox.isEmpty
  }

  /// Code 4: an interface is there already.
  func linkExists(_ ifName: String) -> CNIError {
    CNIError(.invalidEnvironment, "interface \(goQuoted(ifName)) already exists in \(netns)")
  }

  /// Code 4: an interface is not there, or another's.
  package func notAttached(_ ifName: String) -> CNIError {
    CNIError(
      .invalidEnvironment, "\(netns) has no interface \(goQuoted(ifName)) of this attachment")
  }

  /// The pod's link as ADD's result names it.
  package func interface(_ mac: MACAddress, mtu: UInt32? = nil) -> CNIResult.Interface {
    CNIResult.Interface(name: ifName, mac: mac.description, mtu: mtu, sandbox: netns)
  }

  /// ADD's result: the links that were made, the pod's own last, with its addresses and routes,
  /// appended to what the plugins before it returned.
  package func result(
    _ interfaces: [CNIResult.Interface], _ leased: CNIResult, after previous: CNIResult?
  ) -> CNIResult {
    let ips = leased.ips.map { ip in
      CNIResult.IP(interface: interfaces.count - 1, address: ip.address, gateway: ip.gateway)
    }
    let own = configuration.dns
    let result = CNIResult(
      interfaces: interfaces, ips: ips, routes: leased.routes, dns: own.isEmpty ? leased.dns : own)
    return if let previous { result.appended(to: previous) } else { result }
  }

  /// The result of ADD that the runtime hands to CHECK.
  ///
  /// - Throws: code 7 if it does not.
  package func requiredResult() throws(CNIError) -> CNIResult {
    if let result = try configuration.prevResult() { return result }
    throw CNIError(.invalidConfiguration, "required prevResult missing")
  }
}

extension PluginCall {
  /// The result that an UPDATE starts from: the record's, else the runtime's.
  ///
  /// - Throws: code 4 if there is none.
  package func resultToUpdate() throws(CNIError) -> CNIResult {
    let given = try request.configuration.prevResult()
    if let result = record?.result ?? given { return result }
    throw CNIError(
      .invalidEnvironment,
      "UPDATE of \(goQuoted(request.ifName)) needs an attachment of ADD, or prevResult")
  }
}
