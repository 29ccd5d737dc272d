public import JSON
import Linux

/// HTTP over a Unix socket, composed and read here and not by the modules under test.
public enum RawHTTP {
  /// An answer.
  public struct Response: Sendable, CustomStringConvertible {
    /// The status code.
    public let status: Int
    /// Header fields in their order, names in lower case.
    public let headers: [(name: String, value: String)]
    /// The bytes after the head, as they came.
    public let body: [UInt8]

    /// The body as text.
    public var text: String { String(decoding: body, as: UTF8.self) }
    /// The body as JSON, nil if it is none.
    public var json: JSONValue? { try? JSONValue.parse(body) }
    /// The member `msg` of an error.
    public var message: String? { json?["msg"]?.string }
    /// The member `code` of an error.
    public var code: Int? { json?["code"]?.int }
    /// The value of a header field, by its name in lower case.
    public func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    /// Status and body.
    public var description: String { "\(status): \(text)" }
  }

  /// Sends bytes and reads until the other side closes.
  ///
  /// - Parameters:
  ///   - bytes: what is sent, as it is.
  ///   - socket: the Unix socket's path.
  ///   - milliseconds: how long all of it may take.
  /// - Returns: all that was answered; empty if the other side closed without a word.
  /// - Throws: when nobody listens or the other side neither answers nor closes in time.
  public static func exchange(
    _ bytes: [UInt8], _ socket: String, within milliseconds: Int = 60_000
  ) throws -> [UInt8] {
    let deadline = Deadline.after(milliseconds: milliseconds)
    let connection = try UnixSocket.connect(socket)
    do throws(SystemError) {
      try Descriptor.sendAll(connection.rawValue, bytes, deadline: deadline)
    } catch {
      // It may refuse before it has read everything; then its answer counts.
      if error.errno != .brokenPipe, error.errno != .connectionReset { throw error }
    }
    var answer: [UInt8] = []
    while true {
      try deadline.wait(connection.rawValue, for: .read, "wait for the answer")
      do throws(SystemError) {
        if try Descriptor.read(connection.rawValue, into: &answer) == 0 { return answer }
      } catch {
        if error.errno == .connectionReset { return answer }
        if error.errno != .again { throw error }
      }
    }
  }

  /// Reads an answer's head and body.
  public static func parse(_ bytes: [UInt8]) throws -> Response {
    let end = Array("\r\n\r\n".utf8)
    var position = 0
    while position + 4 <= bytes.count, Array(bytes[position..<position + 4]) != end {
      position += 1
    }
    guard position + 4 <= bytes.count else {
      throw TestError("no head in the answer: \(String(decoding: bytes, as: UTF8.self))")
    }
    let lines = String(decoding: bytes[..<position], as: UTF8.self).split(separator: "\r\n")
    let words = (lines.first ?? "").split(separator: " ")
    guard words.count >= 2, words[0] == "HTTP/1.1", let status = Int(words[1]) else {
      throw TestError("no status line: \(lines.first ?? "")")
    }
    let headers = lines.dropFirst().map { line -> (name: String, value: String) in
      let parts = line.split(separator: ":", maxSplits: 1)
      return (
        parts.first?.lowercased() ?? "",
        parts.count > 1 ? String(parts[1].drop { $0 == " " }) : ""
      )
    }
    return Response(status: status, headers: headers, body: Array(bytes[(position + 4)...]))
  }

  /// One request; blocks.
  public static func send(
    _ method: String, _ path: String, _ body: [UInt8], _ socket: String,
    within milliseconds: Int = 60_000
  ) throws -> Response {
    var head = "\(method) \(path) HTTP/1.1\r\nHost: dummy\r\n"
    if method != "GET" { head += "Content-Length: \(body.count)\r\n" }
    return try parse(
      exchange(Array((head + "\r\n").utf8) + body, socket, within: milliseconds))
  }

  /// One GET; blocks.
  public static func get(
    _ path: String, _ socket: String, within milliseconds: Int = 60_000
  ) throws -> Response {
    try send("GET", path, [], socket, within: milliseconds)
  }
}
