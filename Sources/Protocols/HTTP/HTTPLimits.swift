/// How much of a peer's message is read before the peer is refused.
public struct HTTPLimits: Sendable, Equatable {
  /// Bytes of the request or status line without its line end.
  public var startLine: Int
  /// Bytes of all field lines together, line ends and trailers included.
  public var headerBytes: Int
  /// Number of field lines, trailers included.
  public var headerCount: Int
  /// Bytes of the body after chunks are joined.
  public var body: Int

  /// Creates limits; each has a default that suits a server.
  public init(
    startLine: Int = 8 * 1024, headerBytes: Int = 64 * 1024, headerCount: Int = 100,
    body: Int = 16 * 1024 * 1024
  ) {
    self.startLine = startLine
    self.headerBytes = headerBytes
    self.headerCount = headerCount
    self.body = body
  }

  /// For a server that reads requests: a body of at most 16 MiB.
  public static let server = HTTPLimits()
  /// For a server that is asked for health, by anybody.
  public static let probe = HTTPLimits(headerBytes: 16 * 1024, body: 4 * 1024)
  /// For a client that reads answers: a body of at most 64 MiB.
  public static let client = HTTPLimits(body: 64 * 1024 * 1024)
}
