public import JSON
public import Linux

/// A Kubernetes node in small: a network namespace with a network card, directories of its own, and
/// a running `cnid`.
///
/// The card is `uplink`, one end of a veth pair whose other end `wire` is in the same
/// namespace. Nothing of the machine's own network or directories is used, so any number of
/// nodes can live side by side.
public final class TestNode: Sendable {
  /// How a node is made.
  public struct Options: Sendable {
    /// Keys of `cnid.json`, put over those that give the node its own directories.
    public var settings: JSONValue
    /// Arguments of `cnid` after `--config FILE`.
    public var arguments: [String] = []
    /// The whole environment of `cnid`.
    public var environment: [String: String] = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]
    /// A shell command that runs before every `cnid` in its mount namespace; nil for none.
    public var preparation: String?
    /// The daemon's file.
    public var program = Program.daemon
    /// Whether `cnid` is started and waited for.
    public var startsDaemon: Bool

    /// Makes options.
    public init(settings: JSONValue = [:], startsDaemon: Bool = true) {
      self.settings = settings
      self.startsDaemon = startsDaemon
    }
  }

  /// The node's directory; everything else lies in it.
  public let directory: TemporaryDirectory
  /// The node's network namespace.
  public let network: TestNamespace
  private let options: Options
  private let running = Locked<RunningProcess?>(nil)

  /// Creates a node; blocks nobody else.
  ///
  /// - Throws: when a namespace or link cannot be made, or `cnid` is not ready in time.
  public init(_ options: Options = Options()) async throws {
    self.options = options
    directory = try TemporaryDirectory()
    network = try await TestNamespace()
    try await network.ip(
      "link set lo up", "link add uplink type veth peer name wire", "link set wire up",
      "link set uplink up")
    var settings: JSONValue = [
      "socketDir": .string(socketDirectory), "stateDir": .string(stateDirectory),
      "dataDir": .string(dataDirectory), "binDirs": ["/usr/lib/cni"], "logLevel": "debug",
      "allowedPaths": [.string(TemporaryDirectory.parent)],
    ]
    for member in options.settings.object?.members ?? [] {
      settings = settings.setting(member.key, member.value)
    }
    try Files.write(settingsFile, settings.bytes, mode: [.write, .create, .truncate])
    if options.startsDaemon { try await start() }
  }

  deinit { stopNow() }

  /// `socketDir`.
  public var socketDirectory: String { directory("run") }
  /// The daemon's socket.
  public var socket: String { directory("run/cnid.sock") }
  /// `stateDir`.
  public var stateDirectory: String { directory("state") }
  /// `dataDir`: host-local's leases.
  public var dataDirectory: String { directory("networks") }
  /// The daemon's configuration file.
  public var settingsFile: String { directory("cnid.json") }
  private var logFile: String { directory("cnid.log") }

  /// The running daemon, nil if there is none.
  public var daemon: RunningProcess? { running.value }

  /// What the daemon has printed.
  public var log: String {
    String(decoding: (try? Files.read(logFile)) ?? [], as: UTF8.self)
  }

  /// Starts `cnid` in the node's namespaces and waits until it is ready.
  public func start(within milliseconds: Int = patience) async throws {
    try await launch()
    try await waitUntilReady(within: milliseconds)
  }

  /// Waits until the daemon that was launched is ready.
  public func waitUntilReady(within milliseconds: Int = patience) async throws {
    guard let process = running.value else { throw TestError("there is no daemon") }
    let socket = socket
    let ready = try await eventually(within: milliseconds) {
      process.status != nil || (try? RawHTTP.get("/readyz", socket, within: 1000).status) == 200
    }
    guard process.status == nil, ready else {
      throw TestError("cnid is not ready: \(process.status.map { "\($0)" } ?? "runs"); \(log)")
    }
  }

  /// Starts `cnid` and does not wait for anything; it becomes the node's daemon.
  ///
  /// - Parameters:
  ///   - arguments: further arguments.
  ///   - preparation: a shell command that runs after that of the options; nil for none.
  ///   - program: its file; nil for that of the options.
  ///   - listener: a listening socket that it is handed as systemd does; nil for none.
  /// - Returns: the running daemon.
  /// - Throws: when it could not be started.
  @discardableResult
  public func launch(
    _ arguments: [String] = [], through preparation: String? = nil,
    program: String? = nil, listener: Int32? = nil
  ) async throws -> RunningProcess {
    var command =
      [program ?? options.program, "--config", settingsFile] + options.arguments + arguments
    var preparations = [options.preparation, preparation].compactMap { $0 }
    if listener != nil {
      preparations.append("exec 3<&0 </dev/null && export LISTEN_FDS=1 LISTEN_PID=$$")
    }
    if !preparations.isEmpty {
      let script = preparations.joined(separator: " && ") + " && exec \"$0\" \"$@\""
      command = ["/bin/sh", "-c", script] + command
    }
    let (started, environment, log, network) = (command, options.environment, logFile, network)
    let process = try await onThread {
      try RunningProcess(
        started, environment: environment, input: listener, log: log, in: network)
    }
    running.withLock { $0 = process }
    return process
  }

  /// Stops the daemon as systemd does.
  ///
  /// - Returns: how it ended, nil if it had to be killed.
  @discardableResult
  public func stop(within milliseconds: Int = patience) async throws -> ExitStatus? {
    guard let process = running.value else { return nil }
    process.signal(.terminate)
    let status = try await process.ended(within: milliseconds)
    if status == nil { try await kill() }
    running.withLock { $0 = nil }
    return status
  }

  /// Kills the daemon, as the kernel does when memory is short.
  public func kill() async throws {
    guard let process = running.value else { return }
    process.signal(.kill)
    _ = try await process.ended()
    running.withLock { $0 = nil }
  }

  private func stopNow() { running.withLock { $0 = nil } }
}

