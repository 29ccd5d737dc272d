import Linux
import PluginKit
import Records

/// The sockets for calls, each of which is made again when its file has vanished or is another's.
///
/// For one thread. It looks several times a second instead of watching the directories: a look is
/// one system call, and inotify instances are scarce.
final class Doors {
  private struct Door {
    let path: String
    var file: SocketFile
    /// Whether the file was made here, so that it goes at the end.
    var isOwn: Bool
  }

  private let server: Server
  private let log: Log
  private var doors: [Door] = []
  /// What is wrong; nil for nothing.
  private var fault: String?

  init(_ server: Server, log: Log) {
    self.server = server
    self.log = log
  }

  /// Opens a door.
  ///
  /// - Parameters:
  ///   - path: where clients connect.
  ///   - listener: a socket of the service manager that listens there; nil to make one.
  /// - Throws: `StartError` if it cannot be made.
  func open(_ path: String, _ listener: consuming FileDescriptor?) throws(StartError) {
    let isOwn = listener == nil
    let socket: FileDescriptor
    if let given = listener.take() {
      socket = given
    } else {
      socket = try RunDirectory.listen(path)
    }
    let file = SocketFile(path)
    try server.add(listener: socket, rootPeersOnly: true, named: path)
    doors.append(Door(path: path, file: file, isOwn: isOwn))
  }

  /// Listens again where nobody can connect any more; what keeps it from doing so is said on
  /// `/readyz`, and once in the log.
  func look() {
    var first: String?
    for index in doors.indices where !doors[index].file.isThere {
      let path = doors[index].path
      do throws(StartError) {
        try RunDirectory.prepare(Self.directory(of: path))
        let socket = try RunDirectory.listen(path)
        doors[index].file = SocketFile(path)
        doors[index].isOwn = true
        try server.add(listener: socket, rootPeersOnly: true, named: path)
        log.write(
          .warning, "the socket's file was gone; cnid listens again", [("socket", path)])
      } catch {
        first = first ?? "the socket \(path) is gone and cannot be made again: \(error)"
      }
    }
    guard first != fault else { return }
    fault = first
    server.setDoorFault(first)
    if let first { log.write(.error, "clients cannot connect", [("reason", first)]) }
  }

  /// Removes the files that were made here and are still there.
  func remove() {
    for door in doors where door.isOwn { door.file.remove() }
  }

  /// The directory of a socket.
  static func directory(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: 0x2F), slash > path.startIndex else { return "/" }
    return String(path[..<slash])
  }
}
