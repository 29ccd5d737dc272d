import Glibc
import HTTP
import Linux
import TestSupport
import Testing

@Suite("Bad clients disturb nobody")
struct ServerPressureTests {
  @Test("A client that sends nothing is closed without a word")
  func silent() async throws {
    var options = patient
    options.headTime = 100
    let fixture = try ServerFixture(options)
    #expect(try await onThread { try fixture.connect().status() } == nil)
  }

  @Test(
    "A client that sends a part is answered 408",
    arguments: [
      "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: a\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nnul",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nnull\r\n",
    ])
  func partial(_ text: String) async throws {
    var options = patient
    options.headTime = 100
    options.requestTime = 200
    let door = Door()
    let fixture = try ServerFixture(options, behind: door)
    let status = try await onThread {
      let peer = try fixture.connect()
      try peer.send(text)
      // The time begins when the part is there: a client that was held up would be a silent one.
      door.open()
      return try peer.status()
    }
    #expect(status == 408)
  }

  @Test("Bytes that trickle in do not extend the time")
  func trickle() async throws {
    var options = patient
    options.headTime = 200
    let door = Door()
    let fixture = try ServerFixture(options, behind: door)
    let status = try await onThread {
      let peer = try fixture.connect()
      try peer.send("GET / HTTP/1.1\r\n")
      door.open()
      let deadline = Deadline.after(milliseconds: 150)
      while !deadline.isOver {
        try peer.send("A: b\r\n")
        Clock.pause(milliseconds: 10)
      }
      return try peer.status()
    }
    #expect(status == 408)
  }

  @Test("100 MB are refused as soon as they are announced, and the answer arrives")
  func announced() async throws {
    let fixture = try ServerFixture()
    let socket = fixture.socket
    let body = [UInt8](repeating: 0x61, count: 100 << 20)
    let answer = try await onThread { try RawHTTP.send("POST", "/", body, socket, within: 60_000) }
    #expect(answer.status == 413)
    #expect(try await fixture.get("/x").status == 200)
  }

  @Test("100 MB in chunks are refused at the limit, and the answer arrives")
  func chunks() async throws {
    let fixture = try ServerFixture()
    let socket = fixture.socket
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6400000\r\n"
    let request = bytes(head) + [UInt8](repeating: 0x61, count: 100 << 20)
    let answer = try await onThread {
      try RawHTTP.parse(RawHTTP.exchange(request, socket, within: 60_000))
    }
    #expect(answer.status == 413)
    #expect(try await fixture.get("/x").status == 200)
  }

  @Test("Requests that are held together beyond the limit cost the largest its answer")
  func heldTogether() async throws {
    var options = patient
    options.maximumBufferedBytes = 1 << 20
    let fixture = try ServerFixture(options)
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n"
    let small = try fixture.connect()
    let large = try fixture.connect()
    try await onThread {
      try small.send(bytes(head) + [UInt8](repeating: 0x61, count: 400_000))
      try large.send(bytes(head) + [UInt8](repeating: 0x61, count: 800_000))
    }
    #expect(try await onThread { try large.status() } == 413)
    try await onThread { try small.send([UInt8](repeating: 0x61, count: 500_000)) }
    #expect(try await onThread { try small.status() } == 200)
  }

