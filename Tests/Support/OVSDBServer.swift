import Linux

/// A real `ovsdb-server` of a test's own, with one database and a Unix socket.
public final class OVSDBServer: Sendable {
  /// Which database it has.
  public enum Schema: String, Sendable {
    /// Open vSwitch's own, `Open_vSwitch`.
    case openVSwitch = "usr/share/openvswitch/vswitch.ovsschema"
    /// OVN's northbound database, `OVN_Northbound`.
    case ovnNorthbound = "usr/share/ovn/ovn-nb.ovsschema"
    /// OVN's southbound database, `OVN_Southbound`.
    case ovnSouthbound = "usr/share/ovn/ovn-sb.ovsschema"
  }

  /// Its socket's path.
  public let socket: String
  private let control: String
  private let directory: TemporaryDirectory
  private let daemon: OVSDaemon

  /// Creates a database and starts a server on it.
  ///
  /// - Parameters:
  ///   - schema: which database.
  ///   - network: the namespace that it runs in; nil for this process's.
  ///   - directory: where its files are put, all beginning with `name`.
  ///   - name: `db` gives the socket `db.sock`.
  ///   - remotes: further places to listen at, such as `ptcp:6640:127.0.0.1`.
  /// - Throws: when it does not listen in time; its log is in the error.
  public init(
    _ schema: Schema = .openVSwitch, in network: TestNamespace? = nil,
    directory: TemporaryDirectory, name: String = "db", remotes: [String] = []
  ) async throws {
    socket = directory("\(name).sock")
    control = directory("\(name).ctl")
    self.directory = directory
    let remotes = (["punix:\(socket)"] + remotes).map { "--remote=\($0)" }
    daemon = OVSDaemon(
      "usr/sbin/ovsdb-server",
      [directory("\(name).conf"), "--unixctl=\(control)"] + remotes,
      name: name, directory: directory, in: network)
    let made = try await Program.run(
      [
        OVSTree.file("usr/bin/ovsdb-tool"), "create", directory("\(name).conf"),
        OVSTree.file(schema.rawValue),
      ], environment: OVSTree.environment(directory.path))
    guard made.succeeded else { throw TestError("ovsdb-tool: \(made)") }
    try await start()
  }

  /// Its address as Open vSwitch writes it.
  public var address: String { "unix:\(socket)" }
  /// The running server, nil if there is none.
  public var process: RunningProcess? { daemon.process }
  /// What it has logged.
  public var log: String { daemon.log }

  /// Starts the server on the database as it is and waits until it listens.
  public func start() async throws {
    try await daemon.start()
    let socket = socket
    try await daemon.waitUntil { (try? UnixSocket.connect(socket)) != nil }
  }

  /// Ends the server as an administrator does.
  public func stop() async throws { try await daemon.end(.terminate) }

  /// Kills the server.
  public func kill() async throws { try await daemon.end(.kill) }

  /// Has the server end all connections; it goes on listening.
  ///
  /// Blocks until it is done.
  public func dropConnections() throws {
    let result = try Program.runBlocking(
      [OVSTree.file("usr/bin/ovs-appctl"), "--target=\(control)", "ovsdb-server/reconnect"],
      environment: OVSTree.environment(directory.path))
    guard result.succeeded else { throw TestError("ovs-appctl: \(result)") }
  }

  /// Lets the server stand still: it is there and says nothing.
  public func pause() { daemon.pause() }

  /// Lets it go on.
  public func resume() { daemon.resume() }
}
