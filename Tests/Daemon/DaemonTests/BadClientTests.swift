import CNI
import Linux
import Testing
import TestSupport

@Suite("Server: bad clients disturb nobody")
struct BadClientTests {
  private let plugin = RecordingPlugin()

  /// Connections that stay open, each after sending some bytes.
  private static func connections(
    _ count: Int, _ socket: String, sending bytes: [UInt8]
  ) throws -> [Connection] {
    try (0..<count).map { _ in
      let connection = Connection(try UnixSocket.connect(socket))
      if !bytes.isEmpty { _ = try Descriptor.send(connection.socket.rawValue, bytes) }
      return connection
    }
  }

  private final class Connection: Sendable {
    let socket: FileDescriptor
    init(_ socket: consuming FileDescriptor) { self.socket = socket }
  }

  @Test(
    "300 clients that send nothing, or a part of a request, keep nobody waiting",
    arguments: [
      "", "POST", "POST /cni HTTP/1.1\r\nHost: dum",
      "POST /cni HTTP/1.1\r\nContent-Length: 90\r\n\r\n{",
      "POST /cni HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ])
  func silent(sent: String) async throws {
    let daemon = try TestDaemon([plugin])
    let socket = daemon.socket
    let open = try await onThread {
      try Self.connections(300, socket, sending: Array(sent.utf8))
    }
    for _ in 0..<3 { #expect(try await daemon.send(CNICall("CHECK")).status == 200) }
    #expect(try await daemon.send("GET", "/healthz").status == 200)
    #expect(open.count == 300)
  }

  @Test("100 MB are refused long before they are read, and others are served meanwhile")
  func tooMuch() async throws {
    let daemon = try TestDaemon([plugin])
    let socket = daemon.socket
    let sent = Watched(0)
    let flood = Task {
      try await onThread { () throws -> RawHTTP.Response in
        let head = "POST /cni HTTP/1.1\r\nHost: dummy\r\nContent-Length: 104857600\r\n\r\n"
        return try Self.flood(socket, head, [UInt8](repeating: 0x20, count: 65_536), 1600, sent)
      }
    }
    #expect(try await daemon.send(CNICall()).status == 200)
    let answer = try await flood.value
    #expect(answer.status == 413)
    #expect(try await daemon.send(CNICall("DEL")).status == 200)
  }

  @Test("100 MB in chunks, without saying so before, are refused at the limit")
  func tooMuchInChunks() async throws {
    let daemon = try TestDaemon([plugin])
    let socket = daemon.socket
    let sent = Watched(0)
    let flood = Task {
      try await onThread { () throws -> RawHTTP.Response in
        let head = "POST /cni HTTP/1.1\r\nHost: dummy\r\nTransfer-Encoding: chunked\r\n\r\n"
        let chunk = Array("10000\r\n".utf8) + [UInt8](repeating: 0x20, count: 65_536) + [13, 10]
        return try Self.flood(socket, head, chunk, 1600, sent)
      }
    }
    #expect(await sent.reaches { $0 > 4 << 20 })
    #expect(try await daemon.send(CNICall()).status == 200)
    let answer = try await flood.value
    #expect(answer.status == 413)
    #expect(try await daemon.send(CNICall("DEL")).status == 200)
  }

  /// Sends a head and then pieces until the server has had enough; gives its answer.
  private static func flood(
    _ socket: String, _ head: String, _ piece: [UInt8], _ count: Int, _ sent: Watched<Int>
  ) throws -> RawHTTP.Response {
    let deadline = Deadline.after(milliseconds: patience)
    let connection = try UnixSocket.connect(socket)
    var answer: [UInt8] = []
    var hasEnded = false
    /// Takes what has been answered so far.
    func read() throws {
      do throws(SystemError) {
        hasEnded = try Descriptor.read(connection.rawValue, into: &answer) == 0
      } catch {
        if error.errno != .again { hasEnded = true }
      }
    }
    try Descriptor.sendAll(connection.rawValue, Array(head.utf8), deadline: deadline)
    for _ in 0..<count where !hasEnded && answer.isEmpty {
      do throws(SystemError) {
        try Descriptor.sendAll(connection.rawValue, piece, deadline: deadline)
        sent.change { $0 += piece.count }
      } catch {
        guard error.errno == .brokenPipe || error.errno == .connectionReset else { throw error }
        break
      }
      try read()
    }
    while !hasEnded {
      try deadline.wait(connection.rawValue, for: .read, "read")
      try read()
    }
    return try RawHTTP.parse(answer)
  }

  @Test("a DEL whose client hangs up before its answer is served all the same")
  func hangUp() async throws {
    let daemon = try TestDaemon([plugin])
    let (socket, bytes) = (daemon.socket, CNICall("DEL").bytes)
    try await onThread {
      let connection = try UnixSocket.connect(socket)
      try Descriptor.sendAll(connection.rawValue, bytes, deadline: soon)
    }
    #expect(await plugin.hasCalls(.delete))
    #expect(try await daemon.send(CNICall("DEL")).status == 200)
  }

  @Test("a client that is not root gets 403 and reaches no plugin")
  func notRoot() async throws {
    let daemon = try TestDaemon([plugin])
    // The file's own permissions would keep it out already.
    try Files.setPermissions(daemon.directory.path, 0o777)
    try Files.setPermissions(daemon.directory("run"), 0o777)
    try Files.setPermissions(daemon.socket, 0o777)
    let curl = [
      "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-s", "-o", "-", "-w",
      "%{http_code}", "--unix-socket", daemon.socket, "-d", "{}", "http://dummy/cni",
    ]
    var result = try await Program.run(curl)
    // The server does not wait long for a client that it has refused: 000 is no answer.
    for _ in 0..<20 where result.text == "000" { result = try await Program.run(curl) }
    #expect(result.text == "403", "\(result)")
    #expect(plugin.calls.value.isEmpty)
  }

  @Test(
    "nonsense instead of HTTP is answered and closed",
    arguments: ["\u{0}\u{1}\r\n\r\n", "GET\r\n\r\n", "{}\r\n\r\n"])
  func nonsense(text: String) async throws {
    let daemon = try TestDaemon([plugin])
    let socket = daemon.socket
    let answer = try await onThread {
      try RawHTTP.parse(RawHTTP.exchange(Array(text.utf8), socket))
    }
    #expect(answer.status == 400)
    #expect(try await daemon.send("GET", "/healthz").status == 200)
  }
}
