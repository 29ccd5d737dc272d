import CLinux

/// A network namespace, held open.
///
/// While this value lives the namespace cannot end, so nobody keeps one longer than a request.
public struct NetworkNamespace: ~Copyable, Sendable {
  /// The namespace's descriptor.
  public let descriptor: FileDescriptor

  /// Opens a namespace by its path.
  ///
  /// A container may lack the link from `/var/run` to `/run`, which every node has.
  ///
  /// - Parameter path: such as `/proc/<pid>/ns/net`, or a file on which a namespace is mounted.
  /// - Throws: the error of open(2); `Errno.invalid` if the path is not a network namespace.
  public init(path: String) throws(SystemError) {
    let opened = try Self.open(path)
    guard cl_namespace_type(opened.rawValue) == cl_CLONE_NEWNET else {
      throw SystemError("open network namespace", path, .invalid)
    }
    descriptor = opened
  }

  private static func open(_ path: String) throws(SystemError) -> FileDescriptor {
    do throws(SystemError) {
      return try Files.open(path, [.read, .nonBlocking])
    } catch {
      guard error.errno == .noEntry, path.utf8.starts(with: "/var/run/".utf8),
        let opened = try? Files.open(String(path.dropFirst(4)), [.read, .nonBlocking])
      else { throw error }
      return opened
    }
  }

  private init(adopting descriptor: consuming FileDescriptor) { self.descriptor = descriptor }

  /// A second value for the same namespace, to be handed to another thread.
  ///
  /// - Throws: the error of fcntl(2).
  public func duplicate() throws(SystemError) -> NetworkNamespace {
    NetworkNamespace(adopting: try descriptor.duplicate())
  }

  /// The calling thread's own namespace.
  public static func current() throws(SystemError) -> NetworkNamespace {
    try NetworkNamespace(path: "/proc/thread-self/ns/net")
  }

  /// Whether two values are the same namespace, by device and inode.
  public func isSame(as other: borrowing NetworkNamespace) throws(SystemError) -> Bool {
    let mine = try Files.status(descriptor)
    let theirs = try Files.status(other.descriptor)
    return mine.device == theirs.device && mine.inode == theirs.inode
  }

  /// Moves the calling thread into this namespace; only for a thread that ends afterwards.
  public func enter() throws(SystemError) { try Self.enter(descriptor.rawValue) }

  /// Moves the calling thread into the namespace of an open descriptor, setns(2).
  public static func enter(_ descriptor: Int32) throws(SystemError) {
    _ = try retrying("setns", "") { setns(descriptor, cl_CLONE_NEWNET) }
  }

  /// Moves the calling thread into a new namespace, unshare(2); only for a thread that
  /// ends afterwards.
  public static func enterNew() throws(SystemError) {
    _ = try retrying("unshare", "") { unshare(cl_CLONE_NEWNET) }
  }

  /// The kernel's number of the namespace that a socket belongs to, SO_NETNS_COOKIE.
  ///
  /// A number is never given to a second namespace while the machine runs; paths,
  /// pids and inodes are.
  public static func cookie(ofSocket socket: borrowing FileDescriptor) throws(SystemError)
    -> UInt64
  {
    var cookie: UInt64 = 0
    var length = socklen_t(MemoryLayout<UInt64>.size)
    let number = socket.rawValue
    _ = try retrying("getsockopt", "SO_NETNS_COOKIE") {
      unsafe getsockopt(number, SOL_SOCKET, cl_SO_NETNS_COOKIE, &cookie, &length)
    }
    return cookie
  }
}

extension SystemError {
  /// Whether opening a namespace failed because it has gone: nothing there, or something that is no
  /// namespace, such as the file on which it was once mounted.
  public var isGoneNamespace: Bool {
    switch errno {
    case .noEntry, .notDirectory, .noProcess, .invalid, .noDeviceOrAddress: true
    default: false
    }
  }
}
