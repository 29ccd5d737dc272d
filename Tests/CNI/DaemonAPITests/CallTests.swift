import CNI
import DaemonAPI
import HTTP
import JSON
import Linux
import TestSupport
import Testing

private typealias Reason = DaemonClientError.Reason

private let request = Request(env: ["CNI_COMMAND": "ADD"], config: Array(#"{"name":"n"}"#.utf8))

/// What became of a call.
private enum Outcome: Equatable, Sendable {
  case answered(String)
  case failed(DaemonClientError.Reason, String)

  var reason: DaemonClientError.Reason? {
    if case .failed(let reason, _) = self { reason } else { nil }
  }
}

/// Calls a daemon that listens, or not, at a path; the time begins on the thread that calls.
private func call(
  _ path: String, endpoint: Endpoint = .cni, headers: RequestHeaders = RequestHeaders(),
  _ deadline: @escaping @autoclosure @Sendable () -> Deadline = .after(seconds: 30)
) async -> Outcome {
  await onThread {
    do throws(DaemonClientError) {
      let response = try DaemonClient(socketPath: path).doCNI(
        request, endpoint: endpoint, headers: headers, deadline: deadline())
      return .answered(String(decoding: response.result, as: UTF8.self))
    } catch {
      return .failed(error.reason, error.description)
    }
  }
}

/// Calls a daemon that answers by script.
private func call(
  answering answer: FakeDaemon.Answer, within milliseconds: Int = 30_000
) async throws -> Outcome {
  let directory = try TemporaryDirectory()
  let daemon = try FakeDaemon(directory("s"), [answer])
  let outcome = await call(directory("s"), .after(milliseconds: milliseconds))
  withExtendedLifetime(daemon) {}
  return outcome
}

private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

@Suite("Calls: what is sent")
struct SentCallTests {
  @Test("A call is one POST with the request as JSON, the id, the stamp and the time left")
  func wire() async throws {
    let directory = try TemporaryDirectory()
    let daemon = try FakeDaemon(directory("s"), [.response(200, [])])
    let headers = RequestHeaders(requestID: "id-1", stamp: Stamp("boot:17"))
    #expect(await call(directory("s"), headers: headers) == .answered(""))
    let sent = try #require(daemon.requests.first)
    #expect(daemon.requests.count == 1)
    #expect(sent.line == "POST /cni HTTP/1.1")
    #expect(sent.headers["host"] == "dummy")
    #expect(sent.headers["content-type"] == "application/json")
    #expect(sent.headers["x-cnid-request-id"] == "id-1")
    #expect(sent.headers["x-cnid-stamp"] == "boot:17")
    #expect(1...30_001 ~= Int(sent.headers["x-cnid-time-left"] ?? "") ?? 0)
    #expect(sent.body == bytes(#"{"env":{"CNI_COMMAND":"ADD"},"config":"eyJuYW1lIjoibiJ9"}"#))
  }

  @Test("Without a deadline there is no time left to tell, and a given one is kept")
  func timeLeft() async throws {
    let directory = try TemporaryDirectory()
    let daemon = try FakeDaemon(directory("s"), [.response(200, [])])
    _ = await call(directory("s"), .never)
    _ = await call(directory("s"), headers: RequestHeaders(timeLeft: 5))
    #expect(daemon.requests.map { $0.headers["x-cnid-time-left"] } == [nil, "5"])
  }

  @Test("The other endpoints are called at their paths", arguments: [Endpoint.delegate, .ovn])
  func endpoints(endpoint: Endpoint) async throws {
    let directory = try TemporaryDirectory()
    let daemon = try FakeDaemon(directory("s"), [.response(200, [])])
    _ = await call(directory("s"), endpoint: endpoint)
    #expect(daemon.requests.map(\.path) == [endpoint.path])
  }
}

@Suite("Calls: what is answered")
struct AnsweredCallTests {
  @Test(
    "The result comes as it was printed, whatever the framing and though the server never closes")
  func result() async throws {
    let result = "{\n    \"a\": 1.0\n}"
    let body = "{\"Result\":\(result)}"
    let answers: [FakeDaemon.Answer] = [
      .response(200, bytes(body), type: "text/plain; charset=utf-8"),
      .keepingOpen(bytes("HTTP/1.1 200 OK\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")),
      .bytes(
        bytes(
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"
            + "\(body.prefix(5))\r\n\(String(body.utf8.count - 5, radix: 16))\r\n"
            + "\(body.dropFirst(5))\r\n0\r\n\r\n")),
      .bytes(bytes("HTTP/1.0 200 OK\r\n\r\n\(body)")),
    ]
    for answer in answers {
      #expect(try await call(answering: answer) == .answered(result))
    }
  }

  @Test("A result of 2 MB comes through")
  func large() async throws {
    let entry = #"{"address":"10.1.2.3/24","gateway":"10.1.2.1"}"#
    let result = "{\"ips\":[" + String(repeating: entry + ",", count: 44_000) + entry + "]}"
    #expect(result.utf8.count > 2_000_000)
    let outcome = try await call(answering: .response(200, bytes("{\"Result\":\(result)}")))
    #expect(outcome == .answered(result))
  }

  @Test("On / the body is the result")
  func bare() async throws {
    let directory = try TemporaryDirectory()
    let daemon = try FakeDaemon(directory("s"), [.response(200, bytes("{ \"ip4\":{} }"))])
    #expect(await call(directory("s"), endpoint: .ovn) == .answered("{ \"ip4\":{} }"))
    withExtendedLifetime(daemon) {}
  }

  static let refusals: [(Int, String, CNIError)] = [
    (
      400, #"{"code":1234,"msg":"no","details":"why"}"#,
      CNIError(CNIErrorCode(rawValue: 1234), "no", details: "why")
    ),
    (400, #"{"code":50,"msg":"off"}"#, CNIError(.notAvailable, "off")),
    (500, #"{"msg":"x"}"#, CNIError(.internal, "x")),
    (400, "potato\n", CNIError(.internal, "CNI request failed with status 400: 'potato'")),
    (400, "\"potato\"", CNIError(.internal, "CNI request failed with status 400: '\"potato\"'")),
    (404, "", CNIError(.internal, "CNI request failed with status 404: ''")),
    (403, "\r\n", CNIError(.internal, "CNI request failed with status 403: ''")),
    (
      400, #"{"code":7}"#, CNIError(.internal, #"CNI request failed with status 400: '{"code":7}'"#)
    ),
    (201, "{}", CNIError(.internal, "CNI request failed with status 201: '{}'")),
    (
      400, String(repeating: "x", count: 100_000),
      CNIError(
        .internal,
        "CNI request failed with status 400: '\(String(repeating: "x", count: 4096))'")
    ),
  ]

  @Test("A refusal is the daemon's own error, and a plain text is code 999", arguments: refusals)
  func refused(status: Int, body: String, error: CNIError) async throws {
    let outcome = try await call(answering: .response(status, bytes(body)))
    #expect(outcome == .failed(.refused(error), error.description))
  }

  @Test(
    "Only code 11 with Retry: 1 means to come again",
    arguments: [
      (11, "Retry: 1\r\n", true), (11, "retry:1\r\n", true), (11, "Retry: 0\r\n", false),
      (11, "Retry-After: 1\r\n", false), (11, "", false), (7, "Retry: 1\r\n", false),
    ])
  func retry(code: Int, header: String, again: Bool) async throws {
    let body = #"{"code":\#(code),"msg":"stopping"}"#
    let outcome = try await call(
      answering: .bytes(
        bytes("HTTP/1.1 400 Bad\r\n\(header)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")))
    let error = CNIError(CNIErrorCode(rawValue: code), "stopping")
    #expect(outcome == .failed(again ? .stopping(error) : .refused(error), "stopping"))
  }
}

@Suite("Calls: what fails")
struct FailedCallTests {
  @Test(
    "A connection that ends is told apart by whether a byte of the answer had come",
    arguments: [
      (.close, .noAnswer), (.bytes(bytes("H")), .cut), (.bytes(bytes("HTTP/1.1 200 OK\r\n")), .cut),
      (.bytes(bytes("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{\"Result\":")), .cut),
      (.bytes(bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"Res\r\n")), .cut),
    ] as [(FakeDaemon.Answer, DaemonClientError.Reason)])
  func ended(answer: FakeDaemon.Answer, reason: DaemonClientError.Reason) async throws {
    #expect(try await call(answering: answer).reason == reason)
  }

  @Test(
    "An answer that no daemon gives is malformed, and none of its text is in the error",
    arguments: [
      .bytes(bytes("hunter2 hunter2\r\n\r\n")),
      .bytes(bytes("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")),
      .bytes(
        bytes("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"Result\":{\"hunter2\":1}}")),
      .response(200, bytes("hunter2")), .response(200, bytes("\"hunter2\"")),
      .response(200, bytes("{\"Result\":\"hunter2\"}")),
    ] as [FakeDaemon.Answer])
  func malformed(answer: FakeDaemon.Answer) async throws {
    let outcome = try await call(answering: answer)
    guard case .failed(let reason, let text) = outcome else {
      Issue.record("\(outcome)")
      return
    }
    #expect(reason == .malformed)
    #expect(!text.contains("hunter2"))
  }

  @Test("Silence after the request, or within the answer, ends with the deadline")
  func silence() async throws {
    #expect(
      try await call(answering: .silence, within: 3000).reason == .deadline(answerStarted: false))
    // On a busy machine the answer may begin after the deadline.
    var reason: Reason?
    for milliseconds in [2000, 8000, 30_000] where reason != .deadline(answerStarted: true) {
      reason = try await call(
        answering: .keepingOpen(bytes("HTTP/1.1 2")), within: milliseconds
      ).reason
    }
    #expect(reason == .deadline(answerStarted: true))
  }

  @Test("A cancellation ends the wait")
  func cancelled() async throws {
    let directory = try TemporaryDirectory()
    let daemon = try FakeDaemon(directory("s"), [.silence])
    let cancellation = try Cancellation()
    async let outcome = call(
      directory("s"), Deadline(nanoseconds: .max, cancellation: cancellation))
    try await onThread { () throws in
      let limit = Deadline.after(seconds: 30)
      while daemon.requests.isEmpty, !limit.isOver { Clock.pause(milliseconds: 1) }
      cancellation.cancel()
    }
    #expect(await outcome.reason == .cancelled)
  }

  @Test(
    "Without a daemon it is unreachable: no socket, no directory, nobody behind it, no socket at all"
  )
  func unreachable() async throws {
    let directory = try TemporaryDirectory()
    try UnixSocket.leaveDead(directory("stale"))
    try Files.replace(directory("file"), bytes("x"))
    for name in ["missing", "no/directory", "stale", "file"] {
      let outcome = await call(directory(name))
      #expect(outcome.reason == .unreachable, "\(name): \(outcome)")
    }
  }

  @Test("A full backlog is unreachable")
  func backlog() async throws {
    let directory = try TemporaryDirectory()
    let path = directory("s")
    let outcome = try await onThread { () throws in
      let listener = try UnixSocket.listen(path, backlog: 0)
      let first = try UnixSocket.connect(path)
      defer { withExtendedLifetime((listener.rawValue, first.rawValue)) {} }
      do throws(DaemonClientError) {
        _ = try DaemonClient(socketPath: path).doCNI(request, deadline: .after(seconds: 5))
        return nil as DaemonClientError?
      } catch {
        return error
      }
    }
    #expect(outcome?.reason == .unreachable)
    #expect(outcome?.description.contains("EAGAIN") == true)
  }

  @Test("A path that can never be a socket's fails at once and is not worth waiting for")
  func impossible() async throws {
    let directory = try TemporaryDirectory()
    try Files.replace(directory("file"), bytes("x"))
    for path in [directory("file/s"), directory(String(repeating: "a", count: 120)), ""] {
      #expect(await call(path).reason == .failed)
    }
  }
}
