package import Addresses
package import CNI
package import Linux
package import Netlink
import PluginKit

/// Questions to one namespace and changes in it, with the call's deadline and with CNI's errors.
package struct LinkAccess: ~Copyable {
  /// The sockets of the namespace.
  package var sockets: NamespaceSockets
  /// When to give up.
  package var deadline: Deadline

  /// Opens the daemon's own namespace.
  package init(deadline: Deadline) throws(CNIError) {
    sockets = try mapped { () throws(NetlinkError) in try NamespaceSockets.here() }
    self.deadline = deadline
  }

  init(
    in namespace: borrowing NetworkNamespace, listeningTo groups: [NotificationGroup],
    deadline: Deadline
  ) throws(CNIError) {
    sockets = try mapped { () throws(NetlinkError) in
      try NamespaceSockets.open(in: namespace, listeningTo: groups)
    }
    self.deadline = deadline
  }

  /// The number of the namespace (SO_NETNS_COOKIE).
  package func cookie() throws(CNIError) -> UInt64 {
    try mapped { () throws(NetlinkError) in try sockets.socket.namespaceCookie() }
  }

  /// Asks anything; an error has the kernel's words, or a message with those in the details.
  package mutating func ask<Answer>(
    _ message: @autoclosure () -> String? = nil,
    _ question: (inout NetlinkSocket, Deadline) throws(NetlinkError) -> Answer
  ) throws(CNIError) -> Answer {
    do throws(NetlinkError) {
      return try question(&sockets.socket, deadline)
    } catch {
      throw CNIError(error, doing: message())
    }
  }

  /// The link of a name, if there is one.
  package mutating func link(named name: String) throws(CNIError) -> Link? {
    try ask { socket, deadline throws(NetlinkError) in
      try socket.link(named: name, deadline: deadline)
    }
  }

  /// The link of a number, if there is one.
  package mutating func link(index: UInt32) throws(CNIError) -> Link? {
    try ask { socket, deadline throws(NetlinkError) in
      try socket.link(index: index, deadline: deadline)
    }
  }

  /// A link that was just made, unless somebody has removed it meanwhile.
  package mutating func made(_ name: String) throws(CNIError) -> Link {
    if let found = try link(named: name) { return found }
    throw CNIError(.kernel, "interface \(goQuoted(name)) vanished while it was set up")
  }

  /// All links.
  package mutating func links() throws(CNIError) -> [Link] {
    try ask { socket, deadline throws(NetlinkError) in try socket.links(deadline: deadline) }
  }

  /// What to say where a link is missing: `Link not found; there are eth0 and eth1`.
  package mutating func notFound(_ name: String) throws(CNIError) -> String {
    let others = try links().filter { !$0.flags.contains(.loopback) }.map(\.name)
    return "Link not found; \(choices(others, near: name))"
  }

  /// The routes through a link to some networks.
  package mutating func routes(
    through link: Link, to networks: Set<IPNetwork>
  ) throws(CNIError) -> [Route] {
    try ask { socket, deadline throws(NetlinkError) in
      var found: [Route] = []
      for family in [IPAddress.Family.v4, .v6] {
        let own = networks.filter { $0.family == family }
        if own.isEmpty { continue }
        found += try socket.routes(family, index: link.index, to: own, deadline: deadline)
      }
      return found
    }
  }

  /// Makes changes in order; the first refusal is thrown.
  package mutating func apply(
    _ changes: [NetlinkChange], _ permit: borrowing Permit,
    doing message: @autoclosure () -> String? = nil
  ) throws(CNIError) {
    try ask(message()) { socket, deadline throws(NetlinkError) in
      try socket.apply(changes, permit, deadline: deadline)
    }
  }

  /// Changes one link.
  package mutating func change(
    _ link: Link, _ settings: LinkSettings, _ permit: borrowing Permit,
    doing message: @autoclosure () -> String? = nil
  ) throws(CNIError) {
    try apply([.change(link, settings)], permit, doing: message())
  }
}
