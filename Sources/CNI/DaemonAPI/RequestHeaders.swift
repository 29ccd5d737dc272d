package import CNI
package import HTTP

/// What the shim says about a call beside the call itself; other clients leave it out.
///
/// A header that is ill-formed counts as absent: the daemon then does what it does for
/// Multus' own shim.
package struct RequestHeaders: Sendable, Equatable {
  /// Names the id: a call that is sent again has the id of the first time.
  package static let requestIDName = "X-Cnid-Request-Id"
  package static let stampName = "X-Cnid-Stamp"
  /// Names the milliseconds that the caller has left.
  package static let timeLeftName = "X-Cnid-Time-Left"
  /// Names the answer's header that asks for another try; its value is `1`.
  package static let retryName = "Retry"

  /// The request's id, see ``/CNI/RequestID``.
  package var requestID: String?
  /// When the call began.
  package var stamp: Stamp?
  /// How many milliseconds the caller still waits.
  package var timeLeft: Int?

  package init(requestID: String? = nil, stamp: Stamp? = nil, timeLeft: Int? = nil) {
    self.requestID = requestID
    self.stamp = stamp
    self.timeLeft = timeLeft
  }

  package init(_ headers: HTTPHeaders) {
    if let text = headers[Self.requestIDName], RequestID.isValid(text) { requestID = text }
    if let text = headers[Self.stampName] { stamp = Stamp(text) }
    if let text = headers[Self.timeLeftName], text.utf8.allSatisfy({ 0x30...0x39 ~= $0 }) {
      timeLeft = Int(text)
    }
  }

  /// Adds the headers to a request's.
  package func append(to headers: inout HTTPHeaders) {
    if let requestID { headers.append(Self.requestIDName, requestID) }
    if let stamp { headers.append(Self.stampName, stamp.description) }
    if let timeLeft { headers.append(Self.timeLeftName, String(timeLeft)) }
  }
}
