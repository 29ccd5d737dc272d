package import CNI
package import DaemonAPI
import JSON
import Linux

/// What the shim prints and how it ends.
package struct ShimOutcome: Equatable, Sendable {
  /// Standard output: a result, a version or an error, or nothing.
  package var output: [UInt8]
  /// Standard error: log lines, or the about text.
  package var errorOutput: [UInt8]
  /// 0, or 1 for a failed call.
  package var status: Int32

  /// Creates an outcome; a silent success unless told otherwise.
  package init(output: [UInt8] = [], errorOutput: [UInt8] = [], status: Int32 = 0) {
    self.output = output
    self.errorOutput = errorOutput
    self.status = status
  }
}

/// The plugin binary that the container runtime runs: checks the call, asks the daemon,
/// prints its answer.
package struct Shim {
  /// The call's variables.
  let environment: ShimEnvironment
  private let standardInput: Int32
  /// Whether this call is done here, by the name under which the shim was started.
  private let isLoopback: Bool
  /// When the call began.
  let begun = CallBeginning()
  /// What stdin says for the shim itself; the defaults until it has been read.
  private(set) var configuration = ShimConfiguration()
  /// What an error is printed as: the configuration's version once that is known to be one.
  private var version = CNIVersion.newest
  private var log = ShimLog(ShimConfiguration())

  /// The most bytes of stdin that are read.
  private static let inputLimit = 16 << 20

  /// Takes a call as the runtime gives it.
  ///
  /// - Parameters:
  ///   - environment: the process's variables.
  ///   - standardInput: the descriptor with the network configuration; not read for VERSION and
  ///     without CNI_COMMAND.
  ///   - name: the program's name; `loopback` is the plugin that needs no daemon.
  package init(
    environment: [(name: String, value: String)], standardInput: Int32, name: String = ""
  ) {
    self.environment = ShimEnvironment(environment)
    self.standardInput = standardInput
    isLoopback = sameBytes(name, Loopback.name)
  }

  /// Does the call.
  package mutating func run() -> ShimOutcome {
    guard let command = environment.command else { return about }
    var outcome: ShimOutcome
    do throws(CNIError) {
      outcome = ShimOutcome(output: try run(command))
    } catch {
      let error = error.naming(network: configuration.name)
      log.write(.error, "\(command.rawValue): \(error)")
      outcome = ShimOutcome(
        output: error.json(cniVersion: version.description).encoded(.indented()) + [0x0A], status: 1
      )
    }
    outcome.errorOutput = log.lines
    return outcome
  }

  private mutating func run(_ command: CNICommand) throws(CNIError) -> [UInt8] {
    try environment.check()
    if command == .version { return CNIVersion.report.encoded() + [0x0A] }
    let bytes = try readInput()
    let read = try ShimConfiguration(parsing: bytes, for: command)
    configuration = read
    version = CNIVersion(read.cniVersion) ?? .newest
    log = ShimLog(read)
    guard command.isKnown else {
      throw CNIError(.invalidEnvironment, "unknown CNI_COMMAND: \(command.rawValue)")
    }
    // What an ADD refuses was not attached, and its DEL must not fail for ever.
    if command != .delete { version = try CNIVersion.check(read.cniVersion, for: command) }
    if isLoopback { return try runLoopback(command, version, bytes) }
    let request = Request(env: environment.forwarded, config: bytes)
    switch command {
    case .add: return try cmdAdd(request, version)
    case .update: return try cmdUpdate(request, version)
    case .delete: try cmdDel(request)
    case .check: try cmdCheck(request)
    case .garbageCollect: try cmdGC(request)
    default: try cmdStatus(request)
    }
    return []
  }

  private func readInput() throws(CNIError) -> [UInt8] {
    do throws(SystemError) {
      return try Descriptor.readAll(
        standardInput, limit: Self.inputLimit,
        deadline: begun.deadline(seconds: ShimConfiguration().daemonTimeout))
    } catch {
      throw CNIError(.ioFailure, "error reading from stdin: \(error)")
    }
  }

  /// What is printed for a person who runs the plugin without CNI_COMMAND.
  private var about: ShimOutcome {
    let versions = CNIVersion.allCases.map { $0.description }.joined(separator: ", ")
    let work =
      isLoopback
      ? "as loopback: sets lo up in a pod, without cnid"
      : "asks cnid to attach a container to a network"
    return ShimOutcome(
      errorOutput: Array(
        "cni-shim \(Product.version): \(work) (see --help)\nCNI protocol versions supported: \(versions)\n"
          .utf8))
  }
}

// MARK: - The verbs

extension Shim {
  /// ADD: asks the daemon and gives back its result; counterpart of `CmdAdd` in Multus' server api.
  package mutating func cmdAdd(_ request: Request, _ version: CNIVersion) throws(CNIError)
    -> [UInt8]
  {
    try refuseOwnNamespace()
    return try result(try exchange(.add, request), version)
  }

  /// UPDATE, this project's verb: like ADD, for an attachment that exists.
  package mutating func cmdUpdate(_ request: Request, _ version: CNIVersion) throws(CNIError)
    -> [UInt8]
  {
    try refuseOwnNamespace()
    return try result(try exchange(.update, request), version)
  }

  /// DEL: without a daemon it is written to the spool, and succeeds; counterpart of `CmdDel`.
  package mutating func cmdDel(_ request: Request) throws(CNIError) {
    try refuseOwnNamespace()
    _ = try exchange(.delete, request)
  }

  /// CHECK; counterpart of `CmdCheck`.
  package mutating func cmdCheck(_ request: Request) throws(CNIError) {
    _ = try exchange(.check, request)
  }

  package mutating func cmdGC(_ request: Request) throws(CNIError) {
    _ = try exchange(.garbageCollect, request)
  }

  /// STATUS: without a daemon code 50.
  package mutating func cmdStatus(_ request: Request) throws(CNIError) {
    _ = try exchange(.status, request)
  }

  private mutating func exchange(
    _ command: CNICommand, _ request: Request
  ) throws(CNIError) -> Response? {
    var exchange = try Exchange(command, request, configuration, begun: begun, log: log)
    defer { log = exchange.log }
    return try exchange.run()
  }

  /// Refuses the shim's own namespace before anything is done; a path that cannot be
  /// looked at passes.
  func refuseOwnNamespace() throws(CNIError) {
    let path = environment["CNI_NETNS"]
    guard !path.isEmpty, !environment.allowsOwnNamespace else { return }
    do throws(SystemError) {
      let (theirs, own) = (try Files.status(path), try Files.status("/proc/self/ns/net"))
      guard theirs.device == own.device, theirs.inode == own.inode else { return }
    } catch {
      return
    }
    throw CNIError(
      .invalidNamespace, "plugin's netns and netns from CNI_NETNS should not be the same")
  }

  /// Whether a result says that it is of a version, so that it need not be converted.
  func isOfVersion(_ result: JSONValue, _ version: CNIVersion) -> Bool {
    result["cniVersion"]?.string.flatMap { CNIVersion($0) } == version
  }

  /// The result as the daemon printed it; only one of another version, as other daemons give
  /// it, is converted.
  private func result(_ response: Response?, _ version: CNIVersion) throws(CNIError) -> [UInt8] {
    guard let bytes = response?.result, !bytes.isEmpty else {
      throw CNIError(.decodingFailure, "cnid answered without a result")
    }
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(bytes)
    } catch {
      throw CNIError(.decodingFailure, "cannot read cnid's result: \(error)")
    }
    if isOfVersion(value, version) { return bytes }
    return try CNIResult(value, defaultVersion: version).printed(as: version)
  }
}
