/// Reads one answer from pieces of any size.
///
/// Interim (1xx) answers are passed over. Bytes behind the end of the answer are ignored, and the
/// end is known without the server closing, unless the answer states no length at all. Where the
/// pieces were cut never changes the outcome. After an error every call throws it again.
public struct HTTPResponseParser: Sendable {
  /// How far the answer has come.
  public enum Phase: Sendable, Equatable {
    /// Not a single byte: the request may never have been read.
    case waiting
    /// In the status line or the header fields.
    case head
    case body
    case complete
  }

  /// How far the answer has come.
  public private(set) var phase = Phase.waiting

  private enum Stage { case startLine, fields, body }

  private let limits: HTTPLimits
  private let toHead: Bool
  private var stage = Stage.startLine
  private var lines = LineReader()
  private var fields: FieldReader
  private var body: BodyReader
  private var status = (code: 0, minorVersion: 1)
  private var interimLeft = 16
  private var failure: HTTPError?

  /// Creates a parser for one answer.
  ///
  /// - Parameters:
  ///   - limits: how much is read.
  ///   - toHead: whether the request was `HEAD`, whose answer has no body.
  public init(limits: HTTPLimits = .client, toHead: Bool = false) {
    self.limits = limits
    self.toHead = toHead
    fields = FieldReader(limits: limits)
    body = BodyReader(.none, limits: limits)
  }

  /// Reads a piece.
  ///
  /// - Returns: the answer with the call that completes it, otherwise `nil`.
  public mutating func feed(_ bytes: [UInt8]) throws(HTTPError) -> HTTPResponse? {
    try feed(bytes[...])
  }

  /// Reads a piece of a larger buffer; see `feed(_:)` for an array.
  public mutating func feed(_ bytes: ArraySlice<UInt8>) throws(HTTPError) -> HTTPResponse? {
    if let failure { throw failure }
    if phase == .complete || bytes.isEmpty { return nil }
    if phase == .waiting { phase = .head }
    do throws(HTTPError) {
      return try read(bytes)
    } catch {
      failure = error
      throw error
    }
  }

  /// Says that the connection has ended.
  ///
  /// - Returns: the answer if the end of the connection was its end; `nil` if it was
  ///   returned before.
  /// - Throws: `cut` if the answer is not complete; `phase` tells whether it had begun.
  public mutating func finish() throws(HTTPError) -> HTTPResponse? {
    if let failure { throw failure }
    if phase == .complete { return nil }
    if stage == .body && body.endsWithConnection { return complete() }
    let error = HTTPError(.cut)
    failure = error
    throw error
  }

  private mutating func read(_ bytes: ArraySlice<UInt8>) throws(HTTPError) -> HTTPResponse? {
    var input = bytes
    while stage != .body {
      if stage == .startLine {
        let line = try lines.take(
          from: &input, limit: limits.startLine, tooLong: .startLineTooLong)
        guard let line else { return nil }
        let parsed = try StatusLine(line.bytes)
        status = (parsed.status, parsed.minorVersion)
        stage = .fields
      }
      guard try fields.read(&input, keep: true) else { return nil }
      try endHead()
    }
    try body.read(&input, trailers: &fields)
    return body.isComplete ? complete() : nil
  }

  /// Decides what follows the empty line.
  private mutating func endHead() throws(HTTPError) {
    if status.code < 200 {
      guard status.code != 101, interimLeft > 0 else { throw HTTPError(.unexpectedInterim) }
      interimLeft -= 1
      fields.forgetFields()
      stage = .startLine
      return
    }
    if toHead || status.code == 204 || status.code == 304 {
      body = BodyReader(.none, limits: limits)
    } else {
      let length = try BodyLength(
        headers: fields.headers, minorVersion: status.minorVersion, unstated: .untilEnd,
        limit: limits.body)
      body = BodyReader(length, limits: limits)
    }
    stage = .body
    phase = .body
  }

  private mutating func complete() -> HTTPResponse {
    phase = .complete
    let response = HTTPResponse(status: status.code, headers: fields.headers, body: body.body)
    // The bytes have one owner from here on.
    body = BodyReader(.none, limits: limits)
    fields = FieldReader(limits: limits)
    return response
  }
}
