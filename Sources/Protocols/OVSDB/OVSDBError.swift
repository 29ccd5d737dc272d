public import Linux

/// Why something asked of an OVSDB server did not come about.
public enum OVSDBError: Error, Equatable, Sendable {
  /// The text is no address; the second text says why.
  case invalidAddress(String, String)
  /// There is no connection and none could be made: nothing was sent.
  case unreachable(OVSDBAddress, cause: String)
  /// The connection ended between request and answer: the request may have been carried out.
  case interrupted(OVSDBAddress, cause: String)
  /// The server refused.
  ///
  /// - `index`: the operation that it names, counted from 0; nil for the request as a whole, such
  ///   as a constraint that is checked at the end.
  /// - `operation`: that operation in words, empty without one.
  /// - `error`: the server's word (RFC 7047 §3.1), such as `constraint violation`.
  /// - `details`: the server's sentence, may be empty.
  case refused(index: Int?, operation: String, error: String, details: String)
  /// The answer is not what the protocol says it is: the request may have been carried out.
  case malformed(OVSDBAddress, String)
  /// The time was over, doing this; a request that was sent may have been carried out.
  case timedOut(String)
  /// The deadline's cancellation was used, doing this; a request that was sent may have
  /// been carried out.
  case cancelled(String)
  case closed
  /// A system call failed that has nothing to do with the server.
  case failed(SystemError)

  /// Takes over a wait that did not end as hoped.
  init(_ error: SystemError, _ doing: String) {
    switch error.errno {
    case .timedOut: self = .timedOut(doing)
    case .cancelled: self = .cancelled(doing)
    default: self = .failed(error)
    }
  }
}

extension OVSDBError: CustomStringConvertible {
  /// One line: what failed, with whom, and why.
  public var description: String {
    switch self {
    case .invalidAddress(let text, let reason): "OVSDB address \"\(text)\": \(reason)"
    case .unreachable(let address, let cause): "OVSDB at \(address) is not reachable: \(cause)"
    case .interrupted(let address, let cause):
      "OVSDB at \(address): the connection ended before the answer: \(cause)"
    case .refused(_, let operation, let error, let details):
      "OVSDB refused\(operation.isEmpty ? "" : " \(operation)"): \(error)"
        + (details.isEmpty ? "" : ": \(details)")
    case .malformed(let address, let reason):
      "OVSDB at \(address): the answer is not acceptable: \(reason)"
    case .timedOut(let doing): "OVSDB: not in time: \(doing)"
    case .cancelled(let doing): "OVSDB: cancelled: \(doing)"
    case .closed: "OVSDB: the client is closed"
    case .failed(let error): "OVSDB: \(error)"
    }
  }
}
