public import JSON

/// What a scripted request is answered with, and how.
public struct AgentAnswer: Sendable {
  enum Content: Sendable {
    case memory
    case body(status: Int, [UInt8])
    case bytes([UInt8], closing: Bool)
    case truncated(status: Int, [UInt8])
    case drip(seconds: Int)
    case huge(bytes: Int, announced: Bool)
    case hang
    case close
  }

  let content: Content
  var delay = 0
  /// Bytes in a segment, and milliseconds between two.
  var pieces: (size: Int, pause: Int)?

  private init(_ content: Content) { self.content = content }

  /// What the agent knows of itself.
  public static let memory = AgentAnswer(.memory)
  /// 404 `{ Not Found }`.
  public static let notFound = error(404, "{ Not Found }")
  /// 404 as for a path that the agent does not have.
  public static let unknownRequest = error(404, "Unknown Request")
  /// No answer; the connection stays open.
  public static let hang = AgentAnswer(.hang)
  /// No answer; the connection is closed.
  public static let close = AgentAnswer(.close)
  /// A whole head, then the connection is closed.
  public static let closeAfterHead = AgentAnswer(
    .bytes(Array(head(200, 4096).utf8), closing: true))
  /// A correct head, then one byte of the body each second.
  public static let drip = AgentAnswer(.drip(seconds: 1))
  /// Bytes that are not HTTP; the connection stays open.
  public static let garbage = AgentAnswer(
    .bytes((0..<512).map { UInt8(truncatingIfNeeded: $0 &* 167 &+ 13) }, closing: false))

  /// 200 with a list of objects.
  public static func list(_ objects: [JSONValue]) -> AgentAnswer {
    AgentAnswer(.body(status: 200, JSONValue.agentList(objects)))
  }

  /// A whole answer with this text as its body.
  public static func text(_ text: String, status: Int = 200) -> AgentAnswer {
    AgentAnswer(.body(status: status, Array(text.utf8)))
  }

  /// `{"error":TEXT}` with a status.
  public static func error(_ status: Int, _ text: String) -> AgentAnswer {
    AgentAnswer(.body(status: status, errorBody(text)))
  }

  /// These bytes and nothing else.
  public static func bytes(_ bytes: [UInt8], closing: Bool = false) -> AgentAnswer {
    AgentAnswer(.bytes(bytes, closing: closing))
  }

  /// A head that announces all of a list, half of the list, then the connection is closed.
  public static func truncated(_ objects: [JSONValue]) -> AgentAnswer {
    AgentAnswer(.truncated(status: 200, JSONValue.agentList(objects)))
  }

  /// A body of so many bytes.
  ///
  /// - Parameters:
  ///   - bytes: how many.
  ///   - announced: whether the head tells how many; else the body goes on until the
  ///     connection is closed.
  /// - Returns: the answer.
  public static func huge(bytes: Int, announced: Bool) -> AgentAnswer {
    AgentAnswer(.huge(bytes: bytes, announced: announced))
  }

  /// The same, but only after a while.
  public func after(milliseconds: Int) -> AgentAnswer {
    var answer = self
    answer.delay = milliseconds
    return answer
  }

  /// The same in small segments.
  public func split(into size: Int, pause milliseconds: Int = 0) -> AgentAnswer {
    var answer = self
    answer.pieces = (max(size, 1), milliseconds)
    return answer
  }

  /// The head of every answer, byte for byte; the reason phrase is `OK` whatever the status.
  static func head(_ status: Int, _ length: Int?) -> String {
    "HTTP/1.1 \(status) OK\r\nContent-Type: application/json; charset=UTF-8\r\n"
      + (length.map { "Content-Length: \($0)\r\n\r\n" } ?? "\r\n")
  }

  /// A whole answer.
  static func message(_ status: Int, _ body: [UInt8]) -> [UInt8] {
    Array(head(status, body.count).utf8) + body
  }

  static func errorBody(_ text: String) -> [UInt8] {
    let object: JSONValue = ["error": .string(text)]
    return object.encoded(.compact)
  }
}
