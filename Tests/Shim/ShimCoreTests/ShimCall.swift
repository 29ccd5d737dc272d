import CNI
import DaemonAPI
import JSON
import Linux
import ShimCore
import TestSupport

/// One call of the shim as a runtime makes it, run in this process; its parts are
/// changed before it runs.
struct ShimCall: Sendable {
  /// What the shim reads as standard input.
  enum Input: Sendable {
    case bytes([UInt8])
    /// A descriptor that is not open.
    case closed
    /// A descriptor that cannot be read.
    case directory
  }

  var environment: [String: String] = [
    "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "some-container-id",
    "CNI_NETNS": "/some/netns/path", "CNI_IFNAME": "eth0",
    "CNI_ARGS": "K8S_POD_NAMESPACE=awesome-namespace;K8S_POD_NAME=awesome-name",
    "CNI_PATH": "/some/cni/path",
  ]
  var configuration: JSONValue = [
    "cniVersion": "1.1.0", "name": "skel-test", "type": "cni-shim", "daemonTimeout": 60,
    "logToStderr": false,
  ]
  var input: Input?
  /// The program's name.
  var name = "cni-shim"
  /// The daemon's directory, which stays as long as the call.
  private var directory: TemporaryDirectory?

  /// A call of a verb with some variables changed; nil removes one.
  init(
    _ command: String = "ADD", _ changes: [String: String?] = [:],
    _ members: [String: JSONValue?] = [:]
  ) {
    environment["CNI_COMMAND"] = command
    for (name, value) in changes { environment[name] = value }
    set(members)
  }

  /// Changes members of the configuration; nil removes one.
  mutating func set(_ members: [String: JSONValue?]) {
    guard case .object(var object) = configuration else { return }
    for (key, value) in members { object[key] = value }
    configuration = .object(object)
  }

  /// The same call to the daemon in a directory.
  func to(_ directory: TemporaryDirectory) -> ShimCall {
    var call = self
    call.directory = directory
    call.set(["daemonSocketDir": .string(directory.path)])
    return call
  }

  /// Runs it on a thread of its own.
  func run() async throws -> ShimOutcome {
    let call = self
    return try await onThread { try call.runBlocking() }
  }

  /// Runs it on this thread.
  func runBlocking() throws -> ShimOutcome {
    let directory = try TemporaryDirectory()
    let file = directory("stdin")
    switch input ?? .bytes(configuration.encoded()) {
    case .bytes(let bytes):
      try Files.write(file, bytes, mode: [.write, .create])
      let descriptor = try Files.open(file, .read)
      return run(reading: descriptor.rawValue)
    case .directory:
      let descriptor = try Files.open(directory.path, [.read, .directory])
      return run(reading: descriptor.rawValue)
    case .closed:
      // Far beyond what the tests open.
      return run(reading: 15_000)
    }
  }

  private func run(reading descriptor: Int32) -> ShimOutcome {
    let sorted = environment.sorted { $0.key < $1.key }
    var shim = Shim(
      environment: sorted.map { (name: $0.key, value: $0.value) }, standardInput: descriptor,
      name: name)
    return shim.run()
  }
}

/// A daemon by script in a directory of its own.
struct FakeNode: Sendable {
  let directory: TemporaryDirectory
  let daemon: FakeDaemon

  init(_ answers: [FakeDaemon.Answer], probes: Int = 200) throws {
    directory = try TemporaryDirectory()
    daemon = try FakeDaemon(directory("cnid.sock"), answers, probes: probes)
  }

  /// Runs a call against it.
  func run(_ call: ShimCall) async throws -> ShimOutcome { try await call.to(directory).run() }

  /// Runs a call against a new one that answers each probe in time.
  ///
  /// A probe has a second. A run that took as long may have lost one because the machine was
  /// busy, and tells nothing: it is done again.
  static func run(
    _ call: ShimCall, _ answers: [FakeDaemon.Answer]
  ) async throws -> (outcome: ShimOutcome, node: FakeNode) {
    try await onThread {
      let begun = KernelClock.monotonic
      while true {
        let node = try FakeNode(answers)
        let start = KernelClock.monotonic
        let outcome = try call.to(node.directory).runBlocking()
        let wasQuick = KernelClock.monotonic - start < 1_000_000_000
        if wasQuick || isOver(since: begun, patience) { return (outcome, node) }
      }
    }
  }
}

extension ShimOutcome {
  /// A success that printed this, and nothing on stderr.
  init(printing text: String) { self.init(output: Array(text.utf8)) }

  /// Standard output as text.
  var text: String { String(decoding: output, as: UTF8.self) }
  /// Standard error as text.
  var errorText: String { String(decoding: errorOutput, as: UTF8.self) }
  /// Standard output as JSON.
  var json: JSONValue? { try? JSONValue.parse(output) }
  /// The error that was printed, without the network's name behind it.
  var error: CNIError? {
    guard status != 0, let printed = json.flatMap({ CNIError(json: $0) }) else { return nil }
    let parts = printed.details.without(end: #"network "skel-test""#)
    return CNIError(printed.code, printed.message, details: parts)
  }
}

/// An answer to ADD as this daemon gives it.
func added(_ result: String) -> FakeDaemon.Answer {
  .response(200, Array("{\"Result\":\(result)}".utf8))
}

/// An error as a daemon sends it.
func failed(_ code: Int, _ message: String, _ details: String = "") -> FakeDaemon.Answer {
  .response(
    400, CNIError(CNIErrorCode(rawValue: code), message, details: details).json().encoded())
}

extension String {
  /// What stands before an end and the semicolon that leads to it; all of it without that end.
  fileprivate func without(end: String) -> String {
    guard hasSuffix(end) else { return self }
    let rest = dropLast(end.count)
    return String(rest.hasSuffix("; ") ? rest.dropLast(2) : rest)
  }
}
