import CLinux

extension Files {
  /// Puts a new file into an open directory: whole under its name, or not there at all.
  ///
  /// It is written as a temporary file, which must not exist, and renamed. What happens to the
  /// directory's path meanwhile does not matter.
  ///
  /// - Parameters:
  ///   - bytes: its content.
  ///   - name: its name; a file of that name is replaced.
  ///   - temporary: the name until it is whole.
  ///   - directory: where.
  /// - Throws: the error of openat(2), write(2) or renameat(2); the temporary file is removed then.
  public static func place(
    _ bytes: [UInt8], as name: String, through temporary: String,
    in directory: borrowing FileDescriptor
  ) throws(SystemError) {
    let file = try open(temporary, in: directory, [.write, .create, .exclusive, .noFollow])
    let number = directory.rawValue
    do throws(SystemError) {
      try Descriptor.writeFile(file.rawValue, bytes)
      _ = try retrying("rename", name) { unsafe renameat(number, temporary, number, name) }
    } catch {
      _ = unsafe unlinkat(number, temporary, 0)
      throw SystemError(error.operation, temporary, error.errno)
    }
  }
}
