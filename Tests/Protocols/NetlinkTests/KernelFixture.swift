import Addresses
@_spi(Journal) import Linux
import Netlink
import TestSupport

extension TestNamespace {
  /// Runs a body with a socket of the namespace.
  func netlink<Value: Sendable>(
    _ body: @escaping @Sendable (inout NetlinkSocket) throws -> Value
  ) async throws -> Value {
    try await run {
      var socket = try NetlinkSocket()
      return try body(&socket)
    }
  }

  /// Opens the namespace as a plugin does.
  func opened() throws -> NetworkNamespace { try NetworkNamespace(path: path) }
}

extension NetlinkSocket {
  /// Makes changes as a test may.
  mutating func apply(_ changes: NetlinkChange...) throws(NetlinkError) {
    try apply(changes, Permit(), deadline: soon)
  }

  /// The link of a name, which must be there.
  mutating func existing(_ name: String) throws -> Link {
    guard let link = try link(named: name, deadline: soon) else { throw TestError("no \(name)") }
    return link
  }

  /// Creates a veth pair, both ends up.
  mutating func cable(_ name: String = "uplink", _ peer: String = "wire") throws -> Link {
    try apply(.createLink(NewLink(name: name, kind: .veth(peer: .init(name: peer)), isUp: true)))
    var settings = LinkSettings()
    settings.isUp = true
    try apply(.changeLink(index: try existing(peer).index, settings))
    return try existing(name)
  }
}
