import CLinux

/// The process at the other end of a Unix socket, SO_PEERCRED.
public struct PeerCredentials: Equatable, Sendable {
  /// Its process when it connected.
  public let pid: Int32
  /// Its user.
  public let uid: UInt32
  /// Its group.
  public let gid: UInt32
}

/// Stream sockets in the file system, unix(7); all of them non-blocking.
public enum UnixSocket {
  /// The longest path that fits a socket address.
  public static let maximumPathLength = 107

  /// Connects to a socket.
  ///
  /// - Throws: the error of connect(2): `noEntry` and `connectionRefused` mean that nobody listens,
  ///   `again` that the listener's backlog is full.
  public static func connect(_ path: String) throws(SystemError) -> FileDescriptor {
    let socket = try make(path)
    let number = socket.rawValue
    unsafe try withAddress(path, "connect") { address, length in
      unsafe CLinux.connect(number, address, length)
    }
    return socket
  }

  /// Creates a listening socket at a path where nothing is, with mode 0600.
  ///
  /// The caller has made the directory private before, so nobody can connect in between.
  public static func listen(_ path: String, backlog: Int32 = 1024) throws(SystemError)
    -> FileDescriptor
  {
    let socket = try make(path)
    let number = socket.rawValue
    unsafe try withAddress(path, "bind") { address, length in unsafe bind(number, address, length) }
    try Files.setPermissions(path, 0o600)
    _ = try retrying("listen", path) { CLinux.listen(number, backlog) }
    return socket
  }

  /// Who connected.
  public static func peer(of socket: borrowing FileDescriptor) throws(SystemError)
    -> PeerCredentials
  {
    var credentials = cl_ucred()
    var length = socklen_t(MemoryLayout<cl_ucred>.size)
    let number = socket.rawValue
    _ = try retrying("getsockopt", "SO_PEERCRED") {
      unsafe getsockopt(number, SOL_SOCKET, SO_PEERCRED, &credentials, &length)
    }
    return PeerCredentials(pid: credentials.pid, uid: credentials.uid, gid: credentials.gid)
  }

  private static func make(_ path: String) throws(SystemError) -> FileDescriptor {
    FileDescriptor(
      adopting: try retrying("socket", path) { socket(AF_UNIX, cl_SOCK_STREAM, 0) })
  }

  private static func withAddress(
    _ path: String, _ operation: String,
    _ call: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) throws(SystemError) {
    let bytes = Array(path.utf8)
    guard !bytes.isEmpty, bytes.count <= maximumPathLength, !bytes.contains(0) else {
      throw SystemError(operation, path, .nameTooLong)
    }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    unsafe withUnsafeMutableBytes(of: &address.sun_path) { room in
      unsafe room.copyBytes(from: bytes)
    }
    let length = socklen_t(MemoryLayout<sockaddr_un>.size)
    let result = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        // A connect that a signal interrupts goes on by itself on a non-blocking Unix socket only
        // if it had to wait, and then it says EAGAIN; So the call is simply repeated.
        while true {
          let code = unsafe call(generic, length)
          if code == 0 { return Errno(rawValue: 0) }
          let errno = Errno.current
          if errno != .interrupted { return errno }
        }
      }
    }
    if result.rawValue != 0 { throw SystemError(operation, path, result) }
  }
}

/// A listening socket of any family.
public enum Listener {
  /// Accepts one connection, accept4(2); the connection is non-blocking.
  ///
  /// - Returns: nil when nobody is waiting.
  public static func accept(_ listener: borrowing FileDescriptor) throws(SystemError)
    -> FileDescriptor?
  {
    let number = listener.rawValue
    do throws(SystemError) {
      return FileDescriptor(
        adopting: try retrying("accept", "") { accept4(number, nil, nil, cl_ACCEPT_FLAGS) })
    } catch {
      // ECONNABORTED: it hung up while it waited.
      if error.errno == .again || error.errno.rawValue == ECONNABORTED { return nil }
      throw error
    }
  }
}

/// The error that a socket has kept, SO_ERROR; nil for none.
public func pendingError(of socket: borrowing FileDescriptor) -> Errno? {
  var value: Int32 = 0
  var length = socklen_t(MemoryLayout<Int32>.size)
  let code = unsafe getsockopt(socket.rawValue, SOL_SOCKET, SO_ERROR, &value, &length)
  return code == 0 && value != 0 ? Errno(rawValue: value) : nil
}
