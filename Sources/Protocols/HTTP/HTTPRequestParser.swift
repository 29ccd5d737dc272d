/// Reads one request from pieces of any size.
///
/// Bytes behind the end of the request are ignored: the server answers one request per connection.
/// Where the pieces were cut never changes the outcome. After an error every call throws it again.
public struct HTTPRequestParser: Sendable {
  private enum Stage { case startLine, fields, body, complete }

  /// Whether anything has come.
  public private(set) var hasStarted = false

  private let limits: HTTPLimits
  private var stage = Stage.startLine
  private var lines = LineReader()
  private var fields: FieldReader
  private var body: BodyReader
  private var line: (method: String, target: String, minorVersion: Int) = ("", "", 1)
  private var emptyLinesLeft = 4
  private var failure: HTTPError?

  /// Creates a parser for one request.
  public init(limits: HTTPLimits = .server) {
    self.limits = limits
    fields = FieldReader(limits: limits)
    body = BodyReader(.none, limits: limits)
  }

  /// Whether the request line and all header fields have come.
  public var isHeadComplete: Bool { stage == .body || stage == .complete }

  /// Whether the client waits for an interim answer before it sends its body.
  ///
  /// `Expect: 100-continue` (RFC 9110, 10.1.1); curl does so for large bodies.
  public var wantsContinue: Bool {
    guard stage == .body, body.body.isEmpty, line.minorVersion >= 1 else { return false }
    return ASCII.equalIgnoringCase((fields.headers["Expect"] ?? "").utf8, "100-continue".utf8)
  }

  /// Reads a piece.
  ///
  /// - Returns: the request with the call that completes it, otherwise `nil`.
  /// - Throws: the broken rule, with the status to answer.
  public mutating func feed(_ bytes: [UInt8]) throws(HTTPError) -> HTTPRequest? {
    try feed(bytes[...])
  }

  /// Reads a piece of a larger buffer; see `feed(_:)` for an array.
  public mutating func feed(_ bytes: ArraySlice<UInt8>) throws(HTTPError) -> HTTPRequest? {
    if let failure { throw failure }
    if stage == .complete || bytes.isEmpty { return nil }
    hasStarted = true
    do throws(HTTPError) {
      return try read(bytes)
    } catch {
      failure = error
      throw error
    }
  }

  /// Says that the client will send no more.
  ///
  /// - Throws: `cut` if a request has begun and is not complete.
  public mutating func finish() throws(HTTPError) {
    if let failure { throw failure }
    guard stage != .complete, hasStarted else { return }
    let error = HTTPError(.cut)
    failure = error
    throw error
  }

  private mutating func read(_ bytes: ArraySlice<UInt8>) throws(HTTPError) -> HTTPRequest? {
    var input = bytes
    while stage == .startLine {
      guard try readStartLine(&input) else { return nil }
    }
    if stage == .fields {
      guard try fields.read(&input, keep: true) else { return nil }
      try checkHost()
      let length = try BodyLength(
        headers: fields.headers, minorVersion: line.minorVersion, unstated: .none,
        limit: limits.body)
      body = BodyReader(length, limits: limits)
      stage = .body
    }
    try body.read(&input, trailers: &fields)
    guard body.isComplete else { return nil }
    stage = .complete
    let request = HTTPRequest(
      method: line.method, target: line.target, headers: fields.headers, body: body.body)
    // The bytes have one owner from here on.
    body = BodyReader(.none, limits: limits)
    fields = FieldReader(limits: limits)
    return request
  }

  /// Reads the request line, past a few empty lines before it (RFC 9112, 2.2).
  private mutating func readStartLine(_ input: inout ArraySlice<UInt8>) throws(HTTPError) -> Bool {
    let taken = try lines.take(from: &input, limit: limits.startLine, tooLong: .startLineTooLong)
    guard let taken else { return false }
    if taken.bytes.isEmpty && emptyLinesLeft > 0 {
      emptyLinesLeft -= 1
      return true
    }
    let parsed = try RequestLine(taken.bytes)
    line = (parsed.method, parsed.target, parsed.minorVersion)
    stage = .fields
    return true
  }

  private func checkHost() throws(HTTPError) {
    let hosts = fields.headers.all("Host").count
    if hosts > 1 || (hosts == 0 && line.minorVersion >= 1) { throw HTTPError(.badHost) }
  }
}
