import CNI
import DaemonAPI
import HTTP
import Linux
import TestSupport
import Testing

/// The twin of the fake daemon's tests: the same client against this project's own server.
@Suite("Calls to the real HTTP server")
struct ServerTests {
  @Test("Request, headers, result, refusal and readiness agree on both sides")
  func roundTrip() async throws {
    let directory = try TemporaryDirectory()
    let path = directory("s")
    let result = Array("{\n    \"cniVersion\": \"1.1.0\"\n}".utf8)
    let seen = Locked<[RequestHeaders]>([])
    let server = try HTTPServer { exchange in
      guard exchange.request.path == Endpoint.cni.path else {
        exchange.respond(HTTPResponse(status: 200))
        return
      }
      seen.withLock { $0.append(RequestHeaders(exchange.request.headers)) }
      do throws(CNIError) {
        let request = try Request(parsing: exchange.request.body)
        guard request.env["CNI_COMMAND"] == "ADD" else {
          throw CNIError(.tryAgainLater, "stopping", details: request.env["CNI_COMMAND"] ?? "")
        }
        exchange.respond(Response(result: result).httpResponse())
      } catch {
        exchange.respond(error.httpResponse(retry: true))
      }
    }
    try server.add(listener: try UnixSocket.listen(path), rootPeersOnly: false)
    try OSThread.start { try? server.run() }
    defer { server.stop() }

    let headers = RequestHeaders(requestID: "id", stamp: .now, timeLeft: 77)
    let client = DaemonClient(socketPath: path)
    let outcome = await onThread { () -> (Response?, DaemonClientError?) in
      do throws(DaemonClientError) {
        try client.waitUntilAPIReady(deadline: .after(seconds: 30))
        let added = try client.doCNI(
          Request(env: ["CNI_COMMAND": "ADD"], config: [1]), headers: headers,
          deadline: .after(seconds: 30))
        do throws(DaemonClientError) {
          _ = try client.doCNI(
            Request(env: ["CNI_COMMAND": "CHECK"], config: []), deadline: .after(seconds: 30))
          return (added, nil)
        } catch {
          return (added, error)
        }
      } catch {
        return (nil, error)
      }
    }
    #expect(outcome.0?.result == result)
    #expect(
      outcome.1?.reason == .stopping(CNIError(.tryAgainLater, "stopping", details: "CHECK")))
    #expect(seen.value.first == headers)
  }
}
