/// Why a peer's bytes are not an acceptable HTTP message.
///
/// It names the rule and never repeats what the peer sent.
public struct HTTPError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The rule that was broken.
  public enum Reason: Sendable, Equatable, CaseIterable {
    /// The request line is longer than `HTTPLimits.startLine`.
    case startLineTooLong
    /// The request line is not `METHOD target HTTP/1.x`, or the status line not
    /// `HTTP/1.x NNN reason`.
    case malformedStartLine
    /// The version is a well-formed one other than 1.x.
    case unsupportedVersion
    /// The field lines are longer than `HTTPLimits.headerBytes`.
    case headersTooLarge
    /// There are more field lines than `HTTPLimits.headerCount`.
    case tooManyHeaders
    /// A field line is not `name: value`, or continues the one before it.
    case malformedHeader
    /// A request of HTTP/1.1 has no `Host`, or any request has two.
    case badHost
    /// `Content-Length` is not a number, or is repeated with another value.
    case badContentLength
    /// `Content-Length` and `Transfer-Encoding` came together, or the latter with HTTP/1.0.
    case conflictingLength
    /// The transfer encoding is not just `chunked`.
    case unsupportedTransferEncoding
    /// A chunk's size line or end is not what RFC 9112, 7.1 says.
    case malformedChunk
    /// The body is, or says that it is, longer than `HTTPLimits.body`.
    case bodyTooLarge
    /// The connection ended inside a message.
    case cut
    /// A server sent more interim (1xx) answers than anybody needs, or switched protocols.
    case unexpectedInterim
    /// The peer took longer than it may (a server's answer to a slow client).
    case tooSlow
  }

  /// The rule that was broken.
  public let reason: Reason

  /// Makes the error for a broken rule.
  public init(_ reason: Reason) { self.reason = reason }

  /// The status with which a server answers such a request.
  public var status: Int {
    switch reason {
    case .startLineTooLong: 414
    case .headersTooLarge, .tooManyHeaders: 431
    case .bodyTooLarge: 413
    case .unsupportedVersion: 505
    case .unsupportedTransferEncoding: 501
    case .tooSlow: 408
    default: 400
    }
  }

  /// One sentence without a full stop.
  public var description: String {
    switch reason {
    case .startLineTooLong: "the first line is too long"
    case .malformedStartLine: "the first line is malformed"
    case .unsupportedVersion: "the HTTP version is not 1.x"
    case .headersTooLarge: "the header is too large"
    case .tooManyHeaders: "the header has too many fields"
    case .malformedHeader: "a header field is malformed"
    case .badHost: "the Host field is missing or repeated"
    case .badContentLength: "Content-Length is not one number"
    case .conflictingLength: "the length is given in two ways"
    case .unsupportedTransferEncoding: "the transfer encoding is not chunked"
    case .malformedChunk: "a chunk is malformed"
    case .bodyTooLarge: "the body is too large"
    case .cut: "the message was cut off"
    case .unexpectedInterim: "an unexpected interim answer"
    case .tooSlow: "the message took too long"
    }
  }
}
