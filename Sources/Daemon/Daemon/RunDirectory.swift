package import Linux
package import Records

/// The directory of a socket and the socket in it.
///
/// The directory is never removed: it may be a mount. A missing one is made, one that only root can
/// write to is tightened, one of another owner or mode is refused.
package enum RunDirectory {
  /// Creates the directory if it is missing, and checks that only root can get at the socket in it.
  package static func prepare(_ directory: String) throws(StartError) {
    try refuseFile(directory)
    let status = try starting("socket directory") { () throws(SystemError) in
      try Files.makeDirectories(directory)
      let status = try Files.status(directory)
      guard try mayTighten(directory, status) else { return status }
      try Files.setPermissions(directory, 0o700)
      return try Files.status(directory)
    }
    if let fault = PrivateDirectory.fault(of: directory, "socket directory", status) {
      throw fault
    }
  }

  private static func refuseFile(_ directory: String) throws(StartError) {
    guard let status = try? Files.status(directory), status.kind != .directory else { return }
    throw StartError("\(directory) is a file; it must be a directory")
  }

  /// Whether a directory is as Kubernetes makes it for a mount, with nothing in it but ours.
  private static func mayTighten(
    _ directory: String, _ status: FileStatus
  ) throws(SystemError) -> Bool {
    let mode = status.permissions & 0o777
    guard status.owner == 0, mode != 0o700, mode & 0o722 == 0o700 else { return false }
    for name in try Files.list(directory) where name != "spool" {
      guard try Files.linkStatus("\(directory)/\(name)").kind == .socket else { return false }
    }
    return true
  }

  /// Creates the state directory if it is missing, and checks that only root can
  /// change what is in it.
  package static func prepareState(_ directory: String) throws(StartError) {
    try refuseFile(directory)
    let status = try starting("state directory") { () throws(SystemError) in
      try Files.makeDirectories(directory)
      return try Files.status(directory)
    }
    guard status.owner == 0, status.permissions & 0o022 == 0 else {
      throw StartError(
        "insecure state directory \(directory): uid \(status.owner), mode "
          + "0\(String(status.permissions & 0o777, radix: 8)); it must be root's, and nobody else "
          + "may write to it")
    }
  }

  /// Listens at a path whose directory was prepared.
  ///
  /// An old socket is removed only if nobody answers behind it.
  package static func listen(_ path: String) throws(StartError) -> FileDescriptor {
    let status = try? Files.linkStatus(path)
    if let status, status.kind != .socket {
      throw StartError("\(path) is not a socket; remove it, or change socketDir or sockets")
    }
    return try starting { () throws(SystemError) in
      if status != nil { try removeIfDead(path) }
      return try UnixSocket.listen(path)
    }
  }

  private static func removeIfDead(_ path: String) throws(SystemError) {
    do throws(SystemError) {
      _ = try UnixSocket.connect(path)
    } catch {
      guard error.errno == .connectionRefused else { throw error }
      try Files.remove(path)
      return
    }
    throw SystemError("listen", "\(path), which another process serves", .addressInUse)
  }
}

/// A socket's file, which is removed at the end only if it is still the one that was made.
struct SocketFile: Sendable {
  private let path: String
  private let made: FileStatus?

  init(_ path: String) {
    self.path = path
    made = try? Files.linkStatus(path)
  }

  /// Whether the file is still the one that was made; true if that cannot be found out now.
  var isThere: Bool {
    do throws(SystemError) {
      let now = try Files.linkStatus(path)
      return now.inode == made?.inode && now.device == made?.device
    } catch {
      return error.errno != .noEntry && error.errno != .notDirectory
    }
  }

  func remove() {
    guard let made, let now = try? Files.linkStatus(path), now.inode == made.inode,
      now.device == made.device
    else { return }
    try? Files.remove(path)
  }
}
