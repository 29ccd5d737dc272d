import JSON
import Linux
import TestSupport

@testable import OVSDB

/// A server of a test's own, for what the real one never does with its bytes.
///
/// It answers `get_schema` and requests to watch with the example schema and no rows; the test
/// decides about the rest.
final class FakeServer: Sendable {
  /// What it does about a message.
  enum Reaction: Sendable {
    /// Sends these pieces, each with a write of its own.
    case send([[UInt8]])
    /// Ends the connection.
    case end
  }

  let directory: TemporaryDirectory
  /// What it was sent.
  let received = Locked<[JSONValue]>([])
  private let stop: Cancellation

  /// Begins to listen.
  ///
  /// - Parameters:
  ///   - methods: the requests to watch that it knows.
  ///   - react: what to do about anything else; runs on the server's thread.
  /// - Throws: when it cannot listen.
  init(
    methods: [String] = ["monitor_cond"],
    _ react: @escaping @Sendable (JSONValue) -> Reaction = { _ in .send([]) }
  ) throws {
    directory = try TemporaryDirectory()
    stop = try Cancellation()
    let (path, stop, received) = (directory("s"), stop, received)
    let listener = Locked(try UnixSocket.listen(path).release())
    try OSThread.start {
      let listening = FileDescriptor(adopting: listener.value)
      let deadline = Deadline.after(seconds: 300, cancellation: stop)
      while (try? deadline.wait(listening.rawValue, for: .read, "accept")) != nil {
        guard let connection = try? Listener.accept(listening) else { continue }
        Self.serve(connection.rawValue, deadline) { message in
          received.withLock { $0.append(message) }
          return Self.usual(message, methods) ?? react(message)
        }
      }
    }
  }

  deinit { stop.cancel() }

  func client(
    time: ConnectionTime = .patient, log: @escaping @Sendable (OVSDBEvent) -> Void = { _ in }
  ) throws -> OVSDBClient {
    try OVSDBClient(
      .unix(path: directory("s")), database: "Example", monitoring: ["T": ["name", "tag"]],
      time: time, log: log)
  }

  /// An answer that is as it should be.
  static func answer(_ request: JSONValue, _ result: JSONValue) -> [UInt8] {
    (["id": request["id"] ?? .null, "result": result, "error": .null] as JSONValue).bytes
  }

  private static func usual(_ message: JSONValue, _ methods: [String]) -> Reaction? {
    switch message["method"]?.string {
    case "get_schema"?: return .send([answer(message, exampleSchema)])
    case let method? where method.hasPrefix("monitor"):
      let known = methods.contains(method)
      let refusal: JSONValue = ["id": message["id"] ?? .null, "error": "unknown method"]
      return .send([known ? answer(message, [:]) : refusal.bytes])
    default: return nil
    }
  }

  private static func serve(
    _ connection: Int32, _ deadline: Deadline, _ react: (JSONValue) -> Reaction
  ) {
    var splitter = MessageSplitter()
    do {
      while true {
        try deadline.wait(connection, for: .read, "read")
        var bytes: [UInt8] = []
        guard try Descriptor.read(connection, into: &bytes) > 0 else { return }
        var messages: [[UInt8]] = []
        try splitter.feed(bytes[...], into: &messages)
        for message in messages {
          switch react(try JSONValue.parse(message)) {
          case .end: return
          case .send(let pieces):
            for piece in pieces {
              try Descriptor.sendAll(connection, piece, deadline: deadline)
              if pieces.count > 1 { Clock.pause(milliseconds: 1) }
            }
          }
        }
      }
    } catch {
      return
    }
  }
}
