import CNI
@testable import Daemon
import DaemonAPI
import Linux
import PluginKit
import Testing
import TestSupport

@Suite("Watchdog")
struct WatchdogTests {
  private let directory: TemporaryDirectory
  private let receiver: NotifySocket
  private let log: Log

  init() throws {
    directory = try TemporaryDirectory()
    receiver = try NotifySocket(directory("notify"))
    var configuration = Configuration()
    configuration.logFile = directory("log")
    log = try Log(configuration)
  }

  private func watchdog(
    microseconds: String? = "1", pulse: @escaping () -> UInt64 = { KernelClock.monotonic },
    isStuck: @escaping () -> Bool = { false }
  ) -> Watchdog {
    var environment = ["NOTIFY_SOCKET": receiver.address]
    environment["WATCHDOG_USEC"] = microseconds
    return Watchdog(
      ServiceManager(environment: environment, pid: 1), log: log, pulse: pulse, isStuck: isStuck)
  }

  private var logged: String {
    String(decoding: (try? Files.read(directory("log"))) ?? [], as: UTF8.self)
  }

  @Test("it is fed while the server comes round and calls are worked off")
  func healthy() {
    var watchdog = watchdog(microseconds: "600000000")
    watchdog.tick()
    #expect(receiver.receive() == ["WATCHDOG=1\n"])
    #expect(logged == "")
  }

  @Test("it is not fed while calls do not come back, says so once, and is fed again afterwards")
  func stuck() {
    let isStuck = Locked(true)
    var watchdog = watchdog(microseconds: "600000000", isStuck: { isStuck.value })
    watchdog.tick()
    watchdog.tick()
    #expect(receiver.receive() == ["STATUS=not healthy: calls do not come back\n"])
    isStuck.withLock { $0 = false }
    watchdog.tick()
    #expect(receiver.receive() == ["STATUS=serving\n", "WATCHDOG=1\n"])
    #expect(logged.split(separator: "\n").count == 2)
    #expect(logged.contains("the watchdog is not fed any more"))
    #expect(logged.contains("the watchdog is fed again"))
  }

  @Test("it is not fed once the server's thread has been silent for half of the time")
  func silent() {
    let now = KernelClock.monotonic
    var early = watchdog(microseconds: "60000000", pulse: { now })
    early.tick()
    #expect(receiver.receive() == ["WATCHDOG=1\n"])
    var late = watchdog(microseconds: "60000000", pulse: { now - 31_000_000_000 })
    late.tick()
    #expect(receiver.receive() == ["STATUS=not healthy: the server does not answer\n"])
  }

  @Test("a daemon with four calls that hang does not feed it, and feeds it when they are back")
  func hangingCalls() async throws {
    let door = Door()
    let arrived = Watched(0)
    let plugin = RecordingPlugin(add: { call throws(CNIError) in
      let journal = try call.record(plan: [PlannedResource("thing", [])], namespace: nil)
      try journal.perform(.make) { _ throws(CNIError) in
        arrived.change { $0 += 1 }
        door.pass()
      }
      return RecordingPlugin.result
    })
    let daemon = try TestDaemon([plugin])
    let server = daemon.server
    let calls = (0..<4).map { number in
      daemon.start(CNICall(container: "c\(number)").with(RequestHeaders.timeLeftName, "10000"))
    }
    #expect(await arrived.reaches { $0 == 4 })
    for call in calls { #expect(try await call.value.code == 105) }
    #expect(try await becomes { server.isStuck })
    // The first question wakes the server's thread, the answer may be an old one.
    #expect(try await becomes { KernelClock.monotonic &- server.pulse() < 1_000_000_000 })
    var watchdog = watchdog(
      microseconds: "600000000", pulse: { server.pulse() }, isStuck: { server.isStuck })
    watchdog.tick()
    #expect(receiver.receive() == ["STATUS=not healthy: calls do not come back\n"])
    let page = try PrometheusText(try await daemon.send("GET", "/metrics").body)
    #expect(page.value("cnid_workers_lost_total") == 4)
    door.open()
    #expect(try await becomes { !server.isStuck })
    watchdog.tick()
    #expect(receiver.receive() == ["STATUS=serving\n", "WATCHDOG=1\n"])
  }

  @Test("nobody who watches, nobody who is asked")
  func unwatched() {
    let asked = Locked(false)
    var watchdog = watchdog(
      microseconds: nil,
      pulse: {
        asked.withLock { $0 = true }
        return 0
      })
    watchdog.tick()
    #expect(receiver.receive() == [])
    #expect(!asked.value)
    #expect(watchdog.interval == nil)
  }

  @Test(
    "it ticks often enough to be fed in time, whatever the time",
    arguments: [("30000000", 3750), ("1000000", 125), ("1000", 1), ("1", 1)])
  func interval(microseconds: String, milliseconds: Int) {
    #expect(watchdog(microseconds: microseconds).interval == milliseconds)
  }
}
