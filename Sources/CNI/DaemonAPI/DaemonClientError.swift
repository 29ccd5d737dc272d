package import CNI
package import HTTP
import JSON
import Linux

/// Why the daemon did not serve a call, told apart by what the caller can do about it.
package struct DaemonClientError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What kind of failure it is.
  package enum Reason: Equatable, Sendable {
    /// Nobody is there: no socket, connection refused, backlog full, silence or an
    /// error on the probe.
    ///
    /// The call was not sent.
    case unreachable
    /// The connection ended before the first byte of an answer; the call may have been carried out.
    case noAnswer
    /// The connection ended in the middle of the answer; the call was probably carried out.
    case cut
    /// The answer is not one that a daemon gives.
    case malformed
    /// The time is over, with or without a first byte of an answer; the call may
    /// still be carried out.
    case deadline(answerStarted: Bool)
    /// The deadline's cancellation was used.
    case cancelled
    /// The daemon refused the call or it failed there; its own code, message and details.
    case refused(CNIError)
    /// The daemon is stopping and asks for another try; code 11.
    case stopping(CNIError)
    /// A system call failed that has nothing to do with the daemon, or its socket
    /// cannot be used at all.
    case failed
  }

  /// What kind of failure it is.
  package let reason: Reason
  /// One line for people; holds nothing of the request and only an error's own text of the answer.
  package let description: String

  /// Creates an error.
  package init(_ reason: Reason, _ description: String) {
    self.reason = reason
    self.description = description
  }
}

extension DaemonClientError {
  /// What a failed exchange means for a call.
  init(_ error: HTTPClientError) {
    let reason: Reason =
      switch error.phase {
      case .connect(let errno): Self.nobodyListens(errno) ? .unreachable : .failed
      case .noAnswer: .noAnswer
      case .cut: .cut
      case .malformed: .malformed
      case .deadline(let answerStarted): .deadline(answerStarted: answerStarted)
      case .cancelled: .cancelled
      case .failed: .failed
      }
    if case .connect(.accessDenied) = error.phase {
      self.init(reason, error.description + "; only root may call cnid")
    } else {
      self.init(reason, error.description)
    }
  }

  private static func nobodyListens(_ errno: Errno) -> Bool {
    switch errno {
    case .noEntry, .connectionRefused, .connectionReset, .again, .timedOut: true
    default: false
    }
  }

  /// What an answer means that is not 200.
  init(_ response: HTTPResponse) {
    let error = CNIError(answer: response)
    let asksAgain =
      error.code == .tryAgainLater
      && response.headers[RequestHeaders.retryName]?.utf8.elementsEqual("1".utf8) == true
    self.init(asksAgain ? .stopping(error) : .refused(error), error.description)
  }
}

extension CNIError {
  /// The longest plain text that is taken over from an answer.
  private static let maximumText = 4096

  /// Reads an answer that is not 200: the error object in it, or code 999 with its text.
  package init(answer response: HTTPResponse) {
    if let error = Self(objectIn: response.body) {
      self = error
      return
    }
    var body = response.body.prefix(Self.maximumText)
    while let last = body.last, last == 0x0A || last == 0x0D { body.removeLast() }
    let text = String(decoding: body, as: UTF8.self)
    self.init(.internal, "CNI request failed with status \(response.status): '\(text)'")
  }

  private init?(objectIn body: [UInt8]) {
    do throws(JSONError) {
      self.init(json: try JSONValue.parse(body))
    } catch {
      return nil
    }
  }
}
