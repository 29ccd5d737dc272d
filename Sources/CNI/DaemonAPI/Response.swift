package import CNI
package import HTTP
import JSON

/// The daemon's answer to a call that succeeded.
///
/// Counterpart of `Response` of Multus' server api: `{"Result":{…}}` for ADD and UPDATE, no bytes
/// at all for the other verbs. On ``Endpoint/ovn`` the answer is the result without that envelope.
package struct Response: Sendable, Equatable {
  /// The result exactly as the daemon printed it, to be printed unchanged; empty
  /// when there is none.
  package var result: [UInt8]

  /// Creates an answer; `result` is one JSON object or empty.
  package init(result: [UInt8] = []) {
    self.result = result
  }

  /// Reads the body of an answer.
  ///
  /// - Parameters:
  ///   - body: the bytes.
  ///   - endpoint: where the call went, which decides the form.
  /// - Throws: code 6 when the body has another form; never with any of its text.
  package init(parsing body: [UInt8], from endpoint: Endpoint = .cni) throws(CNIError) {
    self.init()
    if body.isEmpty { return }
    let reader = try MemberReader(parsing: body, CNIMembers())
    if endpoint == .ovn {
      result = body
      return
    }
    guard let found = try reader.object("Result") else { return }
    result =
      reader.object.range(of: "Result").map { Array(body[$0]) }
      ?? JSONValue.object(found).encoded()
  }

  /// The body for an endpoint; the result's bytes stand in it as they are.
  package func encoded(for endpoint: Endpoint = .cni) -> [UInt8] {
    if result.isEmpty || endpoint == .ovn { return result }
    var body = Array("{\"Result\":".utf8)
    body.reserveCapacity(result.count + 12)
    body.append(contentsOf: result)
    body.append(UInt8(ascii: "}"))
    return body
  }

  /// The whole answer: status 200, JSON.
  package func httpResponse(for endpoint: Endpoint = .cni) -> HTTPResponse {
    HTTPResponse(
      status: 200, headers: HTTPHeaders([("Content-Type", "application/json")]),
      body: encoded(for: endpoint))
  }
}

extension CNIError {
  /// The answer to a call that failed: status 400 and `{"code":…,"msg":…,"details":…}`.
  ///
  /// - Parameter retry: whether the caller is asked to try again (`Retry: 1`), as a stopping daemon
  ///   does. It counts only together with code 11.
  /// - Returns: the answer.
  package func httpResponse(retry: Bool = false) -> HTTPResponse {
    var headers = HTTPHeaders([("Content-Type", "application/json")])
    if retry { headers.append(RequestHeaders.retryName, "1") }
    return HTTPResponse(status: 400, headers: headers, body: json().encoded())
  }
}