extension TestNode {
  /// A macvlan network configuration for the shim, as a runtime makes it of a list.
  ///
  /// - Parameter changes: members that are set; nil removes one.
  /// - Returns: `cniVersion` 1.1.0, name `pods`, master `uplink`, host-local 10.1.2.0/24.
  public func macvlan(_ changes: [String: JSONValue?] = [:]) -> JSONValue {
    let timeout = JSONNumber(min(20 * Program.patience, 300))
    let configuration: JSONValue = [
      "cniVersion": "1.1.0", "name": "pods", "type": "cni-shim", "plugin": "macvlan",
      "daemonSocketDir": .string(socketDirectory), "daemonTimeout": .number(timeout),
      "master": "uplink",
      "ipam": ["type": "host-local", "subnet": "10.1.2.0/24"],
    ]
    return configuration.setting(changes)
  }

  /// Calls the real shim as a container runtime does.
  ///
  /// - Parameters:
  ///   - command: `ADD`, `DEL`, …
  ///   - pod: whose attachment.
  ///   - configuration: what the shim reads from its standard input.
  ///   - ifname: `CNI_IFNAME`.
  ///   - changes: environment variables that are set; nil removes one.
  ///   - milliseconds: when the shim is killed.
  /// - Returns: what the shim printed and how it ended.
  /// - Throws: when it could not be run.
  public func shim(
    _ command: String, _ pod: TestPod, _ configuration: JSONValue, ifname: String = "eth0",
    _ changes: [String: String?] = [:], within milliseconds: Int = 60_000
  ) async throws -> ProgramResult {
    try await network.run(
      [Program.shim], environment: pod.environment(command, ifname: ifname, changes),
      input: configuration.bytes, within: milliseconds)
  }

  /// Calls the real shim and does not wait for its end.
  public func startShim(
    _ command: String, _ pod: TestPod, _ configuration: JSONValue, _ changes: [String: String?]
  ) async throws -> RunningProcess {
    let input = directory("input-\(try Unique.word())")
    try Files.write(input, configuration.bytes, mode: [.write, .create])
    var environment = pod.environment(command, changes)
    environment["PATH"] = "/usr/bin:/bin"
    let (variables, log, network) = (environment, directory("shim.log"), network)
    return try await onThread {
      try RunningProcess(
        ["/bin/sh", "-c", "exec \(Program.shim) < \(input)"], environment: variables, log: log,
        in: network)
    }
  }

  /// ADD that must succeed.
  ///
  /// - Returns: the result.
  @discardableResult
  public func add(
    _ pod: TestPod, _ configuration: JSONValue, ifname: String = "eth0",
    _ changes: [String: String?] = [:]
  ) async throws -> JSONValue {
    let result = try await shim("ADD", pod, configuration, ifname: ifname, changes)
    guard result.succeeded, let json = result.json else { throw TestError("ADD: \(result)") }
    return json
  }

  /// DEL that must succeed, and that the daemon has done if it runs.
  public func delete(
    _ pod: TestPod, _ configuration: JSONValue, ifname: String = "eth0",
    _ changes: [String: String?] = [:]
  ) async throws {
    let result = try await shim("DEL", pod, configuration, ifname: ifname, changes)
    guard result.succeeded, result.output.isEmpty else { throw TestError("DEL: \(result)") }
    try await waitForSpool(after: result)
  }

  /// Waits until the daemon has done what a DEL has left in its spool, or has ended.
  ///
  /// The shim leaves it there when a daemon that runs does not answer a probe within a second, as
  /// on a machine that is busy. One that left it there sooner is not waited for.
  func waitForSpool(after result: ProgramResult) async throws {
    guard result.milliseconds >= 1000, let process = daemon else { return }
    let spool = "\(socketDirectory)/spool"
    _ = try await becomes {
      process.status != nil
        || !TemporaryDirectory.files(below: spool).contains { $0.hasSuffix(".json") }
    }
  }

  /// One request to the daemon, composed and read byte by byte.
  public func http(
    _ method: String, _ path: String, _ body: [UInt8] = [], within milliseconds: Int = 20_000
  ) async throws -> RawHTTP.Response {
    let socket = socket
    return try await onThread {
      try RawHTTP.send(method, path, body, socket, within: milliseconds)
    }
  }
}
