import CLinux

/// A lock on a file, flock(2), held while this value lives.
///
/// The reference `host-local` plugin locks its `lock` file in the same way.
public struct FileLock: ~Copyable, Sendable {
  private let file: FileDescriptor

  /// Takes the exclusive lock, or tells that somebody else holds it.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - mode: how it is opened; it is made (0600) if missing unless told otherwise.
  /// - Throws: the error of open(2) or flock(2).
  /// - Returns: the lock, or nil if another open file has it or the path leads elsewhere by now.
  public static func attempt(
    _ path: String, _ mode: OpenMode = [.readWrite, .create]
  ) throws(SystemError) -> FileLock? {
    let file = try Files.open(path, mode)
    let number = file.rawValue
    do throws(SystemError) {
      _ = try retrying("flock", path) { flock(number, LOCK_EX | LOCK_NB) }
    } catch {
      if error.errno == .again { return nil }
      throw error
    }
    // The lock of a file that was removed or replaced meanwhile keeps nobody out.
    let mine = try Files.status(file)
    guard let now = try? Files.status(path), now.inode == mine.inode, now.device == mine.device
    else { return nil }
    return FileLock(file: file)
  }

  /// Takes the exclusive lock, trying again with growing pauses (0.1 ms to 3 ms)
  /// until the deadline.
  ///
  /// For locks that are held for a moment; nobody is told when one is given back.
  public static func take(_ path: String, deadline: Deadline) throws(SystemError) -> FileLock {
    var pause = 100
    while true {
      if let lock = try attempt(path) { return lock }
      try deadline.check("lock", path)
      Clock.pause(microseconds: pause)
      pause = min(3000, pause * 2)
    }
  }

  private init(file: consuming FileDescriptor) { self.file = file }

  // Closing alone would leave the lock to a child that another thread has just forked, until it
  // executes its program.
  deinit { _ = flock(file.rawValue, LOCK_UN) }
}
