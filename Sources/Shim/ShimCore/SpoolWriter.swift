import CNI
import DaemonAPI
import Linux

/// Writes DELs for a daemon that is not there, where it finds them when it is back.
struct SpoolWriter {
  let directory: String
  private let socketDirectory: String

  init(socketDirectory: String) {
    self.socketDirectory = socketDirectory
    directory = SpoolEntry.directory(socketDirectory: socketDirectory)
  }

  /// Writes an entry; it is there as a whole or not at all.
  ///
  /// - Throws: code 11, naming the directory and why; the runtime retries its DEL.
  func write(_ entry: SpoolEntry) throws(CNIError) {
    let bytes = entry.encoded()
    guard bytes.count <= SpoolEntry.sizeLimit else {
      throw failure("the call has \(bytes.count) bytes, more than \(SpoolEntry.sizeLimit)")
    }
    do throws(SystemError) {
      // What the daemon would make, too; somebody else's directory is left as it is.
      if isUsual { try Files.makeDirectories(socketDirectory) }
      let folder = try open()
      try Files.place(bytes, as: entry.fileName, through: entry.temporaryName, in: folder)
    } catch {
      throw failure("\(error)")
    }
  }

  /// Removes an entry that was not needed; the daemon may have been quicker.
  ///
  /// One that stays is done again, which changes nothing.
  func remove(_ entry: SpoolEntry) {
    _ = try? Files.removeIfPresent(directory + "/" + entry.fileName)
  }

  // Whoever wrote the network names the directory, and need not be root. A daemon that serves
  // elsewhere has made its directories itself.

  /// Whether a missing spool is made: only where things are temporary.
  private var makesSpool: Bool { PathRule(["/run", "/tmp"]).allows(socketDirectory) }

  /// Whether it is the usual socket directory, which is made if it is missing.
  var isUsual: Bool {
    socketDirectory.utf8.elementsEqual(defaultSocketDirectory.utf8)
  }

  /// Opens the directory, made if missing; one that is not root's alone holds no entry that the
  /// daemon would read.
  private func open() throws(SystemError) -> FileDescriptor {
    do throws(SystemError) {
      if makesSpool { try Files.makeDirectory(directory) }
    } catch {
      if error.errno != .exists { throw error }
    }
    let folder = try Files.open(directory, [.read, .directory, .noFollow])
    let status = try Files.status(folder)
    guard status.owner == 0, status.permissions & 0o777 == 0o700 else {
      throw SystemError(
        "use", "\(directory), which must be root's alone (chown root, chmod 0700)", .accessDenied)
    }
    return folder
  }

  private func failure(_ why: String) -> CNIError {
    CNIError(
      .tryAgainLater, "cnid cannot be reached, and DEL cannot be written to \(directory): \(why)")
  }
}