  @Test("A client that does not read its answer is closed in time and holds up nobody")
  func neverReads() async throws {
    let delivery = Locked<HTTPExchange.Delivery?>(nil)
    var options = patient
    options.writeTime = 300
    let fixture = try ServerFixture(options) { exchange in
      let size = exchange.request.path == "/large" ? 8 << 20 : 0
      let body = [UInt8](repeating: 0x61, count: size)
      exchange.respond(HTTPResponse(status: 200, body: body)) { outcome in
        if size > 0 { delivery.withLock { $0 = outcome } }
      }
    }
    let peer = try fixture.connect()
    try await onThread { try peer.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n") }
    #expect(try await fixture.get("/x").status == 200)
    #expect(try await eventually(within: 60_000) { delivery.value == .tooSlow })
    #expect(try await onThread { try peer.readToEnd() }.count < 8 << 20)
  }

  @Test("When there are too many, the oldest without a request goes")
  func oldestGoes() async throws {
    var options = patient
    options.maximumConnections = 3
    let fixture = try ServerFixture(options)
    let peers = try (0..<3).map { _ in try fixture.connect() }
    #expect(try await fixture.get("/x").status == 200)
    #expect(try await onThread { try peers[0].status() } == nil)
    let others = try await onThread {
      try peers[1...].map { peer in
        try peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        return try peer.status()
      }
    }
    #expect(others == [200, 200])
  }

  @Test("When all are being served, the next one waits until one has gone")
  func allServed() async throws {
    let held = Locked<[HTTPExchange]>([])
    var options = patient
    options.maximumConnections = 2
    let fixture = try ServerFixture(options) { exchange in held.withLock { $0.append(exchange) } }
    var peers: [Peer] = []
    for count in 1...3 {
      let peer = try fixture.connect()
      try await onThread { try peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") }
      #expect(try await eventually(within: 60_000) { held.value.count == min(count, 2) })
      peers.append(peer)
    }
    let asking = peers
    held.value[0].respond(HTTPResponse(status: 204))
    #expect(try await eventually(within: 60_000) { held.value.count == 3 })
    for exchange in held.value { exchange.respond(HTTPResponse(status: 204)) }
    let statuses = try await onThread { try asking.map { try $0.status() } }
    #expect(statuses == [204, 204, 204])
  }

  @Test("Without descriptors left, silent clients make room and requests are answered")
  func noDescriptors() async {
    await #expect(processExitsWith: .success) {
      let gate = Gate()
      let fixture = try gated(gate) { _ in }
      // They wait in the backlog while the server's thread is held up.
      let blocking = try asking(fixture, "/block")
      gate.waitUntilReached()
      let silent = try (0..<200).map { _ in try fixture.connect() }
      let clients = try (0..<20).map { _ in try asking(fixture, "/x") }
      try limitDescriptors(more: 8)
      gate.open()
      #expect(try blocking.status() == 200)
      for client in clients { #expect(try client.status() == 200) }
      withExtendedLifetime(silent) {}
    }
  }

  @Test("With every descriptor in use by requests, the next clients wait until some are free")
  func allDescriptorsServed() async {
    await #expect(processExitsWith: .success) {
      let gate = Gate()
      let held = Locked<[HTTPExchange]>([])
      let fixture = try gated(gate) { exchange in held.withLock { $0.append(exchange) } }
      let blocking = try asking(fixture, "/block")
      gate.waitUntilReached()
      let clients = try (0..<20).map { _ in try asking(fixture, "/hold") }
      try limitDescriptors(more: 8)
      gate.open()
      #expect(try blocking.status() == 200)
      while held.value.count < 8 { Clock.pause(milliseconds: 1) }
      var served = 0
      while served < 20 {
        let exchanges = held.withLock { held in
          defer { held = [] }
          return held
        }
        served += exchanges.count
        for exchange in exchanges { exchange.respond(HTTPResponse(status: 204)) }
        Clock.pause(milliseconds: 1)
      }
      for client in clients { #expect(try client.status() == 204) }
    }
  }

  @Test(
    "10 000 silent connections keep nobody from an answer, and memory is bounded",
    .shippedPrograms("memory is the sanitizer's"))
  func tenThousand() async {
    let observed: [any PartialKeyPath<ExitTest.Result> & Sendable] = [\.standardOutputContent]
    let result = await #expect(processExitsWith: .success, observing: observed) {
      let fixture = try ServerFixture(HTTPServer.Options())
      let count = min(10_000, try raisedDescriptorLimit() - 2000)
      let before = residentBytes()
      let silent = try (0..<count).map { _ in try connectPatiently(fixture.socket) }
      let start = KernelClock.monotonic
      let peer = try connectPatiently(fixture.socket)
      try peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
      #expect(try peer.status() == 200)
      let milliseconds = (KernelClock.monotonic - start) / 1_000_000
      let growth = (residentBytes() - before) >> 10
      let figure = "figure: HTTP answer beside \(count) silent connections \(milliseconds) ms\n"
      try Descriptor.writeAll(1, bytes(figure), deadline: .never)
      // Far more than it takes, for a machine that is busy with other tests.
      precondition(milliseconds < 5000 * UInt64(Program.patience))
      // Both ends of them are here.
      precondition(growth < 16 << 10, "grown by \(growth) KiB")
      withExtendedLifetime(silent) {}
    }
    print(String(decoding: result?.standardOutputContent ?? [], as: UTF8.self))
  }

  @Test("Exchanges of all kinds leave no descriptor behind")
  func noLeak() async {
    await #expect(processExitsWith: .success) {
      let fixture = try ServerFixture()
      let before = try await settledDescriptors(fixture)
      try await onThread {
        for number in 0..<300 {
          let peer = try fixture.connect()
          switch number % 4 {
          case 0: try peer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
          case 1: try peer.send("POST / HTTP/1.1\r\n")
          case 2: try peer.send("nonsense\r\n\r\n")
          default: break
          }
        }
      }
      _ = try await fixture.get("/x")
      // The server closes the last ones a moment later.
      let isClean = try await becomes { try openDescriptors() <= before }
      let after = try openDescriptors()
      precondition(isClean, "\(before) descriptors before, \(after) after")
    }
  }
}

