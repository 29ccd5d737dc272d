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

  /// Starts both.
  ///
  /// - Parameters:
  ///   - pause: between two questions, in milliseconds.
  ///   - retries: how often the client asks.
  ///   - isRunning: whether the agent listens.
  /// - Throws: when the agent cannot listen.
  init(pause: Int = 50, retries: Int = 3, isRunning: Bool = true) throws {
    directory = try TemporaryDirectory()
    // The agent takes no port whose file it cannot write.
    try Files.makeDirectories(directory("ports/vm"))
    agent = FakeAgent(port: 0, portFiles: directory("ports/vm"))
    try agent.start()
    if !isRunning { agent.stop() }
    let log = log
    client = VRouter(
      server: IPAddress(v4: 0x7F00_0001), port: agent.port,
      files: PortFiles(directory: directory("ports/vm")), pollMilliseconds: pause,
      pollRetries: retries
    ) { line in log.withLock { $0.append(line) } }
  }

  /// The time between the arrivals of consecutive requests, in milliseconds.
  var gaps: [Int] {
    let times = agent.requests.map { Int($0.arrived) }
    return zip(times, times.dropFirst()).map { $1 - $0 }
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

/// Ten seconds, longer where everything is slow.
var soon: Deadline { .after(seconds: 10 * Program.patience) }

/// How long something takes, in milliseconds.
func timed<Value>(_ body: () async -> Value) async -> (Value, Int) {
  let start = KernelClock.monotonic
  let value = await body()
  return (value, Int((KernelClock.monotonic - start) / 1_000_000))
}

extension Result where Failure == VRouterError {
  /// What was missing when it gave up.
  var lack: String? { if case .notReady(let text)? = reason { text } else { nil } }
}
