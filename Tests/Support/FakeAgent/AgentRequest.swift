public import JSON

/// A request as it came to the agent, and when it was answered.
public struct AgentRequest: Sendable {
  /// `GET`, `POST` or another.
  public let method: String
  /// The path, without a query, undecoded.
  public let path: String
  /// The head byte for byte.
  public let head: String
  /// The body.
  public let body: [UInt8]
  /// Which of the agent's connections it came on, from 1.
  public let connection: Int
  /// When it had come, CLOCK_MONOTONIC in milliseconds.
  public let arrived: UInt64
  /// When the first byte of the answer went out, nil if none has.
  public internal(set) var answering: UInt64?
  /// When the whole answer had gone out, nil if it has not.
  public internal(set) var answered: UInt64?
  /// The answer's status, nil for none.
  public internal(set) var status: Int?

  /// The body as JSON, nil if it is none.
  public var json: JSONValue? { try? JSONValue.parse(body) }
  /// A text of the body's object.
  public func text(_ key: String) -> String? { json?[key]?.string }
  /// `GET /vm-cfg/k8s__default__web-0`.
  public var line: String { "\(method) \(path)" }
  /// The value of a header field, its name in lower case; nil if there is none.
  public func header(_ name: String) -> String? { Self.fields(head)[name] }

  static func fields(_ head: String) -> [String: String] {
    var fields: [String: String] = [:]
    for line in head.split(separator: "\r\n").dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      guard parts.count == 2 else { continue }
      fields[parts[0].lowercased()] = String(parts[1].drop { $0 == " " })
    }
    return fields
  }
}

/// The agent's reading of a connection's bytes.
struct AgentParser {
  /// One request's parts.
  struct Message {
    var method: String
    var target: String
    var head: String
    var body: [UInt8]
  }

  enum Outcome {
    case needsMore
    case malformed
    case message(Message, used: Int)
  }

  /// Looks for one request at the beginning of what has come.
  static func parse(_ bytes: [UInt8]) -> Outcome {
    guard let end = find([13, 10, 13, 10], in: bytes, from: 0) else {
      return isHopeless(bytes) ? .malformed : .needsMore
    }
    let head = String(decoding: bytes[..<(end + 4)], as: UTF8.self)
    let words = (head.split(separator: "\r\n").first ?? "").split(
      separator: " ", omittingEmptySubsequences: false)
    guard words.count == 3, isMethod(words[0]), words[1].hasPrefix("/"),
      words[2] == "HTTP/1.1" || words[2] == "HTTP/1.0"
    else { return .malformed }
    var message = Message(
      method: String(words[0]), target: String(words[1]), head: head, body: [])
    let fields = AgentRequest.fields(head)
    if fields["transfer-encoding"]?.lowercased() == "chunked" {
      switch chunks(bytes, from: end + 4) {
      case .none: return .needsMore
      case .some(.none): return .malformed
      case .some(.some(let (body, used))):
        message.body = body
        return .message(message, used: used)
      }
    }
    let length = fields["content-length"] ?? "0"
    guard let count = Int(length), count >= 0 else { return .malformed }
    guard bytes.count - (end + 4) >= count else { return .needsMore }
    message.body = Array(bytes[(end + 4)..<(end + 4 + count)])
    return .message(message, used: end + 4 + count)
  }

  /// Whether what has come can never become a request.
  private static func isHopeless(_ bytes: [UInt8]) -> Bool {
    if bytes.count > 80 << 10 { return true }
    let word = bytes.prefix { $0 != 32 }
    return word.count > 16 || word.contains { !(65...90).contains($0) }
  }

  private static func isMethod(_ word: Substring) -> Bool {
    ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"].contains(String(word))
  }

  /// A chunked body: nil while it is not whole, inner nil if it is none.
  private static func chunks(_ bytes: [UInt8], from start: Int) -> (([UInt8], Int)?)? {
    var (position, body) = (start, [UInt8]())
    while true {
      guard let end = find([13, 10], in: bytes, from: position) else { return nil }
      let line = String(decoding: bytes[position..<end], as: UTF8.self)
      let text = line.split(separator: ";").first ?? ""
      guard let size = Int(text, radix: 16), (0...(1 << 24)).contains(size) else {
        return .some(nil)
      }
      guard bytes.count >= end + 2 + size + 2 else { return nil }
      body += bytes[(end + 2)..<(end + 2 + size)]
      position = end + 2 + size + 2
      if size == 0 { return .some((body, position)) }
    }
  }

  private static func find(_ wanted: [UInt8], in bytes: [UInt8], from start: Int) -> Int? {
    var position = start
    while position + wanted.count <= bytes.count {
      if bytes[position..<(position + wanted.count)].elementsEqual(wanted) { return position }
      position += 1
    }
    return nil
  }
}
