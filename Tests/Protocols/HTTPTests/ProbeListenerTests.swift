import HTTP
import Linux
import TestSupport
import Testing

@Suite("A listener for probes beside one for calls")
struct ProbeListenerTests {
  private let fixture: ServerFixture
  private let directory: TemporaryDirectory
  private var socket: String { directory("probes.sock") }

  init() throws {
    var options = patient
    options.maximumConnections = 3
    options.maximumProbes = 2
    fixture = try ServerFixture(options)
    directory = try TemporaryDirectory()
    try fixture.server.add(
      listener: UnixSocket.listen(directory("probes.sock")), rootPeersOnly: false,
      isForProbes: true)
  }

  private func probe() throws -> Peer { try Peer(UnixSocket.connect(socket)) }

  @Test("However many connect there, nobody who calls is closed or waits")
  func crowd() async throws {
    let calling = try (0..<3).map { _ in try fixture.connect() }
    try await onThread { for peer in calling { try peer.send("GET /a HTTP/1.1\r\n") } }
    let crowd = try (0..<100).map { _ in try probe() }
    // The last one came after all the others.
    let last = try probe()
    let answered = try await onThread {
      try last.send("GET /p HTTP/1.1\r\nHost: a\r\n\r\n")
      return try last.status()
    }
    #expect(answered == 200)
    let calls = try await onThread {
      try calling.map { peer in
        try peer.send("Host: a\r\n\r\n")
        return try peer.status()
      }
    }
    #expect(calls == [200, 200, 200])
    // The oldest of their own kind have gone.
    #expect(try await onThread { try crowd[0].status() } == nil)
  }

  @Test("A body of more than 4 KiB is refused there and taken elsewhere")
  func body() async throws {
    let request = "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n"
    let filling = String(repeating: "x", count: 5000)
    let (one, other) = (try probe(), try fixture.connect())
    let statuses = try await onThread {
      try [one, other].map { peer in
        try peer.send(request + filling)
        return try peer.status()
      }
    }
    #expect(statuses == [413, 200])
  }
}
