import CNI
import DaemonAPI
import JSON
import Linux
import TestSupport

extension TestNode {
  /// A call with a request id and a stamp of the test's own, without the shim.
  func call(
    _ command: String, _ pod: TestPod, _ configuration: JSONValue, id: String,
    stamp: Stamp = .now, _ changes: [String: String?] = [:]
  ) async throws -> RawHTTP.Response {
    let request = Request(env: pod.environment(command, changes), config: configuration.bytes)
    let body = request.encoded()
    let head =
      "POST /cni HTTP/1.1\r\nHost: dummy\r\nX-Cnid-Request-Id: \(id)\r\n"
      + "X-Cnid-Stamp: \(stamp)\r\nContent-Length: \(body.count)\r\nConnection: close\r\n\r\n"
    let socket = socket
    return try await onThread {
      try RawHTTP.parse(try RawHTTP.exchange(Array(head.utf8) + body, socket, within: 60_000))
    }
  }
}
