import CLinux

/// What stat(2) says of a file, as far as this project asks.
public struct FileStatus: Equatable, Sendable {
  /// What a path leads to.
  public enum Kind: Sendable {
    case regular
    case directory
    case socket
    /// A symbolic link; only from a status that does not follow links.
    case symbolicLink
    /// Anything else.
    case other
  }

  /// What it is.
  public let kind: Kind
  /// Permission bits, 0o7777 at the most.
  public let permissions: UInt32
  /// The owner.
  public let owner: UInt32
  /// The device that holds it.
  public let device: UInt64
  /// Its inode on that device.
  public let inode: UInt64
  /// Size in bytes.
  public let size: Int
  /// How many names it has.
  public let links: Int

  init(_ status: stat) {
    let mode = status.st_mode
    kind =
      if cl_is_regular(mode) != 0 {
        .regular
      } else if cl_is_directory(mode) != 0 {
        .directory
      } else if cl_is_socket(mode) != 0 {
        .socket
      } else if cl_is_symbolic_link(mode) != 0 {
        .symbolicLink
      } else {
        .other
      }
    permissions = UInt32(mode) & 0o7777
    owner = status.st_uid
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    size = Int(status.st_size)
    links = Int(clamping: status.st_nlink)
  }
}

/// How a file is opened; always with O_CLOEXEC.
public struct OpenMode: OptionSet, Sendable {
  /// The bits of open(2).
  public let rawValue: Int32
  /// Wraps bits.
  public init(rawValue: Int32) { self.rawValue = rawValue }
  /// For reading.
  public static let read = OpenMode(rawValue: O_RDONLY)
  /// For writing.
  public static let write = OpenMode(rawValue: O_WRONLY)
  /// For both.
  public static let readWrite = OpenMode(rawValue: O_RDWR)
  /// Made if missing.
  public static let create = OpenMode(rawValue: O_CREAT)
  /// An error if it exists.
  public static let exclusive = OpenMode(rawValue: O_EXCL)
  /// Emptied.
  public static let truncate = OpenMode(rawValue: O_TRUNC)
  /// Written at its end.
  public static let append = OpenMode(rawValue: O_APPEND)
  /// A directory or nothing.
  public static let directory = OpenMode(rawValue: O_DIRECTORY)
  /// Never through a symbolic link at the end of the path.
  public static let noFollow = OpenMode(rawValue: O_NOFOLLOW)
  /// Never waiting, not even in open(2).
  public static let nonBlocking = OpenMode(rawValue: O_NONBLOCK)
}

/// Files and directories by path.
public enum Files {
  /// Opens a file, open(2).
  public static func open(
    _ path: String, _ mode: OpenMode, permissions: UInt32 = 0o600
  ) throws(SystemError) -> FileDescriptor {
    FileDescriptor(
      adopting: try retrying("open", path) {
        unsafe cl_open(path, mode.rawValue | O_CLOEXEC, mode_t(permissions))
      })
  }

  /// Opens a file by a path that begins at an open directory, openat(2).
  public static func open(
    _ path: String, in directory: borrowing FileDescriptor, _ mode: OpenMode,
    permissions: UInt32 = 0o600
  ) throws(SystemError) -> FileDescriptor {
    let number = directory.rawValue
    return FileDescriptor(
      adopting: try retrying("open", path) {
        unsafe cl_openat(number, path, mode.rawValue | O_CLOEXEC, mode_t(permissions))
      })
  }

  /// Reads a whole file.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - limit: a longer file is the error `Errno.tooBig`.
  /// - Returns: all of its bytes.
  /// - Throws: the error of open(2) or read(2).
  public static func read(_ path: String, limit: Int = 16 << 20) throws(SystemError) -> [UInt8] {
    try readAll(try open(path, [.read, .nonBlocking]), path, limit)
  }

  /// Reads an open file to its end; its path is for the error.
  static func readAll(
    _ file: consuming FileDescriptor, _ path: @autoclosure () -> String, _ limit: Int
  ) throws(SystemError) -> [UInt8] {
    var bytes: [UInt8] = []
    do throws(SystemError) {
      while try Descriptor.read(file.rawValue, into: &bytes, limit: 4096) > 0 {
        if bytes.count > limit { throw SystemError("read", "", .tooBig) }
      }
    } catch {
      throw SystemError("read", path(), error.errno)
    }
    return bytes
  }

