package import Linux
import PluginKit
package import Records

/// Listening sockets that the service manager has opened and handed over, sd_listen_fds(3).
///
/// Their files are the service manager's: they are never removed here, and calls that wait in their
/// backlog outlive the daemon.
package final class ActivatedSockets: Sendable {
  /// Variables by which they are announced.
  static let variables = ["LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"]
  /// The number of the first one.
  private static let first: Int32 = 3
  /// More of them than this are a mistake.
  private static let maximumCount: Int32 = 64

  private struct Socket {
    let descriptor: Int32
    let address: ListeningAddress
  }

  private let sockets: Mutex<[Socket]>

  /// Takes over the sockets that are handed to this process, and their variables out of
  /// the environment.
  ///
  /// Call it before the first other thread starts, and before any descriptor is opened that a
  /// program could inherit.
  ///
  /// - Parameter configuration: where sockets are expected.
  /// - Returns: the sockets; none if nothing was handed over.
  /// - Throws: `StartError` if one of them does not listen, or listens at an address that the
  ///   configuration lacks.
  package static func ofThisProcess(
    _ configuration: Configuration
  ) throws(StartError) -> ActivatedSockets {
    var environment: [String: String] = [:]
    for name in variables {
      environment[name] = Linux.Process.variable(name)
      Linux.Process.removeVariable(name)
    }
    return try ActivatedSockets(
      environment: environment, pid: Linux.Process.pid, configuration: configuration)
  }

  /// Takes over sockets.
  ///
  /// - Parameters:
  ///   - environment: the variables' values by name.
  ///   - pid: the process that they must be for; others' sockets are left alone.
  ///   - configuration: where sockets are expected.
  ///   - first: the number of the first one.
  /// - Throws: `StartError` if one of them cannot be used.
  init(
    environment: [String: String], pid: Int32, configuration: Configuration,
    first: Int32 = ActivatedSockets.first
  ) throws(StartError) {
    guard let text = environment["LISTEN_FDS"], environment["LISTEN_PID"] == "\(pid)" else {
      sockets = Mutex([])
      return
    }
    guard let count = Int32(text), (0...Self.maximumCount).contains(count) else {
      throw StartError("LISTEN_FDS must be a number from 0 to \(Self.maximumCount)")
    }
    let names = (environment["LISTEN_FDNAMES"] ?? "").split(
      separator: ":", omittingEmptySubsequences: false)
    var found: [Socket] = []
    for index in 0..<count {
      let descriptor = first + index
      let name = names.indices.contains(Int(index)) ? String(names[Int(index)]) : ""
      let title = "handed-over descriptor \(descriptor)" + (name.isEmpty ? "" : " (\(name))")
      try starting(title) { () throws(SystemError) in
        try FileDescriptor.closeOnExec(descriptor)
      }
      guard let address = ListeningAddress(of: descriptor) else {
        throw StartError(
          "\(title) is no listening stream socket; use ListenStream= with Accept=no")
      }
      guard configuration.expects(address) else {
        throw StartError(
          "\(title) listens at \(address), which is not in the configuration; expected: "
            + configuration.addresses.map { "\($0)" }.joined(separator: ", ")
            + "; edit ListenStream= in cnid.socket, or socketDir, sockets or healthAddress in "
            + "cnid.json")
      }
      guard !found.contains(where: { $0.address == address }) else {
        throw StartError("\(title) listens at \(address) like another one")
      }
      found.append(Socket(descriptor: descriptor, address: address))
    }
    sockets = Mutex(found)
  }

  deinit {
    for socket in sockets.withLock({ $0 }) { _ = FileDescriptor(adopting: socket.descriptor) }
  }

  /// The addresses of those that nobody has taken yet.
  package var addresses: [ListeningAddress] { sockets.withLock { $0.map(\.address) } }

  /// Takes the one at a path; nil if there is none, or nobody could reach it because
  /// its file has gone.
  ///
  /// - Parameters:
  ///   - path: a path of the configuration; another path to the same file counts as well.
  ///   - log: is told of a file that has gone.
  /// - Returns: the listening socket.
  package func take(path: String, log: Log) -> FileDescriptor? {
    guard let socket = take(where: { $0.isUnix(path) }) else { return nil }
    if let status = try? Files.linkStatus(path), status.kind == .socket { return socket }
    log.write(
      .warning, "the service manager's socket has lost its file; cnid makes one of its own",
      [("socket", path)])
    return nil
  }

  /// Takes the one at a TCP address; nil if there is none.
  package func take(_ address: Configuration.SocketAddress) -> FileDescriptor? {
    take { $0 == .tcp(address.address, port: address.port) }
  }

  private func take(where isWanted: (ListeningAddress) -> Bool) -> FileDescriptor? {
    let descriptor = sockets.withLock { sockets -> Int32? in
      guard let index = sockets.firstIndex(where: { isWanted($0.address) }) else { return nil }
      return sockets.remove(at: index).descriptor
    }
    return descriptor.map { FileDescriptor(adopting: $0) }
  }
}

extension Configuration {
  /// Where the daemon listens.
  fileprivate var addresses: [ListeningAddress] {
    let paths = ([socketPath] + sockets).map { ListeningAddress.unix(path: $0) }
    return paths + (healthAddress.map { [.tcp($0.address, port: $0.port)] } ?? [])
  }

  fileprivate func expects(_ address: ListeningAddress) -> Bool {
    addresses.contains { expected in
      if case .unix(let path) = expected { return address.isUnix(path) }
      return address == expected
    }
  }
}

extension ListeningAddress {
  /// Whether it is a Unix socket at this path, by its name or as the same file.
  fileprivate func isUnix(_ path: String) -> Bool {
    guard case .unix(let own) = self else { return false }
    if own == path { return true }
    guard let one = try? Files.status(own), let other = try? Files.status(path) else {
      return false
    }
    return one.device == other.device && one.inode == other.inode
  }
}
