public import Addresses

/// Where a server listens.
public enum HTTPEndpoint: Sendable, Equatable, CustomStringConvertible {
  /// A socket in the file system.
  case unix(path: String)
  /// A literal address: a static program resolves no names.
  case tcp(IPAddress, port: UInt16)

  /// The path, or `address:port` with an IPv6 address in brackets.
  public var description: String {
    switch self {
    case .unix(let path): path
    case .tcp(let address, let port):
      address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)"
    }
  }

  /// The `Host` of a request that names none: `dummy` on a Unix socket, as Multus' clients say.
  var host: String {
    switch self {
    case .unix: "dummy"
    case .tcp: description
    }
  }
}
