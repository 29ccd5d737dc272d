import JSON
public import Linux

/// A vRouter agent's port API on a real TCP socket: its bytes, its state machine, and the faults
/// that a test asks for.
///
/// Each connection is served by a thread of its own. Any thread may call any method; starting and
/// stopping block for some milliseconds.
public final class FakeAgent: Sendable {
  private let core: AgentCore

  /// Creates an agent that does not listen yet.
  ///
  /// - Parameters:
  ///   - namespace: the path of the network namespace that it runs in; nil for the caller's.
  ///   - port: where it listens, at all IPv4 addresses; 0 lets the kernel choose once.
  ///   - portFiles: the directory of port files (`/var/lib/contrail/ports/vm`); nil for none.
  public init(namespace: String? = nil, port: UInt16 = 9091, portFiles: String? = nil) {
    core = AgentCore(namespace: namespace, port: port)
    core.changeMemory { $0.portFiles = portFiles }
  }

  deinit { core.beginToStop() }

  // MARK: Life

  /// Where it listens.
  public var port: UInt16 { core.port }
  /// Whether it listens.
  public var isRunning: Bool { core.isRunning }

  /// Listens, then reads the port files as an agent does at its start.
  ///
  /// - Parameter configurationAfter: how long the control plane's part is missing, in milliseconds.
  /// - Throws: when it cannot listen there.
  public func start(configurationAfter: Int = 0) throws(SystemError) {
    core.changeMemory { $0.forget(configurationAfter: configurationAfter) }
    try core.start()
  }

  /// Ends as a process does: nobody listens, connections are closed, and the ports are forgotten.
  public func stop() {
    core.stop()
    core.changeMemory { $0.forget(configurationAfter: 0) }
  }

  /// Ends and begins anew.
  ///
  /// - Parameters:
  ///   - gap: how long nobody listens, in milliseconds; this call takes as long.
  ///   - configurationAfter: how long after that the control plane's part is missing.
  /// - Throws: when it cannot listen again.
  public func restart(gap: Int = 0, configurationAfter: Int = 0) throws(SystemError) {
    stop()
    if gap > 0 { Clock.pause(milliseconds: gap) }
    try start(configurationAfter: configurationAfter)
  }

  // MARK: What it knows

  /// What it knows now.
  public var memory: AgentMemory { core.memory }
  /// Changes what it knows.
  public func change(_ change: @Sendable (inout AgentMemory) -> Void) { core.changeMemory(change) }
  /// The ports that it has been told of and not to forget, sorted.
  public var subscriptions: [AgentMemory.Subscription] { memory.subscriptions.keys.sorted() }

  // MARK: What it answers

  /// Sets what requests get in place of what the agent knows.
  ///
  /// - Parameters:
  ///   - method: `GET`, …
  ///   - prefix: how their path begins; of several scripts the longest prefix counts.
  ///   - answers: one for each request in turn, the last one for all further ones; none
  ///     ends the script.
  public func script(_ method: String, _ prefix: String, _ answers: [AgentAnswer]) {
    core.script(method, prefix, answers)
  }

  // MARK: What it saw

  /// The requests in the order of their arrival.
  public var requests: [AgentRequest] { core.requests }
  /// Their methods and paths.
  public var lines: [String] { requests.map(\.line) }
  /// The requests of one method whose path begins so.
  public func requests(_ method: String, _ prefix: String = "/") -> [AgentRequest] {
    requests.filter { $0.method == method && $0.path.hasPrefix(prefix) }
  }
  /// How many connections have come since it was made.
  public var connections: Int { core.connections }
  /// Leaves out from now on what has come until now.
  public func forgetRequests() { core.forgetRequests() }
  /// What no client of an agent may do: bytes while an answer is pending, requests that are no
  /// HTTP, `/syncports`.
  public var violations: [String] { core.violations }
}
