public import Addresses

/// Where an OVSDB server listens, written as Open vSwitch writes it.
public enum OVSDBAddress: Hashable, Sendable {
  /// `unix:/path`: a socket in the file system.
  case unix(path: String)
  /// `tcp:1.2.3.4:6640` or `tcp:[::1]:6640`: a literal address, because a static program
  /// resolves no names.
  case tcp(IPAddress, port: UInt16)

  /// Where ovsdb-server listens when nobody says otherwise.
  public static let standard = OVSDBAddress.unix(path: "/var/run/openvswitch/db.sock")

  /// Reads an address.
  ///
  /// - Throws: `invalidAddress` with a reason for people: an unknown method, `ssl:`,
  ///   a name, no port.
  public init(parsing text: String) throws(OVSDBError) {
    guard let colon = text.firstIndex(of: ":") else {
      throw .invalidAddress(text, "it must begin with unix: or tcp:")
    }
    let rest = text[text.index(after: colon)...]
    switch text[..<colon] {
    case "unix":
      guard rest.hasPrefix("/") else {
        throw .invalidAddress(text, "the socket's path must be absolute")
      }
      self = .unix(path: String(rest))
    case "tcp":
      guard let (address, port) = Self.endpoint(rest) else {
        throw .invalidAddress(text, "tcp: needs a literal address and a port, tcp:127.0.0.1:6640")
      }
      self = .tcp(address, port: port)
    case "ssl": throw .invalidAddress(text, "ssl: is not supported; use unix: or tcp:")
    default: throw .invalidAddress(text, "it must begin with unix: or tcp:")
    }
  }

  /// `ADDRESS:PORT`, with brackets around an IPv6 address.
  private static func endpoint(_ text: Substring) -> (IPAddress, UInt16)? {
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]),
      port != 0
    else { return nil }
    let host = text[..<colon]
    if host.hasPrefix("[") {
      guard host.hasSuffix("]"), let address = IPAddress(String(host.dropFirst().dropLast())),
        address.family == .v6
      else { return nil }
      return (address, port)
    }
    guard let address = IPAddress(String(host)), address.family == .v4 else { return nil }
    return (address, port)
  }
}

extension OVSDBAddress: CustomStringConvertible {
  /// The form that `init(parsing:)` reads.
  public var description: String {
    switch self {
    case .unix(let path): "unix:\(path)"
    case .tcp(let address, let port):
      address.family == .v4 ? "tcp:\(address):\(port)" : "tcp:[\(address)]:\(port)"
    }
  }
}
