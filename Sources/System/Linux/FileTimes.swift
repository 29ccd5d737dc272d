import CLinux

/// A time that a file system keeps, to the nanosecond.
public struct FileTime: Hashable, Sendable {
  /// Seconds since 1970.
  public let seconds: Int
  /// Nanoseconds of the second.
  public let nanoseconds: Int

  /// Creates a time from its parts.
  public init(seconds: Int, nanoseconds: Int) {
    self.seconds = seconds
    self.nanoseconds = nanoseconds
  }
}

/// Which state of a directory's entries somebody has seen.
///
/// Two equal stamps mean the same directory, and no entry made, removed or renamed in between, if
/// the first was taken right after ``Files/stamp(_:modified:)`` had set a time of its own.
public struct DirectoryStamp: Hashable, Sendable {
  /// The device that holds the directory.
  public let device: UInt64
  /// Its inode on that device.
  public let inode: UInt64
  /// When an entry was last made, removed or renamed.
  public let modified: FileTime
}

extension Files {
  /// Whether a file was last written before the machine was started, as far as the
  /// clock of today tells.
  package static func isOfAnotherBoot(_ path: String) throws(SystemError) -> Bool {
    var result = stat()
    _ = try retrying("lstat", path) { unsafe lstat(path, &result) }
    let (now, sinceBoot) = (KernelClock.real, KernelClock.boot)
    guard now > sinceBoot else { return false }
    return Int(result.st_mtim.tv_sec) < Int(clamping: (now - sinceBoot) / 1_000_000_000)
  }

  /// The stamp of a directory, stat(2).
  public static func stamp(_ path: String) throws(SystemError) -> DirectoryStamp {
    var result = stat()
    _ = try retrying("stat", path) { unsafe stat(path, &result) }
    return DirectoryStamp(
      device: UInt64(result.st_dev), inode: UInt64(result.st_ino),
      modified: FileTime(
        seconds: Int(result.st_mtim.tv_sec), nanoseconds: Int(result.st_mtim.tv_nsec)))
  }

  /// Sets a directory's modification time, utimensat(2), and takes its stamp.
  ///
  /// Whenever an entry changes, the kernel sets the time to that of its last tick (4 ms). So
  /// two changes within a tick look the same. After a time that no tick has, every later
  /// change can be seen.
  public static func stamp(
    _ path: String, modified: FileTime
  ) throws(SystemError) -> DirectoryStamp {
    let times = [
      timespec(tv_sec: 0, tv_nsec: cl_UTIME_OMIT),
      timespec(tv_sec: modified.seconds, tv_nsec: modified.nanoseconds),
    ]
    _ = try retrying("utimensat", path) { unsafe utimensat(AT_FDCWD, path, times, 0) }
    return try stamp(path)
  }
}
