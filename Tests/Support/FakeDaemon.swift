public import JSON
import Linux

/// A daemon that answers by script, byte by byte, on a real Unix socket; what the shim makes
/// of it is the test.
///
/// `/healthz` and `/readyz` are answered with 200 unless told otherwise and are not counted.
public final class FakeDaemon: Sendable {
  /// What the next call is answered with.
  public enum Answer: Sendable {
    /// A whole, correct answer.
    case response(Int, [UInt8], type: String = "application/json")
    /// These bytes, then the connection is closed.
    case bytes([UInt8])
    /// These bytes; the connection stays open as long as the client likes.
    case keepingOpen([UInt8])
    /// Nothing; the connection stays open.
    case silence
    /// Nothing; the connection is closed when the request has come.
    case close
  }

  /// A request as it came.
  public struct Request: Sendable {
    /// All of its bytes.
    public let bytes: [UInt8]
    /// The request line.
    public let line: String
    /// Header fields, names in lower case; of equal ones the last.
    public let headers: [String: String]
    /// The body.
    public let body: [UInt8]
    /// When it had come, CLOCK_MONOTONIC in milliseconds.
    public let milliseconds: UInt64

    /// The body as JSON, nil if it is none.
    public var json: JSONValue? { try? JSONValue.parse(body) }
    /// The second word of the request line.
    public var path: String { line.split(separator: " ").dropFirst().first.map(String.init) ?? "" }
  }

  private struct State: Sendable {
    var answers: [Answer]
    var probes: Int
    var requests: [Request] = []
    var probed: [Request] = []
  }

  private let state: Locked<State>
  private let stopping: Cancellation
  private let socket: String

  /// Starts to listen.
  ///
  /// - Parameters:
  ///   - socket: the path, in a directory that exists.
  ///   - answers: what the calls get, one after the other; the last one is repeated.
  ///   - probes: the status that `/healthz` and `/readyz` get.
  /// - Throws: when it cannot listen there.
  public init(_ socket: String, _ answers: [Answer], probes: Int = 200) throws {
    let state = Locked(State(answers: answers, probes: probes))
    let stopping = try Cancellation()
    self.state = state
    self.stopping = stopping
    self.socket = socket
    let listener = try UnixSocket.listen(socket).release()
    try OSThread.start {
      let listener = FileDescriptor(adopting: listener)
      let deadline = Deadline(nanoseconds: .max, cancellation: stopping)
      while (try? deadline.wait(listener.rawValue, for: .read, "accept")) != nil {
        guard let accepted = try? Listener.accept(listener) else { continue }
        let connection = accepted.release()
        try? OSThread.start {
          Self.serve(FileDescriptor(adopting: connection), state, deadline)
        }
      }
    }
  }

  deinit {
    stopping.cancel()
    try? Files.remove(socket)
  }

  /// The calls that have come, probes left out.
  public var requests: [Request] { state.value.requests }
  /// The probes that have come.
  public var probes: [Request] { state.value.probed }

  private static func serve(
    _ connection: borrowing FileDescriptor, _ state: Locked<State>, _ deadline: Deadline
  ) {
    guard let request = read(connection, deadline) else { return }
    let answer = state.withLock { state -> Answer in
      if request.path == "/healthz" || request.path == "/readyz" {
        state.probed.append(request)
        return .response(state.probes, [])
      }
      state.requests.append(request)
      return state.answers.count > 1
        ? state.answers.removeFirst() : state.answers.first ?? .close
    }
    switch answer {
    case .response(let status, let body, let type):
      let head =
        "HTTP/1.1 \(status) Fake\r\nContent-Type: \(type)\r\nContent-Length: \(body.count)\r\n"
        + "Connection: close\r\n\r\n"
      write(connection, Array(head.utf8) + body, deadline)
    case .bytes(let bytes): write(connection, bytes, deadline)
    case .keepingOpen(let bytes):
      write(connection, bytes, deadline)
      waitForHangUp(connection, deadline)
    case .silence: waitForHangUp(connection, deadline)
    case .close: break
    }
  }

  private static func write(
    _ connection: borrowing FileDescriptor, _ bytes: [UInt8], _ deadline: Deadline
  ) {
    try? Descriptor.sendAll(connection.rawValue, bytes, deadline: deadline)
  }

  private static func waitForHangUp(
    _ connection: borrowing FileDescriptor, _ deadline: Deadline
  ) {
    var ignored: [UInt8] = []
    while (try? deadline.wait(connection.rawValue, for: .read, "wait")) != nil {
      if (try? Descriptor.read(connection.rawValue, into: &ignored)) == 0 { return }
    }
  }

  /// Reads a request with a Content-Length or no body; nil if it never came whole.
  private static func read(
    _ connection: borrowing FileDescriptor, _ deadline: Deadline
  ) -> Request? {
    var bytes: [UInt8] = []
    while true {
      if let request = parse(bytes) { return request }
      guard (try? deadline.wait(connection.rawValue, for: .read, "read")) != nil,
        let count = try? Descriptor.read(connection.rawValue, into: &bytes), count > 0
      else { return nil }
    }
  }

  private static func parse(_ bytes: [UInt8]) -> Request? {
    let text = String(decoding: bytes, as: UTF8.self)
    guard let end = text.utf8.firstRange(of: "\r\n\r\n".utf8) else { return nil }
    let length = text.utf8.distance(from: text.startIndex, to: end.upperBound)
    let lines = text[..<end.lowerBound].split(separator: "\r\n")
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      guard parts.count == 2 else { continue }
      headers[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
    }
    let expected = headers["content-length"].flatMap(Int.init) ?? 0
    guard bytes.count >= length + expected else { return nil }
    return Request(
      bytes: bytes, line: lines.first.map(String.init) ?? "", headers: headers,
      body: Array(bytes[length...]), milliseconds: KernelClock.monotonic / 1_000_000)
  }
}
