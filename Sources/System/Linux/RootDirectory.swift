// Not for the shim: see OSThread.
#if !hasFeature(Embedded)
  import CLinux

  /// A directory that is the root of others' paths, such as a host's file system in a container.
  ///
  /// Their absolute symbolic links and their `..` stay below it, which no joining of paths can do.
  /// It is held open: what its own path leads to later does not matter.
  public final class RootDirectory: Sendable {
    /// The path that it was opened by, in this process' own root.
    public let path: String
    private let directory: FileDescriptor

    /// Opens a directory.
    ///
    /// - Throws: the error of open(2), ENOTDIR for a file.
    public init(_ path: String) throws(SystemError) {
      self.path = path
      directory = try Files.open(path, [.read, .directory])
    }

    /// The kernel gives up on a path with `..` when something is renamed meanwhile, anywhere.
    private static let renameRetries = 100

    /// Opens what a path below this root leads to, openat2(2) with RESOLVE_IN_ROOT.
    private func opened(_ path: String, _ flags: Int32) throws(SystemError) -> FileDescriptor {
      if path.utf8.contains(0) { throw SystemError("open", named(path), .invalid) }
      let number = directory.rawValue
      var tries = 0
      while true {
        do throws(SystemError) {
          return FileDescriptor(
            adopting: try retrying("open", named(path)) {
              unsafe cl_open_in_root(number, path, flags | O_CLOEXEC)
            })
        } catch {
          guard error.errno == .again, tries < Self.renameRetries else { throw error }
        }
        tries += 1
      }
    }

    /// A path of this root, for an error.
    private func named(_ path: String) -> String { "\(path) below \(self.path)" }

    /// Opens a file for reading, never waiting.
    ///
    /// - Parameter path: its path; this directory is its `/`.
    /// - Throws: the error of openat2(2).
    /// - Returns: its descriptor.
    public func open(_ path: String) throws(SystemError) -> FileDescriptor {
      try opened(path, OpenMode([.read, .nonBlocking]).rawValue)
    }

    /// What a path leads to, through symbolic links.
    ///
    /// - Parameter path: the path; this directory is its `/`.
    /// - Throws: the error of openat2(2); unlike that of stat(2) it may be a lack of descriptors.
    /// - Returns: what is there.
    public func status(_ path: String) throws(SystemError) -> FileStatus {
      try Files.status(try opened(path, cl_O_PATH))
    }

    /// Reads a whole file.
    ///
    /// - Parameters:
    ///   - path: its path; this directory is its `/`.
    ///   - limit: a longer file is the error `Errno.tooBig`.
    /// - Returns: all of its bytes.
    /// - Throws: the error of openat2(2) or read(2).
    public func read(_ path: String, limit: Int = 16 << 20) throws(SystemError) -> [UInt8] {
      try Files.readAll(try open(path), named(path), limit)
    }

    /// Runs a body on a thread of its own, whose root and working directory this is, and waits for
    /// its end.
    ///
    /// The process and its other threads keep theirs. What the body starts gets this root. The
    /// thread is in the caller's namespaces, as every new thread is.
    ///
    /// - Parameter body: what to run.
    /// - Returns: what the body returns.
    /// - Throws: the error of the body; of chroot(2), EPERM without CAP_SYS_CHROOT; of starting a
    ///   thread.
    public func run<T>(
      _ body: @escaping () throws(SystemError) -> T
    ) throws(SystemError) -> T {
      let result = try OSThread.run { [self] () -> Result<T, SystemError> in
        do throws(SystemError) {
          try enter()
          return .success(try body())
        } catch {
          return .failure(error)
        }
      }
      return try result.get()
    }

    /// Makes this the calling thread's root for good.
    private func enter() throws(SystemError) {
      let number = directory.rawValue
      _ = try retrying("chroot", path) { unshare(cl_CLONE_FS) }
      _ = try retrying("chroot", path) { fchdir(number) }
      _ = try retrying("chroot", path) { unsafe chroot(".") }
      _ = try retrying("chroot", path) { unsafe chdir("/") }
    }

    /// Tries out whether files below it can be found and programs started there.
    ///
    /// - Throws: the error of openat2(2), which a filter of system calls may refuse, or of
    ///   ``run(_:)``.
    public func check() throws(SystemError) {
      _ = try status("/")
      try run {}
    }
  }
#endif
