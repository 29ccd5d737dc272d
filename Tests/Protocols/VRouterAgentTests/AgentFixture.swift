import Addresses
import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

@testable import VRouterAgent

/// An agent at a free port, and a client of it.
struct AgentFixture {
  let agent: FakeAgent
  let client: VRouter
  let directory: TemporaryDirectory
  /// The lines of the client's log.
  let log = Locked<[String]>([])
  /// The pauses that the client has made, in milliseconds.
  let pauses = Locked<[Int]>([])

  /// Starts both.
  ///
  /// - Parameters:
  ///   - pause: between two questions, in milliseconds.
  ///   - retries: how often the client asks.
  ///   - requestTime: how long the client waits for an answer, in milliseconds.
  ///   - isRunning: whether the agent listens.
  ///   - onPause: what the client does instead of pausing; it pauses in fact if nil.
  /// - Throws: when the agent cannot listen.
  init(
    pause: Int = 50, retries: Int = 3, requestTime: Int? = nil, isRunning: Bool = true,
    onPause: (@Sendable (Int) -> Void)? = { _ in }
  ) throws {
    directory = try TemporaryDirectory()
    // The agent takes no port whose file it cannot write.
    try Files.makeDirectories(directory("ports/vm"))
    agent = FakeAgent(port: 0, portFiles: directory("ports/vm"))
    try agent.start()
    if !isRunning { agent.stop() }
    let (log, pauses) = (log, pauses)
    var client = VRouter(
      server: IPAddress(v4: 0x7F00_0001), port: agent.port,
      files: PortFiles(directory: directory("ports/vm")), pollMilliseconds: pause,
      pollRetries: retries
    ) { line in log.withLock { $0.append(line) } }
    if let requestTime { client.time.requestMilliseconds = requestTime }
    let kernelPause = client.time.pause
    client.time.pause = { milliseconds, deadline throws(SystemError) in
      pauses.withLock { $0.append(milliseconds) }
      if let onPause {
        onPause(milliseconds)
      } else {
        try kernelPause(milliseconds, deadline)
      }
    }
    self.client = client
  }

  func pollConfig(
    _ uuid: VRouterUUID? = Fixture.pod, name: String = Fixture.name, deadline: Deadline? = nil
  ) async -> Result<[VRouter.Result], VRouterError> {
    let client = client
    return await outcome { () throws(VRouterError) in
      try client.pollVMConfig(name, uuid: uuid, deadline: deadline ?? soon)
    }
  }

  func pollVM(
    _ interfaces: [VRouterUUID] = [Fixture.vmi0], deadline: Deadline? = nil
  ) async -> Result<[VRouterUUID: VRouter.Result], VRouterError> {
    let client = client
    return await outcome { () throws(VRouterError) in
      try client.pollVM(Fixture.pod, interfaces: interfaces, deadline: deadline ?? soon)
    }
  }
}

extension Result where Failure == VRouterError {
  /// What was missing when it gave up.
  var lack: String? {
    switch reason {
    case .notReady(let text)?, .unreachable(let text, _)?: text
    case .unknownPod?: "the agent knows no such pod"
    default: nil
    }
  }
}