  /// Writes a whole file in place; for files of /proc, and with `create` for what
  /// need not be atomic.
  public static func write(
    _ path: String, _ bytes: [UInt8], mode: OpenMode = [.write], permissions: UInt32 = 0o600
  ) throws(SystemError) {
    let file = try open(path, mode, permissions: permissions)
    try writeAll(file, bytes, path)
  }

  /// Writes a whole file in place, made if missing, and cuts off what is left of a longer one.
  ///
  /// A file that is emptied first, as `write` with `truncate` does, is sent to the disk by ext4
  /// when it is closed (auto_da_alloc), which takes a hundred times longer. A process that dies in
  /// between leaves a mixture of old and new.
  public static func overwrite(
    _ path: String, _ bytes: [UInt8], permissions: UInt32 = 0o600
  ) throws(SystemError) {
    let file = try open(
      path, [.write, .create, .noFollow, .nonBlocking], permissions: permissions)
    try writeAll(file, bytes, path)
    let number = file.rawValue
    _ = try retrying("ftruncate", path) { ftruncate(number, off_t(bytes.count)) }
  }

  /// Replaces a file so that a reader sees the old or the new content, never a part: a temporary
  /// file beside it takes its place.
  ///
  /// It does not wait for the disk: what has to outlive a power cut is noted with a `Keeper`.
  /// A process that dies in between leaves `<path>.tmp`, which the next replacement overwrites.
  public static func replace(
    _ path: String, _ bytes: [UInt8], permissions: UInt32 = 0o600
  ) throws(SystemError) {
    let temporary = path + ".tmp"
    do throws(SystemError) {
      let file = try open(
        temporary, [.write, .create, .truncate, .noFollow, .nonBlocking], permissions: permissions)
      try writeAll(file, bytes, temporary)
      try putInPlace(temporary, path)
    } catch {
      try? remove(temporary)
      throw error
    }
  }

  /// Gives a new file the name of an old one.
  ///
  /// ext4 writes a file to the disk at once when it is renamed over another (0.9 ms here), but not
  /// when the two change places (0.05 ms).
  private static func putInPlace(_ temporary: String, _ path: String) throws(SystemError) {
    do throws(SystemError) {
      guard try linkStatus(path).kind == .regular else { return try rename(temporary, path) }
      _ = try retrying("exchange", path) { unsafe cl_exchange(temporary, path) }
      try remove(temporary)
    } catch {
      switch error.errno {
      // Nothing there yet, or a file system that cannot exchange.
      case .noEntry, .invalid, .notSupported, .notImplemented: try rename(temporary, path)
      default: throw error
      }
    }
  }

  /// Waits until a file's content, or a directory's names, are on the disk, fsync(2).
  public static func synchronize(_ path: String) throws(SystemError) {
    let file = try open(path, [.read, .nonBlocking])
    let number = file.rawValue
    _ = try retrying("fsync", path) { fsync(number) }
  }

  private static func writeAll(
    _ file: borrowing FileDescriptor, _ bytes: [UInt8], _ path: String
  ) throws(SystemError) {
    do throws(SystemError) {
      try Descriptor.writeFile(file.rawValue, bytes)
    } catch {
      throw SystemError("write", path, error.errno)
    }
  }

  /// What a path leads to, through symbolic links, stat(2).
  public static func status(_ path: String) throws(SystemError) -> FileStatus {
    var result = stat()
    _ = try retrying("stat", path) { unsafe stat(path, &result) }
    return FileStatus(result)
  }

  /// What a path is, a symbolic link included, lstat(2).
  public static func linkStatus(_ path: String) throws(SystemError) -> FileStatus {
    var result = stat()
    _ = try retrying("lstat", path) { unsafe lstat(path, &result) }
    return FileStatus(result)
  }

  /// What an open descriptor is, fstat(2).
  public static func status(_ file: borrowing FileDescriptor) throws(SystemError) -> FileStatus {
    var result = stat()
    let number = file.rawValue
    _ = try retrying("fstat", "") { unsafe fstat(number, &result) }
    return FileStatus(result)
  }

