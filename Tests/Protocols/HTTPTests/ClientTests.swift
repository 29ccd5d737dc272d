import Addresses
import Glibc
import HTTP
import Linux
import TestSupport
import Testing

/// Calls a script's answer on a Unix socket and returns what the client made of it.
private func outcome(
  _ answer: FakeDaemon.Answer, limits: HTTPLimits = .client, milliseconds: Int = 60_000,
  body: [UInt8] = []
) async throws -> Result<HTTPResponse, HTTPClientError> {
  let directory = try TemporaryDirectory()
  let fake = try FakeDaemon(directory("s"), [answer])
  let client = HTTPClient(.unix(path: directory("s")), limits: limits)
  let result = await onThread {
    call(client, HTTPRequest(method: "POST", target: "/cni", body: body), milliseconds)
  }
  withExtendedLifetime((fake, directory)) {}
  return result
}

private func call(
  _ client: HTTPClient, _ request: HTTPRequest, _ milliseconds: Int = 60_000
) -> Result<HTTPResponse, HTTPClientError> {
  do throws(HTTPClientError) {
    return .success(try client.send(request, deadline: .after(milliseconds: milliseconds)))
  } catch {
    return .failure(error)
  }
}

extension Result where Success == HTTPResponse, Failure == HTTPClientError {
  fileprivate var phase: HTTPClientError.Phase? {
    if case .failure(let error) = self { error.phase } else { nil }
  }

  fileprivate var response: HTTPResponse? { try? get() }
}

/// Closes a listener, also in a program that is being started and has a copy of it.
private func endListening(_ listener: consuming FileDescriptor) {
  _ = shutdown(listener.rawValue, Int32(SHUT_RDWR))
}

private let ok = "HTTP/1.1 200 OK\r\n"

@Suite("The client asks")
struct ClientTests {
  @Test("An answer from a server that never closes ends where its length says")
  func neverCloses() async throws {
    let answer = bytes("HTTP/1.1 500 OK\r\nContent-Length: 2\r\n\r\n{}")
    let response = try await outcome(.keepingOpen(answer)).response
    #expect(response?.status == 500)
    #expect(response?.body == bytes("{}"))
  }

  @Test("A chunked answer from a server that never closes ends with its last chunk")
  func chunked() async throws {
    let answer = bytes(ok + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
    #expect(try await outcome(.keepingOpen(answer)).response?.body == bytes("a"))
  }

  @Test("An answer without a length ends with the connection")
  func untilEnd() async throws {
    #expect(try await outcome(.bytes(bytes(ok + "\r\nabc"))).response?.body == bytes("abc"))
  }

  @Test("Nothing before the connection ends is no answer")
  func noAnswer() async throws {
    #expect(try await outcome(.close).phase == .noAnswer)
  }

  @Test("An answer that stops is cut, wherever it stops")
  func cut() async throws {
    let whole = bytes(ok + "Content-Length: 3\r\n\r\nabc")
    for length in [1, 9, 17, 30, whole.count - 3, whole.count - 1] {
      #expect(try await outcome(.bytes(Array(whole[..<length]))).phase == .cut)
    }
  }

  @Test("Silence ends with the deadline, and it is known whether the answer had begun")
  func deadline() async throws {
    #expect(
      try await outcome(.silence, milliseconds: 2000).phase == .deadline(answerStarted: false))
    let begun = FakeDaemon.Answer.keepingOpen(bytes(ok))
    #expect(try await outcome(begun, milliseconds: 5000).phase == .deadline(answerStarted: true))
  }

  @Test("What is no answer is malformed")
  func malformed() async throws {
    let reason = HTTPError(.malformedStartLine)
    #expect(try await outcome(.bytes(bytes("garbage\r\n"))).phase == .malformed(reason))
  }