/// The descriptors of this process after the server has served one more request.
private func settledDescriptors(_ fixture: ServerFixture) async throws -> Int {
  _ = try await fixture.get("/x")
  return try await onThread {
    var last = -1
    while true {
      let count = try openDescriptors()
      if count == last { return count }
      last = count
      Clock.pause(milliseconds: 50)
    }
  }
}

private func openDescriptors() throws -> Int { try Files.list("/proc/self/fd").count }

/// Connects, again while the backlog is full.
private func connectPatiently(_ socket: String) throws -> Peer {
  while true {
    do throws(SystemError) {
      return Peer(try UnixSocket.connect(socket))
    } catch {
      if error.errno != .again { throw error }
      Clock.pause(milliseconds: 1)
    }
  }
}

/// A client that has sent a GET.
private func asking(_ fixture: ServerFixture, _ path: String) throws -> Peer {
  let peer = try fixture.connect()
  try peer.send("GET \(path) HTTP/1.1\r\nHost: a\r\n\r\n")
  return peer
}

/// Holds up a thread until it is opened.
private final class Gate: Sendable {
  private let isReached = Locked(false)
  private let isOpen = Locked(false)

  func open() { isOpen.withLock { $0 = true } }

  func pass() {
    isReached.withLock { $0 = true }
    while !isOpen.value { Clock.pause(milliseconds: 1) }
  }

  func waitUntilReached() {
    while !isReached.value { Clock.pause(milliseconds: 1) }
  }
}

/// A server whose thread is held up by `/block` until the gate opens, and whose `/hold`
/// is up to the test.
private func gated(
  _ gate: Gate, hold: @escaping @Sendable (HTTPExchange) -> Void
) throws -> ServerFixture {
  try ServerFixture { exchange in
    switch exchange.request.path {
    case "/hold": hold(exchange)
    case "/block":
      gate.pass()
      echo(exchange)
    default: echo(exchange)
    }
  }
}

/// Allows this process so many descriptors more than it has.
private func limitDescriptors(more: Int) throws {
  let highest = try Files.list("/proc/self/fd").compactMap { Int($0) }.sorted().dropLast().last ?? 0
  var limit = rlimit()
  limit.rlim_cur = rlim_t(highest + 1 + more)
  limit.rlim_max = limit.rlim_cur
  _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
}

private func residentBytes() -> Int {
  let pages = String(
    decoding: (try? Files.read("/proc/self/statm")) ?? [], as: UTF8.self
  ).split(separator: " ").dropFirst().first
  return (pages.flatMap { Int($0) } ?? 0) * 4096
}

/// This process's limit of descriptors, raised as far as it may.
private func raisedDescriptorLimit() throws -> Int {
  var limit = rlimit()
  _ = unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  limit.rlim_cur = limit.rlim_max
  _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
  return Int(clamping: limit.rlim_cur)
}
