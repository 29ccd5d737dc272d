public import Linux

/// A client that opens a connection for each request.
///
/// It stops reading where the answer ends, so it lives with servers that never close, and never
/// sends a second request on a connection. No proxy is ever used.
public struct HTTPClient: Sendable {
  /// Where the server listens.
  public let endpoint: HTTPEndpoint
  /// How much of an answer is read.
  public let limits: HTTPLimits
  /// How long connecting over TCP may take, in milliseconds, however late the deadline is; nil is
  /// as long as that.
  public let connectMilliseconds: Int?

  /// Creates a client; nothing is opened yet.
  public init(
    _ endpoint: HTTPEndpoint, limits: HTTPLimits = .client, connectMilliseconds: Int? = nil
  ) {
    self.endpoint = endpoint
    self.limits = limits
    self.connectMilliseconds = connectMilliseconds
  }

  /// Sends a request and waits for its answer.
  ///
  /// `Host` and `Connection: close` are added where the request has none. An answer that comes
  /// before the whole request was taken counts, as when a server refuses a large body.
  ///
  /// - Parameters:
  ///   - request: what to ask.
  ///   - deadline: for everything, connecting included.
  /// - Returns: the complete answer, whatever its status.
  /// - Throws: how far it came.
  public func send(
    _ request: HTTPRequest, deadline: Deadline
  ) throws(HTTPClientError) -> HTTPResponse {
    var request = request
    if request.headers["Host"] == nil { request.headers.append("Host", endpoint.host) }
    if request.headers["Connection"] == nil { request.headers.append("Connection", "close") }
    let socket = try connect(deadline)
    var exchange = ClientExchange(
      request: request.encoded(),
      parser: HTTPResponseParser(limits: limits, toHead: request.isMethod("HEAD")))
    do throws(ClientExchange.Failure) {
      return try exchange.run(socket.rawValue, deadline: deadline)
    } catch {
      throw HTTPClientError(error.phase, endpoint: endpoint)
    }
  }

  private func connect(_ deadline: Deadline) throws(HTTPClientError) -> FileDescriptor {
    do throws(SystemError) {
      try deadline.check("connect", endpoint.description)
      switch endpoint {
      case .unix(let path): return try UnixSocket.connect(path)
      case .tcp(let address, let port):
        let patience = connectMilliseconds.map { deadline.capped(milliseconds: $0) } ?? deadline
        return try TCPSocket.connect(address, port: port, deadline: patience)
      }
    } catch {
      let phase: HTTPClientError.Phase =
        switch error.errno {
        case .cancelled: .cancelled
        case .tooManyFiles, .tooManyFilesInSystem, .noMemory: .failed(error)
        default: .connect(error.errno)
        }
      throw HTTPClientError(phase, endpoint: endpoint)
    }
  }
}

/// One request and its answer on an open connection.
private struct ClientExchange {
  struct Failure: Error { let phase: HTTPClientError.Phase }

  private let request: [UInt8]
  private var sent = 0
  private var parser: HTTPResponseParser

  init(request: [UInt8], parser: HTTPResponseParser) {
    self.request = request
    self.parser = parser
  }

  /// Writes and reads side by side until the answer is there.
  mutating func run(_ socket: Int32, deadline: Deadline) throws(Failure) -> HTTPResponse {
    var buffer: [UInt8] = []
    while true {
      try write(socket)
      let events: PollEvents = sent < request.count ? [.read, .write] : .read
      do throws(SystemError) {
        try deadline.wait(socket, for: events, "wait for the answer")
      } catch {
        throw failure(error)
      }
      if let response = try read(socket, &buffer) { return response }
    }
  }

  private mutating func write(_ socket: Int32) throws(Failure) {
    guard sent < request.count else { return }
    do throws(SystemError) {
      sent += try Descriptor.send(socket, request, from: sent)
    } catch {
      switch error.errno {
      case .again: return
      // The server takes no more; it may have answered before.
      case .brokenPipe, .connectionReset: sent = request.count
      default: throw failure(error)
      }
    }
  }

  private mutating func read(
    _ socket: Int32, _ buffer: inout [UInt8]
  ) throws(Failure) -> HTTPResponse? {
    buffer.removeAll(keepingCapacity: true)
    let count: Int
    do throws(SystemError) {
      count = try Descriptor.read(socket, into: &buffer, limit: 16_384)
    } catch {
      switch error.errno {
      case .again: return nil
      case .connectionReset, .brokenPipe:
        throw Failure(phase: parser.phase == .waiting ? .noAnswer : .cut)
      default: throw failure(error)
      }
    }
    do throws(HTTPError) {
      if count > 0 { return try parser.feed(buffer) }
      if let response = try parser.finish() { return response }
    } catch {
      guard error.reason == .cut else { throw Failure(phase: .malformed(error)) }
    }
    throw Failure(phase: parser.phase == .waiting ? .noAnswer : .cut)
  }

  private func failure(_ error: SystemError) -> Failure {
    switch error.errno {
    case .timedOut: Failure(phase: .deadline(answerStarted: parser.phase != .waiting))
    case .cancelled: Failure(phase: .cancelled)
    default: Failure(phase: .failed(error))
    }
  }
}