  /// What is written in a symbolic link, readlink(2).
  public static func linkTarget(_ path: String) throws(SystemError) -> String {
    var failure: Errno?
    let target = unsafe [CChar](unsafeUninitializedCapacity: 4096) { all, count in
      guard let buffer = all.baseAddress else { return }
      let got = unsafe readlink(path, buffer, all.count)
      if got < 0 { failure = Errno.current }
      count = max(0, min(got, all.count))
    }
    if let failure { throw SystemError("readlink", path, failure) }
    return String(decoding: target.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Removes a file, unlink(2).
  public static func remove(_ path: String) throws(SystemError) {
    _ = try retrying("unlink", path) { unsafe unlink(path) }
  }

  /// Removes a file that may be missing.
  ///
  /// - Returns: whether it was there.
  @discardableResult
  public static func removeIfPresent(_ path: String) throws(SystemError) -> Bool {
    do throws(SystemError) {
      try remove(path)
      return true
    } catch {
      if error.errno == .noEntry || error.errno == .notDirectory { return false }
      throw error
    }
  }

  /// Moves a file over another, rename(2).
  public static func rename(_ from: String, _ to: String) throws(SystemError) {
    _ = try retrying("rename", to) { unsafe CLinux.rename(from, to) }
  }

  /// Gives a file a second name that must not exist yet, link(2).
  public static func link(_ from: String, _ to: String) throws(SystemError) {
    _ = try retrying("link", to) { unsafe CLinux.link(from, to) }
  }

  /// Sets permission bits, chmod(2).
  public static func setPermissions(_ path: String, _ bits: UInt32) throws(SystemError) {
    _ = try retrying("chmod", path) { unsafe chmod(path, mode_t(bits)) }
  }

  /// Creates a directory whose parents exist, mkdir(2), with exactly these permission bits.
  ///
  /// - Returns: whether it was made; false if a directory was there already.
  @discardableResult
  public static func makeDirectory(
    _ path: String, permissions: UInt32 = 0o700
  ) throws(SystemError) -> Bool {
    do throws(SystemError) {
      _ = try retrying("mkdir", path) { unsafe mkdir(path, mode_t(permissions)) }
    } catch {
      guard error.errno == .exists else { throw error }
      guard try status(path).kind == .directory else { throw error }
      return false
    }
    // The umask may have taken bits away. What has the name by now may be another's.
    let made = try open(path, [.read, .directory, .noFollow])
    let number = made.rawValue
    _ = try retrying("chmod", path) { fchmod(number, mode_t(permissions)) }
    return true
  }

  /// Creates a directory and the parents it lacks, all with these permission bits.
  @discardableResult
  public static func makeDirectories(
    _ path: String, permissions: UInt32 = 0o700
  ) throws(SystemError) -> Bool {
    do throws(SystemError) {
      return try makeDirectory(path, permissions: permissions)
    } catch {
      guard error.errno == .noEntry, let slash = path.utf8.lastIndex(of: 0x2F),
        slash > path.startIndex
      else { throw error }
      try makeDirectories(String(path[..<slash]), permissions: permissions)
      return try makeDirectory(path, permissions: permissions)
    }
  }

  /// Removes an empty directory, rmdir(2).
  public static func removeDirectory(_ path: String) throws(SystemError) {
    _ = try retrying("rmdir", path) { unsafe rmdir(path) }
  }

  /// The names in a directory, without `.` and `..`, in no order.
  ///
  /// Names that are not UTF-8 come out repaired and so cannot be opened; no file of ours has one.
  public static func list(_ path: String) throws(SystemError) -> [String] {
    guard let directory = unsafe opendir(path) else {
      throw SystemError("opendir", path, .current)
    }
    defer { _ = unsafe closedir(directory) }
    var names: [String] = []
    while true {
      var code: Int32 = 0
      guard let entry = unsafe cl_read_directory(directory, &code) else {
        if code == 0 { return names }
        throw SystemError("readdir", path, Errno(rawValue: code))
      }
      let name = unsafe String(cString: cl_entry_name(entry))
      if name != "." && name != ".." { names.append(name) }
    }
  }
}
