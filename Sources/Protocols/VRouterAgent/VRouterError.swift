import HTTP
public import Linux

/// Why something asked of the vRouter agent, or of its port files, did not come about.
public struct VRouterError: Error, Equatable, Sendable {
  /// What kind of failure it is.
  public enum Reason: Equatable, Sendable {
    /// All tries were used up, or the deadline has passed; the text says what the last one lacked.
    case notReady(String)
    /// The agent has no such pod, with every answer so far; with how often it was asked.
    case unknownPod(String, asked: Int)
    /// One exchange failed; with `refused` nobody listens, so that the agent that was there
    /// has no memory left.
    case unreachable(String, refused: Bool)
    /// The agent refused, in its own words.
    case refused(status: Int, String)
    /// The deadline's cancellation was used.
    case cancelled
    /// The text cannot be a pod's name: not in a path of the agent's, or not in a file's.
    case invalidName(String)
    /// A system call on a port file failed.
    case file(SystemError)
    /// A system call failed that has nothing to do with the agent.
    case failed(SystemError)
  }

  /// What kind of failure it is.
  public let reason: Reason
  /// What was asked, such as `POST /vm`; may be empty.
  public let operation: String

  /// Creates an error.
  public init(_ reason: Reason, operation: String = "") {
    self.reason = reason
    self.operation = operation
  }

  /// Takes over an exchange that failed.
  init(_ error: HTTPClientError, operation: String) {
    switch error.phase {
    case .connect(let errno):
      self.init(
        .unreachable(error.description, refused: errno == .connectionRefused), operation: operation)
    case .noAnswer, .cut, .malformed, .deadline:
      self.init(.unreachable(error.description, refused: false), operation: operation)
    case .cancelled: self.init(.cancelled, operation: operation)
    case .failed(let error): self.init(.failed(error), operation: operation)
    }
  }
}

extension VRouterError: CustomStringConvertible {
  /// One line: what failed and why.
  public var description: String {
    let asked = operation.isEmpty ? "" : " (\(operation))"
    return switch reason {
    case .notReady(let text): "the vRouter agent is not ready\(asked): \(text)"
    case .unknownPod(let name, let count):
      "the vRouter agent knows no pod \"\(name)\"; asked \(count) times"
    case .unreachable(let text, _): "the vRouter agent is not reachable\(asked): \(text)"
    case .refused(let status, let text):
      "the vRouter agent answered \(status)\(asked)" + (text.isEmpty ? "" : ": \(text)")
    case .cancelled: "cancelled\(asked)"
    case .invalidName(let name): "\"\(name)\" cannot be the name of a pod at the vRouter agent"
    case .file(let error): error.description
    case .failed(let error): error.description + asked
    }
  }
}