  @Test("An answer beyond the limit is refused")
  func tooLarge() async throws {
    let answer = FakeDaemon.Answer.response(200, [UInt8](repeating: 1, count: 11))
    let reason = HTTPError(.bodyTooLarge)
    #expect(
      try await outcome(answer, limits: HTTPLimits(body: 10)).phase == .malformed(reason))
  }

  @Test("A large request and a large answer go through", arguments: [3_000_000])
  func large(size: Int) async throws {
    let fixture = try ServerFixture()
    let client = HTTPClient(.unix(path: fixture.socket))
    let body = [UInt8](repeating: 0x61, count: size)
    let request = HTTPRequest(method: "POST", target: "/b", body: body)
    let answer = await onThread { call(client, request) }
    #expect(answer.response?.body == bytes("POST /b ") + body)
  }

  @Test("The request's bytes are exactly these")
  func exactBytes() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory("s"), [.response(200, [])])
    let client = HTTPClient(.unix(path: directory("s")))
    let request = HTTPRequest(
      method: "POST", target: "/cni", headers: HTTPHeaders([("Content-Type", "application/json")]),
      body: bytes("null"))
    _ = await onThread { call(client, request) }
    #expect(
      fake.requests.map { String(decoding: $0.bytes, as: UTF8.self) } == [
        "POST /cni HTTP/1.1\r\nContent-Type: application/json\r\nHost: dummy\r\n"
          + "Connection: close\r\nContent-Length: 4\r\n\r\nnull"
      ])
    withExtendedLifetime(directory) {}
  }

  @Test("Without a socket, a listener or room in the backlog there is no connection")
  func noConnection() async throws {
    let directory = try TemporaryDirectory()
    let request = HTTPRequest(method: "GET", target: "/")
    let missing = HTTPClient(.unix(path: directory("missing")))
    #expect(await onThread { call(missing, request) }.phase == .connect(.noEntry))

    endListening(try UnixSocket.listen(directory("dead")))
    let dead = HTTPClient(.unix(path: directory("dead")))
    #expect(await onThread { call(dead, request) }.phase == .connect(.connectionRefused))

    let busy = try UnixSocket.listen(directory("busy"), backlog: 0)
    let waiting = try UnixSocket.connect(directory("busy"))
    let full = HTTPClient(.unix(path: directory("busy")))
    #expect(await onThread { call(full, request) }.phase == .connect(.again))
    _ = consume waiting
    _ = consume busy
    withExtendedLifetime(directory) {}
  }

  @Test("A deadline that has passed, or a cancellation, asks nobody")
  func tooLate() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory("s"), [.silence])
    let client = HTTPClient(.unix(path: directory("s")))
    let request = HTTPRequest(method: "GET", target: "/")
    #expect(await onThread { call(client, request, 0) }.phase == .connect(.timedOut))
    let cancellation = try Cancellation()
    cancellation.cancel()
    let error = await onThread { () -> HTTPClientError? in
      do throws(HTTPClientError) {
        _ = try client.send(request, deadline: .after(seconds: 9, cancellation: cancellation))
        return nil
      } catch {
        return error
      }
    }
    #expect(error?.phase == .cancelled)
    #expect(fake.requests.isEmpty)
    withExtendedLifetime(directory) {}
  }

  @Test("A cancellation ends the wait for an answer")
  func cancelledWhileWaiting() async throws {
    let directory = try TemporaryDirectory()
    let fake = try FakeDaemon(directory("s"), [.silence])
    let client = HTTPClient(.unix(path: directory("s")))
    let cancellation = try Cancellation()
    async let error = onThread { () -> HTTPClientError? in
      do throws(HTTPClientError) {
        let deadline = Deadline.after(seconds: 30, cancellation: cancellation)
        _ = try client.send(HTTPRequest(method: "GET", target: "/"), deadline: deadline)
        return nil
      } catch {
        return error
      }
    }
    #expect(try await eventually(within: 60_000) { fake.requests.count == 1 })
    cancellation.cancel()
    #expect(await error?.phase == .cancelled)
    withExtendedLifetime(directory) {}
  }

  @Test("A refusal that comes while the request is still being sent is the answer")
  func earlyAnswer() async throws {
    let answer = bytes("HTTP/1.1 413 OK\r\nContent-Length: 0\r\n\r\n")
    let body = [UInt8](repeating: 0x61, count: 8 << 20)
    for closes in [false, true] {
      let response = try await onThread { () -> HTTPResponse? in
        let directory = try TemporaryDirectory()
        let listener = try UnixSocket.listen(directory("s"))
        let client = HTTPClient(.unix(path: directory("s")))
        let result = Locked<HTTPResponse?>(nil)
        try OSThread.start {
          let request = HTTPRequest(method: "POST", target: "/", body: body)
          let response = call(client, request).response ?? HTTPResponse(status: 0)
          result.withLock { $0 = response }
        }
        let deadline = Deadline.after(seconds: 60)
        try deadline.wait(listener.rawValue, for: .read, "accept")
        guard let accepted = try Listener.accept(listener) else { return nil }
        try Descriptor.sendAll(accepted.rawValue, answer, deadline: deadline)
        let held = closes ? nil : Peer(accepted)
        while result.value == nil && !deadline.isOver { Clock.pause(milliseconds: 2) }
        return withExtendedLifetime((held, directory)) { result.value }
      }
      #expect(response?.status == 413)
    }
  }

  @Test("Over TCP the host is the address, and a closed port is a refused connection")
  func tcp() async throws {
    let address = IPAddress(v4: 0x7F00_0001)
    let fixture = try ServerFixture(rootPeersOnly: false, tcp: true) { exchange in
      exchange.respond(
        HTTPResponse(status: 200, body: Array((exchange.request.headers["Host"] ?? "").utf8)))
    }
    let port = try #require(fixture.port)
    let request = HTTPRequest(method: "GET", target: "/")
    let answer = await onThread { call(HTTPClient(.tcp(address, port: port)), request) }
    #expect(answer.response?.body == bytes("127.0.0.1:\(port)"))

    // A port that was free a moment ago.
    let listener = try TCPSocket.listen(address, port: 0)
    let free = try TCPSocket.port(of: listener)
    endListening(listener)
    let refused = await onThread { call(HTTPClient(.tcp(address, port: free)), request) }
    #expect(refused.phase == .connect(.connectionRefused))
  }

  @Test("Each failure is one line that names the server")
  func descriptions() {
    let endpoint = HTTPEndpoint.unix(path: "/run/cnid/cnid.sock")
    let phases: [HTTPClientError.Phase] = [
      .connect(.connectionRefused), .noAnswer, .cut, .malformed(HTTPError(.badContentLength)),
      .deadline(answerStarted: false), .deadline(answerStarted: true), .cancelled,
      .failed(SystemError("socket", "", .tooManyFiles)),
    ]
    for phase in phases {
      let text = HTTPClientError(phase, endpoint: endpoint).description
      #expect(text.contains("/run/cnid/cnid.sock"))
      #expect(!text.contains("\n"))
    }
    let v6 = HTTPEndpoint.tcp(IPAddress(v6: 1), port: 80)
    #expect(v6.description == "[::1]:80")
  }
}
