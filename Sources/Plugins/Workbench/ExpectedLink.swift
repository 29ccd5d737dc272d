import Addresses
package import CNI
import Linux
package import Netlink
package import PluginKit

/// What ADD's result says of the pod's link.
package struct ExpectedLink {
  private let interface: CNIResult.Interface
  private let addresses: [CNIResult.IP]
  private let routes: [CNIResult.Route]

  /// Finds the link's part of a result.
  ///
  /// - Throws: code 7 if the result has no such link in the request's namespace.
  package init(_ result: CNIResult, _ request: PodRequest) throws(CNIError) {
    let named = result.interfaces.filter { $0.name.utf8.elementsEqual(request.ifName.utf8) }
    let found = named.last { Self.isSamePlace($0.sandbox, request.netns) }
    guard let found else {
      throw CNIError(
        .invalidConfiguration,
        "sandbox in prevResult \(named.last?.sandbox ?? "") doesn't match configured netns: "
          + request.netns)
    }
    interface = found
    // Addresses of other links of the chain are the business of the plugins that made them.
    addresses = result.ips.filter { ip in
      guard let owner = result.interface(of: ip) else { return true }
      return owner == found
    }
    routes = result.routes
  }

  /// Whether two paths lead to one namespace: `/var/run/netns/x` and `/run/netns/x` do.
  private static func isSamePlace(_ path: String, _ other: String) -> Bool {
    if path.utf8.elementsEqual(other.utf8) { return true }
    guard !path.isEmpty, let first = try? NetworkNamespace(path: path),
      let second = try? NetworkNamespace(path: other)
    else { return false }
    return (try? first.isSame(as: second)) == true
  }

  /// Finds the link and compares kind and hardware address.
  ///
  /// - Returns: the link.
  /// - Throws: code 100 if it is not there or has another address.
  package func checkLink(
    _ pod: inout LinkAccess, kind: String
  ) throws(CNIError) -> Link {
    let name = interface.name
    guard let link = try pod.link(named: name) else {
      throw CNIError(.kernel, "container interface name in prevResult: \(name) not found")
    }
    if link.kind != kind {
      throw CNIError(.kernel, "error: Container interface \(name) not of type \(kind)")
    }
    if !interface.mac.isEmpty, MACAddress(interface.mac) != link.mac {
      throw CNIError(
        .kernel,
        "interface \(name) Mac \(interface.mac) doesn't match container Mac: "
          + (link.mac?.description ?? ""))
    }
    return link
  }

  /// Compares the link's addresses, the routes to their networks, and the routes of the result.
  ///
  /// How long it takes to read them is decided by what the pod has. So others have the place
  /// meanwhile, and what cannot be read in two seconds says nothing against the attachment.
  package func checkAddresses<Step: PluginStep>(
    _ pod: inout LinkAccess, _ link: Link, _ call: PluginCall<Step>
  ) throws(CNIError) {
    if addresses.isEmpty, routes.isEmpty { return }
    let whole = pod.deadline
    pod.deadline = whole.capped(milliseconds: Self.patience)
    defer { pod.deadline = whole }
    let (present, table): ([InterfaceAddress], [Route])
    do throws(CNIError) {
      (present, table) = try call.waiting { () throws(CNIError) in try read(&pod, link) }
    } catch {
      guard error.code == .deadline, !whole.isOver else { throw error }
      return call.host.log(.warning, "CHECK could not read addresses and routes: \(error)")
    }
    try checkAddresses(link, present, table)
    try checkRoutes(link, table)
  }

  private static let patience = 2000

  private func read(
    _ pod: inout LinkAccess, _ link: Link
  ) throws(CNIError) -> ([InterfaceAddress], [Route]) {
    let networks = Set(addresses.map(\.address))
    let present = try pod.ask { socket, deadline throws(NetlinkError) in
      try socket.addresses(of: link.index, with: networks, deadline: deadline)
    }
    let destinations = addresses.map(\.address.masked) + routes.map(\.dst.masked)
    return (present, try pod.routes(through: link, to: Set(destinations)))
  }

  private func checkAddresses(
    _ link: Link, _ present: [InterfaceAddress], _ table: [Route]
  ) throws(CNIError) {
    for ip in addresses where !present.contains(where: { $0.network == ip.address }) {
      throw CNIError(
        .kernel, "Failed to match addr \(ip.address) on interface \(link.name)")
    }
    for ip in addresses where !table.contains(where: { $0.destination == ip.address.masked }) {
      // The kernel keeps no such route for an address that is its whole network.
      if ip.address.masked.first == ip.address.masked.last { continue }
      throw CNIError(
        .kernel,
        "Failed to find Gateway \(ip.gateway?.description ?? "<nil>") for interface \(link.name)",
        details: "no route to \(ip.address.masked)")
    }
  }

  /// A later plugin of the chain may have moved a route of the link to another table.
  private func checkRoutes(_ link: Link, _ table: [Route]) throws(CNIError) {
    for route in routes {
      let isThere = table.contains { candidate in
        guard candidate.destination == route.dst.masked else { return false }
        let isThrough =
          candidate.index == link.index || candidate.nextHops.contains { $0.index == link.index }
        guard isThrough || candidate.table == route.table ?? Route.Table.main else { return false }
        // A default route is compared without its gateway, as the reference does.
        guard let gateway = route.gw, route.dst.prefixLength > 0 else { return true }
        return candidate.gateway == gateway || candidate.nextHops.contains { $0.gateway == gateway }
      }
      if !isThere {
        throw CNIError(.kernel, "expected Route \(route.dst) not found in routing table")
      }
    }
  }
}
