import Addresses
import HTTP
import Linux
import TestSupport

/// A server on a Unix socket (and on TCP if asked) that runs on a thread of its own.
final class ServerFixture: Sendable {
  let server: HTTPServer
  let socket: String
  /// Where it also listens.
  let port: UInt16?
  private let directory: TemporaryDirectory
  private let ended = Locked(false)

  /// Its thread waits at the door, if there is one, before it serves anybody.
  init(
    _ options: HTTPServer.Options = patient, rootPeersOnly: Bool = true,
    tcp: Bool = false, behind door: Door? = nil,
    handler: @escaping @Sendable (HTTPExchange) -> Void = echo
  ) throws {
    directory = try TemporaryDirectory()
    socket = directory("http.sock")
    let server = try HTTPServer(options: options, handler: handler)
    self.server = server
    try server.add(listener: UnixSocket.listen(socket), rootPeersOnly: rootPeersOnly)
    if tcp {
      let listener = try TCPSocket.listen(IPAddress(v4: 0x7F00_0001), port: 0)
      port = try TCPSocket.port(of: listener)
      try server.add(listener: listener, rootPeersOnly: rootPeersOnly)
    } else {
      port = nil
    }
    let ended = ended
    try OSThread.start {
      door?.pass()
      try? server.run()
      ended.withLock { $0 = true }
    }
  }

  deinit { server.stop(within: 0) }

  /// Whether `run` has returned.
  var hasEnded: Bool { ended.value }

  /// One GET by a client of its own.
  func get(_ path: String, within milliseconds: Int = 60_000) async throws -> RawHTTP.Response {
    let socket = socket
    return try await onThread { try RawHTTP.get(path, socket, within: milliseconds) }
  }

  /// Connects and does nothing more.
  func connect() throws -> Peer { try Peer(UnixSocket.connect(socket)) }
}

/// Times that a busy machine does not reach: a test that is about a time sets it.
let patient: HTTPServer.Options = {
  var options = HTTPServer.Options()
  options.headTime = 60_000
  options.requestTime = 60_000
  options.lingerTime = 60_000
  return options
}()

/// Answers at once with the method, the path and the body.
let echo: @Sendable (HTTPExchange) -> Void = { exchange in
  exchange.respond(
    HTTPResponse(
      status: 200,
      body: Array("\(exchange.request.method) \(exchange.request.path) ".utf8)
        + exchange.request.body))
}

/// The other end of a connection, written and read by hand; its calls block.
final class Peer: Sendable {
  private let socket: FileDescriptor

  init(_ socket: consuming FileDescriptor) { self.socket = socket }

  /// The descriptor's number.
  var descriptor: Int32 { socket.rawValue }

  func send(_ text: String) throws { try send(bytes(text)) }

  func send(_ bytes: [UInt8]) throws {
    try Descriptor.sendAll(
      socket.rawValue, bytes, deadline: .after(milliseconds: 60_000))
  }

  /// Ends its own writing and goes on reading.
  func endWriting() throws { try Descriptor.endWriting(socket.rawValue) }

  /// Everything until the server closes; a reset counts as an end.
  func readToEnd(within milliseconds: Int = 60_000) throws -> [UInt8] {
    let deadline = Deadline.after(milliseconds: milliseconds)
    var all: [UInt8] = []
    while true {
      try deadline.wait(socket.rawValue, for: .read, "read")
      do throws(SystemError) {
        if try Descriptor.read(socket.rawValue, into: &all) == 0 { return all }
      } catch {
        if error.errno == .connectionReset { return all }
        if error.errno != .again { throw error }
      }
    }
  }

  /// The status of the answer, nil if the server closed without a word.
  func status(within milliseconds: Int = 60_000) throws -> Int? {
    let answer = try readToEnd(within: milliseconds)
    return answer.isEmpty ? nil : try RawHTTP.parse(answer).status
  }

  /// Waits until bytes are there to read, and leaves them.
  func waitForBytes() throws {
    try Deadline.after(milliseconds: 60_000).wait(socket.rawValue, for: .read, "wait")
  }
}
