@testable import Daemon
import Glibc
import Linux
import Testing
import TestSupport

@Suite("Service manager")
struct ServiceManagerTests {
  private let directory: TemporaryDirectory
  private let receiver: NotifySocket

  init() throws {
    directory = try TemporaryDirectory()
    receiver = try NotifySocket(directory("notify"))
  }

  private func manager(_ changes: [String: String] = [:], pid: Int32 = 7) -> ServiceManager {
    ServiceManager(
      environment: ["NOTIFY_SOCKET": receiver.address].merging(changes) { $1 }, pid: pid)
  }

  @Test("ready, stopping and status each are one message with the lines of sd_notify(3)")
  func messages() {
    let manager = manager()
    manager.ready("serving")
    manager.status("3 attachments")
    manager.stopping("waiting for calls")
    #expect(
      receiver.receive() == [
        "READY=1\nSTATUS=serving\n", "STATUS=3 attachments\n",
        "STOPPING=1\nSTATUS=waiting for calls\n",
      ])
  }

  @Test("reloading comes with the time of the monotonic clock in microseconds")
  func reloading() throws {
    let before = KernelClock.monotonic / 1_000
    manager().reloading()
    let lines = try #require(receiver.receive().first).split(separator: "\n")
    #expect(lines.first == "RELOADING=1")
    let time = try #require(lines.last?.split(separator: "=").last.flatMap { UInt64($0) })
    #expect(lines.last?.hasPrefix("MONOTONIC_USEC=") == true)
    #expect(time >= before && time <= KernelClock.monotonic / 1_000)
  }

  @Test("a start that takes longer asks for more time")
  func extending() {
    manager().extendStart(seconds: 30)
    #expect(receiver.receive() == ["EXTEND_TIMEOUT_USEC=30000000\n"])
  }

  @Test("a text cannot begin another line", arguments: ["a\nREADY=1", "a\r\nREADY=1", "\n\n"])
  func oneLine(text: String) throws {
    manager().status(text)
    let message = try #require(receiver.receive().first)
    #expect(message.hasPrefix("STATUS="))
    #expect(message.utf8.filter { $0 < 0x20 } == [0x0A])
  }

  @Test("a socket in the abstract namespace gets the messages too")
  func abstract() throws {
    let receiver = try NotifySocket("@cnid-test-\(Unique.word())")
    ServiceManager(environment: ["NOTIFY_SOCKET": receiver.address], pid: 1).ready("x")
    #expect(receiver.receive() == ["READY=1\nSTATUS=x\n"])
  }

  @Test(
    "without a service manager, or with one that cannot be reached, nothing happens",
    arguments: [
      nil, "", "/", "@", "relative", "vsock:2:1", "/nowhere/at/all", "/dev/null",
      "/" + String(repeating: "x", count: 200),
    ])
  func nobody(address: String?) {
    var environment = ["WATCHDOG_USEC": "1000000"]
    environment["NOTIFY_SOCKET"] = address
    let manager = ServiceManager(environment: environment, pid: 1)
    manager.ready("x")
    manager.feedWatchdog()
    manager.flush()
    manager.stopping("x")
  }

  @Test(
    "the watchdog's time is taken only if it is meant for this process",
    arguments: [
      ("1000000", nil, 1_000_000_000), ("1000000", "7", 1_000_000_000), ("1000000", "8", nil),
      ("1000000", "x", nil), ("0", nil, nil), ("-1", nil, nil), ("x", nil, nil), ("", nil, nil),
      ("18446744073709551615", nil, nil),
    ] as [(String, String?, UInt64?)])
  func watchdogTime(time: String, pid: String?, expected: UInt64?) {
    var changes = ["WATCHDOG_USEC": time]
    changes["WATCHDOG_PID"] = pid
    #expect(manager(changes).watchdogTime == expected)
  }

  @Test("the watchdog is fed once in half of its time, however often that is asked for")
  func feeding() {
    let manager = manager(["WATCHDOG_USEC": "400000"])
    let start = KernelClock.monotonic
    // Milliseconds on a clock of this test.
    let fed = (0..<1000).filter { time in
      manager.feedWatchdog(start + UInt64(time) * 1_000_000)
      return !receiver.receive().isEmpty
    }
    #expect(fed == [0, 200, 400, 600, 800])
  }

  @Test("without a watchdog it is never fed")
  func noWatchdog() {
    let manager = manager()
    manager.feedWatchdog()
    #expect(receiver.receive() == [])
  }

  @Test("what a busy service manager cannot take is sent later, in order, and nobody waits")
  func busy() async throws {
    let manager = manager()
    let receiver = receiver
    // The kernel's queue of a datagram socket is short.
    let waited = await onThread { () -> UInt64 in
      let began = KernelClock.monotonic
      while receiver.fill() {}
      manager.ready("late")
      manager.stopping("later")
      return KernelClock.monotonic - began
    }
    #expect(waited < 5_000_000_000 * UInt64(Program.patience))
    #expect(!receiver.receive().contains { $0.contains("READY") })
    manager.flush()
    #expect(
      receiver.receive() == ["READY=1\nSTATUS=late\n", "STOPPING=1\nSTATUS=later\n"])
  }

  @Test("its variables are taken out of the environment, so that no child inherits them")
  func environment() async {
    await #expect(processExitsWith: .success) {
      _ = unsafe setenv("NOTIFY_SOCKET", "/nowhere", 1)
      _ = unsafe setenv("WATCHDOG_USEC", "2000000", 1)
      _ = unsafe setenv("WATCHDOG_PID", "\(getpid())", 1)
      let manager = ServiceManager.ofThisProcess()
      precondition(manager.watchdogTime == 2_000_000_000)
      let left = Linux.Process.environment().map(\.name)
      precondition(!ServiceManager.variables.contains { left.contains($0) })
    }
  }
}
