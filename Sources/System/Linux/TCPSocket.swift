public import Addresses
import CLinux

/// TCP sockets at literal addresses, tcp(7); all of them non-blocking.
///
/// A static program resolves no names.
public enum TCPSocket {
  /// Connects within the deadline.
  public static func connect(
    _ address: IPAddress, port: UInt16, deadline: Deadline
  ) throws(SystemError) -> FileDescriptor {
    let object = text(address, port)
    let socket = try make(address, object)
    let number = socket.rawValue
    do throws(SystemError) {
      unsafe try withAddress(address, port, "connect") { generic, length in
        unsafe CLinux.connect(number, generic, length)
      }
    } catch {
      guard error.errno == .inProgress else { throw error }
      try deadline.wait(number, for: .write, "connect", object)
      if let errno = pendingError(of: socket) { throw SystemError("connect", object, errno) }
    }
    return socket
  }

  /// Listens at an address; port 0 lets the kernel choose.
  public static func listen(
    _ address: IPAddress, port: UInt16, backlog: Int32 = 256
  ) throws(SystemError) -> FileDescriptor {
    let object = text(address, port)
    let socket = try make(address, object)
    let number = socket.rawValue
    var one: Int32 = 1
    _ = try retrying("setsockopt", object) {
      unsafe setsockopt(number, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
    }
    unsafe try withAddress(address, port, "bind") { generic, length in
      unsafe bind(number, generic, length)
    }
    _ = try retrying("listen", object) { CLinux.listen(number, backlog) }
    return socket
  }

  /// The port that a socket is bound to.
  public static func port(of socket: borrowing FileDescriptor) throws(SystemError) -> UInt16 {
    var address = sockaddr_in6()
    var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
    let number = socket.rawValue
    _ = try retrying("getsockname", "") {
      unsafe withUnsafeMutablePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
          unsafe getsockname(number, generic, &length)
        }
      }
    }
    // The port has the same place in both families' addresses.
    return UInt16(bigEndian: address.sin6_port)
  }

  private static func text(_ address: IPAddress, _ port: UInt16) -> String {
    address.family == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)"
  }

  private static func make(_ address: IPAddress, _ object: String) throws(SystemError)
    -> FileDescriptor
  {
    let family = address.family == .v4 ? AF_INET : AF_INET6
    return FileDescriptor(
      adopting: try retrying("socket", object) { socket(family, cl_SOCK_STREAM, 0) })
  }

  private static func withAddress(
    _ address: IPAddress, _ port: UInt16, _ operation: String,
    _ call: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws(SystemError) {
    let code: Int32
    switch address.family {
    case .v4:
      var v4 = sockaddr_in()
      v4.sin_family = sa_family_t(AF_INET)
      v4.sin_port = port.bigEndian
      v4.sin_addr.s_addr = UInt32(truncatingIfNeeded: address.bits).bigEndian
      code = unsafe withUnsafePointer(to: &v4) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
          unsafe call(generic, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
      }
    case .v6:
      var v6 = sockaddr_in6()
      v6.sin6_family = sa_family_t(AF_INET6)
      v6.sin6_port = port.bigEndian
      unsafe withUnsafeMutableBytes(of: &v6.sin6_addr) { room in
        unsafe room.copyBytes(from: address.bytes)
      }
      code = unsafe withUnsafePointer(to: &v6) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
          unsafe call(generic, socklen_t(MemoryLayout<sockaddr_in6>.size))
        }
      }
    }
    if code != 0 { throw SystemError(operation, text(address, port), .current) }
  }
}
