import CNI
import DaemonAPI
import JSON
import Linux
import ShimCore
import TestSupport
import Testing

/// Ways of a daemon not to be there.
enum Absence: String, CaseIterable, Sendable {
  case noDirectory, noSocket, noListener, fullBacklog, silence, notReady, stopping

  /// The call's seconds: more where the last try must be answered in time.
  var timeout: JSONValue { self == .stopping ? 5 : 1 }
}

/// Something at the socket that is no daemon; it stays as long as this value.
final class Impostor: Sendable {
  let directory: TemporaryDirectory
  private let socket: Locked<[FakeDaemon]> = Locked([])
  private let listener: Int32?
  private let waiting: Int32?

  init(_ absence: Absence) throws {
    directory = try TemporaryDirectory()
    let path = directory("cnid.sock")
    var listener: Int32?
    var waiting: Int32?
    switch absence {
    case .noDirectory: try Files.removeDirectory(directory.path)
    case .noSocket: break
    case .noListener: try UnixSocket.leaveDead(path)
    case .fullBacklog:
      listener = try UnixSocket.listen(path, backlog: 0).release()
      waiting = try UnixSocket.connect(path).release()
    case .silence: listener = try UnixSocket.listen(path).release()
    case .notReady:
      let daemon = try FakeDaemon(path, [failed(7, "must not be asked")], probes: 500)
      socket.withLock { $0 = [daemon] }
    case .stopping:
      let body = CNIError(.tryAgainLater, "cnid is stopping").json().encoded()
      let head = "HTTP/1.1 400 Bad Request\r\nRetry: 1\r\nContent-Length: \(body.count)\r\n\r\n"
      let daemon = try FakeDaemon(path, [.bytes(Array(head.utf8) + body)])
      socket.withLock { $0 = [daemon] }
    }
    self.listener = listener
    self.waiting = waiting
  }

  deinit {
    for number in [listener, waiting] {
      if let number { _ = FileDescriptor(adopting: number) }
    }
  }

  func run(_ call: ShimCall) async throws -> (outcome: ShimOutcome, milliseconds: UInt64) {
    let call = call.to(directory)
    return try await onThread {
      let start = KernelClock.monotonic
      let outcome = try call.runBlocking()
      return (outcome, (KernelClock.monotonic - start) / 1_000_000)
    }
  }
}

@Suite("The shim without a daemon")
struct UnreachableTests {
  @Test("ADD waits its time, then code 11 without any of stdin", arguments: Absence.allCases)
  func add(absence: Absence) async throws {
    let impostor = try Impostor(absence)
    var call = ShimCall("ADD", [:], ["password": "secret"])
    call.set(["daemonTimeout": absence.timeout])
    let (outcome, milliseconds) = try await impostor.run(call)
    #expect(outcome.error?.code == .tryAgainLater)
    #expect(milliseconds >= 900)
    #expect(outcome.json?["cniVersion"] == "1.1.0")
    #expect(!outcome.text.contains("secret"))
  }

  @Test("CHECK, UPDATE and GC wait likewise", arguments: ["CHECK", "UPDATE", "GC"])
  func others(verb: String) async throws {
    let (outcome, milliseconds) = try await Impostor(.noListener).run(
      ShimCall(verb, [:], ["daemonTimeout": 1]))
    #expect(outcome.error?.code == .tryAgainLater)
    #expect(milliseconds >= 900)
  }

  @Test("STATUS waits likewise, then code 50", arguments: Absence.allCases)
  func status(absence: Absence) async throws {
    let (outcome, milliseconds) = try await Impostor(absence).run(
      ShimCall("STATUS", [:], ["daemonTimeout": absence.timeout]))
    #expect(outcome.error?.code == .notAvailable)
    #expect(milliseconds >= (absence == .notReady ? 0 : 900))
  }

