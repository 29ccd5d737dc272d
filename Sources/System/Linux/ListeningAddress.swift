// Not for the shim: only the daemon is handed sockets.
#if !hasFeature(Embedded)
  public import Addresses
  import CLinux

  /// Where a listening stream socket can be reached, getsockname(2).
  public enum ListeningAddress: Equatable, Sendable {
    /// A Unix socket in the file system.
    case unix(path: String)
    /// A TCP socket.
    case tcp(IPAddress, port: UInt16)

    /// Finds out where a descriptor listens; nil if it is not a listening stream socket, or one
    /// that has neither a path nor an IP address.
    public init?(of descriptor: Int32) {
      guard Self.option(descriptor, SO_ACCEPTCONN) == 1,
        Self.option(descriptor, SO_TYPE) == cl_STREAM
      else { return nil }
      var storage = sockaddr_storage()
      var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
      let code = unsafe withUnsafeMutablePointer(to: &storage) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
          unsafe getsockname(descriptor, generic, &length)
        }
      }
      guard code == 0 else { return nil }
      let bytes = unsafe withUnsafeBytes(of: storage) { unsafe Array($0.prefix(Int(length))) }
      switch Int32(storage.ss_family) {
      case AF_UNIX:
        // An abstract name begins with a zero, and one without a name has no bytes.
        let path = bytes.dropFirst(MemoryLayout<sa_family_t>.size).prefix { $0 != 0 }
        guard path.first == UInt8(ascii: "/") else { return nil }
        self = .unix(path: String(decoding: path, as: UTF8.self))
      case AF_INET:
        guard bytes.count >= 8, let address = IPAddress(bytes: Array(bytes[4..<8])) else {
          return nil
        }
        self = .tcp(address, port: UInt16(bytes[2]) << 8 | UInt16(bytes[3]))
      case AF_INET6:
        guard bytes.count >= 24, let address = IPAddress(bytes: Array(bytes[8..<24])) else {
          return nil
        }
        self = .tcp(address, port: UInt16(bytes[2]) << 8 | UInt16(bytes[3]))
      default: return nil
      }
    }

    private static func option(_ descriptor: Int32, _ name: Int32) -> Int32? {
      var value: Int32 = 0
      var length = socklen_t(MemoryLayout<Int32>.size)
      let code = unsafe getsockopt(descriptor, SOL_SOCKET, name, &value, &length)
      return code == 0 ? value : nil
    }
  }

  extension ListeningAddress: CustomStringConvertible {
    /// `/run/cnid/cnid.sock`, `127.0.0.1:80`, `[::1]:80`.
    public var description: String {
      switch self {
      case .unix(let path): path
      case .tcp(let address, let port):
        address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)"
      }
    }
  }

  extension FileDescriptor {
    /// Sets FD_CLOEXEC on a descriptor that somebody else has opened, fcntl(2).
    public static func closeOnExec(_ descriptor: Int32) throws(SystemError) {
      let flags = try retrying("fcntl", "descriptor \(descriptor)") {
        cl_fcntl(descriptor, F_GETFD, 0)
      }
      _ = try retrying("fcntl", "descriptor \(descriptor)") {
        cl_fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC)
      }
    }
  }
#endif
