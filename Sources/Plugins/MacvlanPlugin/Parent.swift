import CNI
import Linux
import Netlink
import PluginKit

extension MacvlanConfiguration {
  /// The link on which the pod's link sits.
  ///
  /// - Parameters:
  ///   - socket: a socket of the namespace in which the parent is.
  ///   - deadline: when to give up.
  /// - Returns: the link that `master` names, else the one of the default route.
  /// - Throws: code 7 `failed to lookup master …` and `no default route interface found`.
  func parent(
    _ socket: inout NetlinkSocket, deadline: Deadline
  ) throws(CNIError) -> Link {
    if master.isEmpty { return try defaultParent(&socket, deadline) }
    let name = goQuoted(master)
    let found = try mapped("failed to lookup master \(name)") { () throws(NetlinkError) in
      try socket.link(named: master, deadline: deadline)
    }
    guard let found else {
      throw CNIError(.invalidConfiguration, "failed to lookup master \(name): Link not found")
    }
    return found
  }

  private func defaultParent(
    _ socket: inout NetlinkSocket, _ deadline: Deadline
  ) throws(CNIError) -> Link {
    let found = try mapped("failed to look up the default route") {
      () throws(NetlinkError) -> Link? in
      guard let index = try socket.defaultRouteLink(deadline: deadline) else { return nil }
      return try socket.link(index: index, deadline: deadline)
    }
    guard let found else {
      throw CNIError(.invalidConfiguration, "no default route interface found")
    }
    return found
  }
}
