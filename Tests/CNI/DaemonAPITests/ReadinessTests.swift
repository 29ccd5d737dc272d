import DaemonAPI
import Linux
import TestSupport
import Testing

/// What a probe threw, if anything, and how long it took.
private struct Probe: Sendable {
  var error: DaemonClientError?
  var milliseconds: UInt64

  static func run(
    _ body: @escaping @Sendable () throws(DaemonClientError) -> Void
  ) async -> Probe {
    await onThread {
      let start = KernelClock.monotonic
      var error: DaemonClientError?
      do throws(DaemonClientError) {
        try body()
      } catch let thrown {
        error = thrown
      }
      return Probe(error: error, milliseconds: (KernelClock.monotonic - start) / 1_000_000)
    }
  }
}

@Suite("Readiness: asked once")
struct CheckTests {
  @Test("The probe is Multus' POST of the 4 bytes null", arguments: [Endpoint.readyz, .healthz])
  func wire(endpoint: Endpoint) async throws {
    let directory = try TemporaryDirectory()
    let daemon = try FakeDaemon(directory("s"), [])
    let client = DaemonClient(socketPath: directory("s"))
    let probe = await Probe.run { () throws(DaemonClientError) in
      // On a machine that is too busy to answer within a second it is asked again.
      try client.waitUntilAPIReady(endpoint)
    }
    #expect(probe.error == nil)
    let sent = try #require(daemon.probes.first)
    #expect(sent.line == "POST \(endpoint.path) HTTP/1.1")
    #expect(sent.headers["content-type"] == "application/json")
    #expect(sent.body == Array("null".utf8))
  }

  @Test("A daemon that is not ready says why")
  func notReady() async throws {
    let directory = try TemporaryDirectory()
    let daemon = try FakeDaemon(directory("s"), [], probes: 500)
    let client = DaemonClient(socketPath: directory("s"))
    // An answer that comes after the probe's second says nothing: it is asked again.
    let isTold = try await becomes {
      do throws(DaemonClientError) {
        try client.checkAPIReadyNow()
      } catch {
        guard error.reason == .unreachable else { throw error }
        return error.description.contains("not ready")
      }
      throw TestError("it is ready")
    }
    #expect(isTold)
    withExtendedLifetime(daemon) {}
  }

  // Only /healthz and /readyz are the fake daemon's own; any other path is answered by script.
  @Test(
    "Whatever else is in the way of an answer is unreachable",
    arguments: [
      .close, .bytes(Array("HTTP/1.1 200".utf8)), .bytes(Array("hunter2\r\n\r\n".utf8)),
      .response(404, []),
    ] as [FakeDaemon.Answer])
  func inTheWay(answer: FakeDaemon.Answer) async throws {
    let directory = try TemporaryDirectory()
    let daemon = try FakeDaemon(directory("s"), [answer])
    let client = DaemonClient(socketPath: directory("s"))
    let probe = await Probe.run { () throws(DaemonClientError) in
      try client.checkAPIReadyNow(.metrics)
    }
    #expect(probe.error?.reason == .unreachable)
    withExtendedLifetime(daemon) {}
  }

  @Test("Silence is unreachable after a second")
  func silence() async throws {
    let directory = try TemporaryDirectory()
    let listener = try UnixSocket.listen(directory("s"))
    let client = DaemonClient(socketPath: directory("s"))
    let probe = await Probe.run { () throws(DaemonClientError) in try client.checkAPIReadyNow() }
    #expect(probe.error?.reason == .unreachable)
    #expect(1000..<30_000 ~= probe.milliseconds)
    withExtendedLifetime(listener.rawValue) {}
  }
}

@Suite("Readiness: waited for")
struct WaitTests {
  @Test("The daemon is asked every 100 ms until it is ready")
  func interval() async throws {
    let directory = try TemporaryDirectory()
    let daemon = try FakeDaemon(
      directory("s"), [.response(500, []), .close, .response(503, []), .response(200, [])])
    let client = DaemonClient(socketPath: directory("s"))
    let probe = await Probe.run { () throws(DaemonClientError) in
      try client.waitUntilAPIReady(.metrics)
    }
    #expect(probe.error == nil)
    #expect(daemon.requests.count >= 4)
    // Each of the first three rounds lasts 100 ms from its begin, or longer.
    #expect(probe.milliseconds >= 300)
  }

  @Test("A socket that appears later is found")
  func later() async throws {
    let directory = try TemporaryDirectory()
    let client = DaemonClient(socketPath: directory("s"))
    async let probe = Probe.run { () throws(DaemonClientError) in try client.waitUntilAPIReady() }
    let daemon = try await onThread { () throws in
      Clock.pause(milliseconds: 250)
      return try FakeDaemon(directory("s"), [])
    }
    #expect(await probe.error == nil)
    withExtendedLifetime(daemon) {}
  }

  @Test("When the time is over the error says what the last probe met")
  func timeout() async throws {
    let directory = try TemporaryDirectory()
    let client = DaemonClient(socketPath: directory("s"))
    let probe = await Probe.run { () throws(DaemonClientError) in
      try client.waitUntilAPIReady(deadline: .after(milliseconds: 3000))
    }
    #expect(probe.error?.reason == .unreachable)
    #expect(probe.error?.description.contains("ENOENT") == true)
    #expect(3000..<30_000 ~= probe.milliseconds)
  }

  @Test("A deadline that has passed asks nobody")
  func passed() async throws {
    let directory = try TemporaryDirectory()
    let daemon = try FakeDaemon(directory("s"), [])
    let client = DaemonClient(socketPath: directory("s"))
    let probe = await Probe.run { () throws(DaemonClientError) in
      try client.waitUntilAPIReady(deadline: .after(milliseconds: 0))
    }
    #expect(probe.error?.reason == .unreachable)
    #expect(daemon.probes.isEmpty)
  }

  @Test("A path that can never be a socket's is not waited for")
  func impossible() async throws {
    let directory = try TemporaryDirectory()
    let client = DaemonClient(socketPath: directory(String(repeating: "a", count: 120)))
    let probe = await Probe.run { () throws(DaemonClientError) in try client.waitUntilAPIReady() }
    #expect(probe.error?.reason == .failed)
    #expect(probe.milliseconds < 30_000)
  }

  @Test("A cancellation ends the wait")
  func cancelled() async throws {
    let directory = try TemporaryDirectory()
    let client = DaemonClient(socketPath: directory("s"))
    let cancellation = try Cancellation()
    async let probe = Probe.run { () throws(DaemonClientError) in
      try client.waitUntilAPIReady(
        deadline: Deadline(nanoseconds: .max, cancellation: cancellation))
    }
    try await onThread { () throws in
      Clock.pause(milliseconds: 150)
      cancellation.cancel()
    }
    #expect(await probe.error?.reason == .cancelled)
  }

  @Test("Interval and time are Multus': 100 ms and a minute")
  func constants() {
    #expect(DaemonClient.apiReadyPollMilliseconds == 100)
    #expect(DaemonClient.apiReadyTimeoutMilliseconds == 60_000)
  }
}
