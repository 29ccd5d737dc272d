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

  /// Where its files are.
  public let directory: TemporaryDirectory
  private let name: String
  private let remotes: [String]
  private let network: TestNamespace?
  private let running = Locked<RunningProcess?>(nil)

  /// Makes a database and starts a server on it.
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
    self.directory = directory
    self.name = name
    self.network = network
    self.remotes = remotes
    let made = try await Program.run(
      [
        OVSTree.file("usr/bin/ovsdb-tool"), "create", directory("\(name).conf"),
        OVSTree.file(schema.rawValue),
      ], environment: OVSTree.environment(directory.path))
    guard made.succeeded else { throw TestError("ovsdb-tool: \(made)") }
    try await start()
  }

  /// Its socket's path.
  public var socket: String { directory("\(name).sock") }
  /// Its address as Open vSwitch writes it.
  public var address: String { "unix:\(socket)" }
  /// The running server, nil if there is none.
  public var process: RunningProcess? { running.value }
  /// What it has logged.
  public var log: String {
    String(decoding: (try? Files.read(directory("\(name).log"))) ?? [], as: UTF8.self)
  }

  /// Starts the server on the database as it is and waits until it listens.
  public func start() async throws {
    var command = [
      try OVSTree.file("usr/sbin/ovsdb-server"), directory("\(name).conf"),
      "--remote=punix:\(socket)", "--unixctl=\(directory("\(name).ctl"))",
      "--pidfile=\(directory("\(name).pid"))", "--log-file=\(directory("\(name).log"))",
      "-vconsole:off",
    ]
    command += remotes.map { "--remote=\($0)" }
    let (started, log, socket) = (command, directory("\(name).out"), socket)
    let environment = try OVSTree.environment(directory.path)
    let process = try await onThread { [network] in
      try RunningProcess(started, environment: environment, log: log, in: network)
    }
    running.withLock { $0 = process }
    let listens = try await eventually(within: 10_000) {
      process.status != nil || (try? UnixSocket.connect(socket)) != nil
    }
    guard listens, process.status == nil else {
      throw TestError("ovsdb-server does not listen: \(self.log)")
    }
  }

  /// Ends the server as an administrator does.
  public func stop() async throws {
    try await end(.terminate)
  }

  /// Kills the server.
  public func kill() async throws {
    try await end(.kill)
  }

  /// Lets the server stand still: it is there and says nothing.
  public func pause() { running.value?.signal(.stop) }

  /// Lets it go on.
  public func resume() { running.value?.signal(.resume) }

  private func end(_ signal: Signal) async throws {
    guard let process = running.value else { return }
    process.signal(signal)
    process.signal(.resume)
    guard try await process.ended() != nil else { throw TestError("ovsdb-server does not end") }
    running.withLock { $0 = nil }
  }
}