  @Test(
    "A daemon that is not there is waited for by each verb its own time, not the whole call's",
    arguments: [("ADD", 3), ("UPDATE", 3), ("CHECK", 2), ("GC", 2), ("STATUS", 5)])
  func patience(verb: String, seconds: UInt64) async throws {
    let call = ShimCall(verb, [:], ["daemonTimeout": 600, "unreachableTimeout": 3])
    let (outcome, milliseconds) = try await Impostor(.noListener).run(call)
    let message = outcome.error?.message
    #expect(message?.hasPrefix("cnid serves no calls (waited ") == true, "\(outcome)")
    #expect(message?.contains("(waited \(seconds) s): is it running") == true, "\(outcome)")
    #expect(milliseconds >= seconds * 1000 - 100)
    #expect(milliseconds < 300_000)
  }

  @Test("ADD and UPDATE wait for 15 seconds unless told otherwise")
  func standard() { #expect(ShimConfiguration().unreachableTimeout == 15) }

  @Test("A daemon that answers has the whole time, whatever the verb", arguments: ["ADD", "CHECK"])
  func slow(verb: String) async throws {
    let node = try FakeNode([.silence])
    let call = ShimCall(verb, [:], ["daemonTimeout": 8, "unreachableTimeout": 5])
    #expect(try await node.run(call).error?.code == .deadline)
  }

  @Test("DEL and STATUS ask a daemon that is alive but not ready")
  func notReadyYet() async throws {
    // A daemon that takes over: the probe that they use is healthz.
    for verb in ["DEL", "STATUS"] {
      let (outcome, node) = try await FakeNode.run(ShimCall(verb), [.response(200, [])])
      #expect(outcome.status == 0)
      #expect(node.daemon.requests.count == 1)
    }
  }

  @Test("ADD finds a daemon that comes late")
  func late() async throws {
    // All of it on one thread: the test's own may have to wait for other tests, longer
    // than the shim does.
    let (outcome, requests) = try await onThread {
      let directory = try TemporaryDirectory()
      let call = ShimCall("ADD", [:], ["daemonTimeout": 60]).to(directory)
      let outcome = Locked<ShimOutcome?>(nil)
      try OSThread.start {
        let result = try? call.runBlocking()
        outcome.withLock { $0 = result ?? ShimOutcome(status: -1) }
      }
      Clock.pause(milliseconds: 600)
      let daemon = try FakeDaemon(directory("cnid.sock"), [added(#"{"cniVersion":"1.1.0"}"#)])
      while outcome.value == nil { Clock.pause(milliseconds: 5) }
      return (outcome.value, daemon.requests.count)
    }
    #expect(outcome?.status == 0)
    #expect(requests == 1)
  }

  @Test("`Retry: 1` with code 11 means to come again; code 11 alone is the daemon's answer")
  func retry() async throws {
    let body = CNIError(.tryAgainLater, "cnid is stopping").json().encoded()
    let head = "HTTP/1.1 400 Bad Request\r\nRetry: 1\r\nContent-Length: \(body.count)\r\n\r\n"
    let stopping = FakeDaemon.Answer.bytes(Array(head.utf8) + body)
    let node = try FakeNode([stopping, stopping, added(#"{"cniVersion":"1.1.0"}"#)])
    #expect(try await node.run(ShimCall("ADD", [:], ["daemonTimeout": 60])).status == 0)
    #expect(node.daemon.requests.count == 3)
    let full = try FakeNode([failed(11, "too many calls wait")])
    let outcome = try await full.run(ShimCall("ADD", [:], ["daemonTimeout": 60]))
    #expect(outcome.error == CNIError(.tryAgainLater, "too many calls wait"))
    #expect(full.daemon.requests.count == 1)
  }

  @Test("A socket that can never be used is an error at once", arguments: ["ADD", "DEL", "STATUS"])
  func unusable(verb: String) async throws {
    let path = "/" + String(repeating: "x", count: 200)
    let call = ShimCall(verb, [:], ["daemonTimeout": 60, "daemonSocketDir": .string(path)])
    #expect(try await call.run().error?.code == .ioFailure)
  }
}
