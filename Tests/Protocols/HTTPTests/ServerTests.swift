import Addresses
import HTTP
import Linux
import TestSupport
import Testing

private let get = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n"

@Suite("The server answers")
struct ServerTests {
  @Test("A server that is asked for its pulse comes round again, also when nobody connects")
  func pulse() async throws {
    let fixture = try ServerFixture()
    #expect(try await fixture.get("/").status == 200)
    let before = KernelClock.monotonic
    #expect(try await eventually { fixture.server.pulse() > before })
  }

  @Test("A server whose thread hangs has no pulse")
  func noPulse() async throws {
    let gate = try Cancellation()
    let fixture = try ServerFixture { exchange in
      while !gate.isCancelled { Clock.pause(milliseconds: 1) }
      exchange.respond(HTTPResponse(status: 200))
    }
    let answer = Task { try await fixture.get("/") }
    let server = fixture.server
    #expect(
      try await eventually(within: 20_000) {
        let age = KernelClock.monotonic.subtractingReportingOverflow(server.pulse())
        return !age.overflow && age.partialValue > 300_000_000
      })
    let stopped = fixture.server.pulse()
    gate.cancel()
    #expect(try await answer.value.status == 200)
    #expect(try await eventually { fixture.server.pulse() > stopped })
  }

  @Test("A request is answered, and the connection is closed")
  func answers() async throws {
    let fixture = try ServerFixture()
    let answer = try await fixture.get("/x?y")
    #expect(answer.status == 200)
    #expect(answer.text == "GET /x ")
    #expect(answer.header("connection") == "close")
    #expect(answer.header("content-length") == "7")
  }

  @Test("A request in single bytes, with pauses of the scheduler, is the same request")
  func singleBytes() async throws {
    let fixture = try ServerFixture()
    let status = try await onThread {
      let peer = try fixture.connect()
      for byte in bytes("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc") {
        try peer.send([byte])
      }
      return try peer.status()
    }
    #expect(status == 200)
  }

  @Test("A large body comes and goes whole", arguments: [100_000, 2_000_000])
  func largeBody(size: Int) async throws {
    let fixture = try ServerFixture()
    let body = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
    let socket = fixture.socket
    let answer = try await onThread { try RawHTTP.send("POST", "/b", body, socket, within: 60_000) }
    #expect(answer.body == bytes("POST /b ") + body)
  }

  @Test("HEAD is answered without a body")
  func head() async throws {
    let fixture = try ServerFixture()
    let socket = fixture.socket
    let answer = try await onThread { try RawHTTP.send("HEAD", "/x", [], socket) }
    #expect(answer.header("content-length") == "8")
    #expect(answer.body.isEmpty)
  }

  @Test("Of two requests on one connection the first is answered, then it is closed")
  func pipelined() async throws {
    let fixture = try ServerFixture()
    let text = try await onThread {
      let peer = try fixture.connect()
      try peer.send(get + get)
      return String(decoding: try peer.readToEnd(), as: UTF8.self)
    }
    #expect(text.hasPrefix("HTTP/1.1 200 OK\r\n"))
    #expect(text.split(separator: "HTTP/1.1").count == 1)
  }

  @Test("A client that waits for it is told to go on")
  func expectContinue() async throws {
    let fixture = try ServerFixture()
    let text = try await onThread {
      let peer = try fixture.connect()
      try peer.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
      try peer.waitForBytes()
      try peer.send("a")
      return String(decoding: try peer.readToEnd(), as: UTF8.self)
    }
    #expect(text.hasPrefix("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"))
  }

  @Test("A bad request is answered with its status and closed, and the next one is served")
  func badRequest() async throws {
    let fixture = try ServerFixture()
    let wrong = try await onThread {
      try badRequests.filter { test in
        guard case .refused(let reason) = test.expected, test.limits == .server else {
          return false
        }
        let peer = try fixture.connect()
        try peer.send(test.wire)
        return try peer.status() != HTTPError(reason).status
      }
    }
    #expect(wrong.map(\.name) == [])
    #expect(try await fixture.get("/x").status == 200)
  }

  @Test("An answer can be given later, from another thread, and tells that it was written")
  func answersLater() async throws {
    let delivery = Locked<HTTPExchange.Delivery?>(nil)
    let fixture = try ServerFixture { exchange in
      try? OSThread.start {
        Clock.pause(milliseconds: 20)
        exchange.respond(HTTPResponse(status: 200)) { outcome in
          delivery.withLock { $0 = outcome }
        }
        exchange.respond(HTTPResponse(status: 500))
      }
    }
    #expect(try await fixture.get("/x").status == 200)
    #expect(try await eventually(within: 60_000) { delivery.value == .written })
  }

  @Test("A request that nobody answers gets 500")
  func forgotten() async throws {
    let fixture = try ServerFixture { _ in }
    #expect(try await fixture.get("/x").status == 500)
  }

  @Test("A client that has ended its writing gets its answer and is not gone")
  func halfClosed() async throws {
    let held = Locked<HTTPExchange?>(nil)
    let gone = Locked(false)
    let fixture = try ServerFixture { exchange in
      exchange.onClientGone { gone.withLock { $0 = true } }
      held.withLock { $0 = exchange }
    }
    let peer = try fixture.connect()
    try await onThread {
      try peer.send(get)
      try peer.endWriting()
    }
    #expect(try await eventually(within: 60_000) { held.value != nil })
    held.withLock { $0 = nil }
    #expect(try await onThread { try peer.status() } == 500)
    #expect(!gone.value)
  }

  @Test("A client that hangs up is reported, once, and its answer is not delivered")
  func hangUp() async throws {
    let held = Locked<HTTPExchange?>(nil)
    let gone = Locked(0)
    let delivery = Locked<HTTPExchange.Delivery?>(nil)
    let fixture = try ServerFixture { exchange in
      exchange.onClientGone { gone.withLock { $0 += 1 } }
      held.withLock { $0 = exchange }
    }
    try await onThread { try fixture.connect().send(get) }
    #expect(try await eventually(within: 60_000) { gone.value == 1 })
    let exchange = try #require(held.value)
    #expect(exchange.isClientGone)
    exchange.onClientGone { gone.withLock { $0 += 10 } }
    #expect(gone.value == 11)
    exchange.respond(HTTPResponse(status: 200)) { outcome in delivery.withLock { $0 = outcome } }
    #expect(try await eventually(within: 60_000) { delivery.value == .clientGone })
  }

  @Test("Over TCP the peer is unknown, and refused where only root may call")
  func tcp() async throws {
    let open = try ServerFixture(rootPeersOnly: false, tcp: true) { exchange in
      exchange.respond(HTTPResponse(status: exchange.peer == nil ? 200 : 500))
    }
    let closed = try ServerFixture(tcp: true)
    #expect(try await tcpStatus(open) == 200)
    #expect(try await tcpStatus(closed) == 403)
  }

  private func tcpStatus(_ fixture: ServerFixture) async throws -> Int? {
    let port = try #require(fixture.port)
    return try await onThread {
      let client = HTTPClient(.tcp(.init(v4: 0x7F00_0001), port: port))
      let request = HTTPRequest(method: "GET", target: "/x")
      return try client.send(request, deadline: .after(seconds: 60)).status
    }
  }

  @Test("A peer that is not root is refused by its credentials, not only by the socket's mode")
  func notRoot() async throws {
    let fixture = try ServerFixture()
    // The doors are opened on purpose: only the check is left.
    try Files.setPermissions(fixture.socket, 0o666)
    try Files.setPermissions(String(fixture.socket.dropLast("/http.sock".count)), 0o755)
    let curl = [
      "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", fixture.socket,
      "http://dummy/x",
    ]
    let user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    #expect(try await Program.run(user + curl).text == "403")
    #expect(try await Program.run(curl).text == "200")
  }

  @Test("Stopping answers what was asked, closes what is silent and ends")
  func stop() async throws {
    let held = Locked<HTTPExchange?>(nil)
    let fixture = try ServerFixture { exchange in held.withLock { $0 = exchange } }
    let silent = try fixture.connect()
    let asking = try fixture.connect()
    try await onThread { try asking.send(get) }
    #expect(try await eventually(within: 60_000) { held.value != nil })
    fixture.server.stop(within: 60_000)
    #expect(try await onThread { try silent.status() } == nil)
    #expect(!fixture.hasEnded)
    held.value?.respond(HTTPResponse(status: 204))
    #expect(try await onThread { try asking.status() } == 204)
    #expect(try await eventually(within: 60_000) { fixture.hasEnded })
    // A program that is being started has a copy of the listener for a moment.
    #expect(try await becomes { (try? fixture.connect()) == nil })
  }

  @Test("Stopping does not wait longer than it was told, and the late answer learns of it")
  func stopInTime() async throws {
    let held = Locked<HTTPExchange?>(nil)
    let delivery = Locked<HTTPExchange.Delivery?>(nil)
    let fixture = try ServerFixture { exchange in held.withLock { $0 = exchange } }
    let asking = try fixture.connect()
    try await onThread { try asking.send(get) }
    #expect(try await eventually(within: 60_000) { held.value != nil })
    fixture.server.stop(within: 50)
    #expect(try await eventually(within: 60_000) { fixture.hasEnded })
    held.value?.respond(HTTPResponse(status: 200)) { outcome in
      delivery.withLock { $0 = outcome }
    }
    #expect(delivery.value == .clientGone)
    #expect(try await onThread { try asking.status() } == nil)
  }

  @Test("curl's requests are understood, a large body with its interim answer too")
  func curl() async throws {
    let fixture = try ServerFixture()
    let size = 3_000_000
    let result = try await Program.run(
      [
        "curl", "-sS", "--unix-socket", fixture.socket, "--data-binary", "@-",
        "-H", "Expect: 100-continue", "-o", "/dev/null", "-w", "%{http_code} %{size_download}",
        "http://dummy/cni",
      ], input: [UInt8](repeating: 0x61, count: size))
    #expect(result.text == "200 \(size + bytes("POST /cni ").count)")
  }
}
