public import Linux

/// Why there is no complete answer, told apart by how far the exchange came.
public struct HTTPClientError: Error, Equatable, Sendable, CustomStringConvertible {
  /// How far the exchange came.
  public enum Phase: Equatable, Sendable {
    /// No connection: nothing was sent.
    ///
    /// `noEntry` and `connectionRefused`: nobody listens; `again`: a Unix socket's backlog is full;
    /// `timedOut`: the deadline passed.
    case connect(Errno)
    /// The connection ended before the first byte of an answer: the request may have
    /// been carried out.
    case noAnswer
    /// The connection ended in the middle of the answer.
    case cut
    /// The answer breaks a rule or a limit.
    case malformed(HTTPError)
    /// The deadline passed; `answerStarted` tells whether a byte of the answer had come.
    case deadline(answerStarted: Bool)
    /// The deadline's cancellation was used.
    case cancelled
    /// A system call failed that has nothing to do with the server.
    case failed(SystemError)
  }

  /// How far the exchange came.
  public let phase: Phase
  /// With whom.
  public let endpoint: HTTPEndpoint

  /// Creates an error.
  public init(_ phase: Phase, endpoint: HTTPEndpoint) {
    self.phase = phase
    self.endpoint = endpoint
  }

  /// One line: what failed, with whom, and why.
  public var description: String {
    switch phase {
    case .connect(let errno): "connect \(endpoint): \(errno)"
    case .noAnswer: "\(endpoint): the connection ended before an answer came"
    case .cut: "\(endpoint): the connection ended in the middle of the answer"
    case .malformed(let error): "\(endpoint): the answer is not acceptable: \(error)"
    case .deadline(answerStarted: false): "\(endpoint): no answer in time"
    case .deadline(answerStarted: true): "\(endpoint): the answer was not complete in time"
    case .cancelled: "\(endpoint): cancelled"
    case .failed(let error): "\(endpoint): \(error)"
    }
  }
}
