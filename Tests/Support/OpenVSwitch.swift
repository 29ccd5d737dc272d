import Linux

/// A real Open vSwitch of a test's own: database and switch, in a network namespace, with a
/// directory for everything that they would put into the machine's /run, /etc and /var.
public final class OpenVSwitch: Sendable {
  /// Who forwards packets.
  public enum Datapath: String, Sendable {
    /// The switch itself; works on every kernel.
    case userspace = "netdev"
    /// The kernel's module `openvswitch`.
    case kernel = "system"

    /// The kernel's where the tests run on one that is known to have it (scripts/test --kernel).
    public static let usual: Datapath = Program.hasFullKernel ? .kernel : .userspace
  }

  /// The namespace that the switch works in.
  public let network: TestNamespace
  /// Its database.
  public let database: OVSDBServer
  /// Who forwards packets on bridges made by `addBridge`.
  public let datapath: Datapath
  let files: TemporaryDirectory
  private let daemon: OVSDaemon

  /// Starts database and switch and waits until they work.
  ///
  /// - Parameters:
  ///   - network: the namespace to work in.
  ///   - directory: where files and sockets are put; for one Open vSwitch only.
  ///   - datapath: who forwards packets on bridges made by `addBridge`.
  /// - Throws: when they do not work in time; the logs are in the error.
  public init(
    in network: TestNamespace, directory: TemporaryDirectory, datapath: Datapath = .usual
  ) async throws {
    self.network = network
    files = directory
    self.datapath = datapath
    database = try await OVSDBServer(in: network, directory: directory)
    daemon = OVSDaemon(
      "usr/lib/openvswitch-switch/ovs-vswitchd",
      [database.address, "--unixctl=\(directory("switch.ctl"))"],
      name: "switch", directory: directory, in: network)
    try await startSwitch()
  }

  /// The database's address as a configuration names it.
  public var address: String { database.address }
  /// The database's socket.
  public var socket: String { database.socket }
  /// The running switch, nil if there is none.
  public var process: RunningProcess? { daemon.process }
  /// What the switch has logged.
  public var log: String { daemon.log }

  // MARK: Life

  /// Starts the switch and waits until it has taken the database's configuration.
  public func startSwitch() async throws {
    try await daemon.start()
    do {
      // The tool waits until the switch has done it; without a change it would not.
      try await vsctl("set", "Open_vSwitch", ".", "external_ids:started=\(Unique.word())")
    } catch {
      throw TestError("ovs-vswitchd does not work: \(error)\n\(log)")
    }
  }

  /// Kills the switch; a datapath of its own goes with it.
  public func killSwitch() async throws { try await daemon.end(.kill) }

  /// Ends the switch as an administrator does.
  public func stopSwitch() async throws { try await daemon.end(.terminate) }

  /// Lets the switch stand still: it does nothing that the database asks.
  public func pauseSwitch() { daemon.pause() }

  /// Lets it go on.
  public func resumeSwitch() { daemon.resume() }

  /// Ends the database server as an administrator does.
  public func stopDatabase() async throws { try await database.stop() }

  /// Kills it.
  public func killDatabase() async throws { try await database.kill() }

  /// Starts it again, with what it had.
  public func startDatabase() async throws { try await database.start() }

  // MARK: Tools

  /// Runs `ovs-vsctl`, which waits until the switch has done what was asked.
  ///
  /// - Returns: what it printed, without the last newline.
  /// - Throws: what it said if it failed.
  @discardableResult
  public func vsctl(_ words: String...) async throws -> String { try await vsctl(words) }

  /// The same with a list of words.
  @discardableResult
  public func vsctl(_ words: [String]) async throws -> String {
    try await tool("ovs-vsctl", ["--db=\(address)", "--timeout=\(15 * Program.patience)"] + words)
  }

  /// Runs `ovs-appctl` towards the switch.
  ///
  /// - Returns: what it printed, without the last newline.
  /// - Throws: what it said if it failed.
  @discardableResult
  public func appctl(_ words: String...) async throws -> String {
    try await tool("ovs-appctl", ["--target=\(files("switch.ctl"))"] + words)
  }

  /// Runs `ovs-ofctl`; a bridge is named by its name.
  ///
  /// - Returns: what it printed, without the last newline.
  /// - Throws: what it said if it failed.
  @discardableResult
  public func ofctl(_ words: String...) async throws -> String {
    try await tool("ovs-ofctl", words)
  }

  private func tool(_ name: String, _ words: [String]) async throws -> String {
    try await OVSTool.run(name, words, directory: files, in: network)
  }
}

extension OpenVSwitch {
  // MARK: Bridges and what is in the database

  /// Adds a bridge with this datapath; forwards like an Ethernet switch.
  public func addBridge(_ name: String) async throws {
    try await vsctl(
      "add-br", name, "--", "set", "Bridge", name, "datapath_type=\(datapath.rawValue)")
  }

  /// The names of a bridge's ports, sorted, without that of its own.
  public func ports(_ bridge: String) async throws -> [String] {
    try await vsctl("list-ports", bridge).split(separator: "\n").map(String.init).sorted()
  }

  /// A port by its name, nil if there is none.
  public func port(_ name: String) async throws -> OVSRecord? {
    try await records("Port").first { $0.text("name") == name }
  }

  /// An interface by its name, nil if there is none.
  public func interface(_ name: String) async throws -> OVSRecord? {
    try await records("Interface").first { $0.text("name") == name }
  }

  /// All rows of a table.
  public func records(_ table: String) async throws -> [OVSRecord] {
    try OVSRecord.read(await vsctl("--format=json", "list", table))
  }
}
