import Daemon
import Testing
import TestSupport

@Suite("Server: probes and paths")
struct ProbeTests {
  @Test(
    "/healthz and /readyz answer 200 without a body, to GET and to POST with any body",
    arguments: ["/healthz", "/readyz"], [("GET", ""), ("POST", "null"), ("POST", "")])
  func probes(path: String, request: (method: String, body: String)) async throws {
    let daemon = try TestDaemon([])
    let answer = try await daemon.send(request.method, path, request.body)
    #expect(answer.status == 200)
    #expect(answer.body.isEmpty)
    #expect(answer.header("connection") == "close")
  }

  @Test("Multus' own health probe, byte for byte, is answered")
  func multusProbe() async throws {
    let daemon = try TestDaemon([])
    let socket = daemon.socket
    let bytes = Array(
      ("POST /healthz HTTP/1.1\r\nHost: dummy\r\nUser-Agent: Go-http-client/1.1\r\n"
        + "Content-Length: 4\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"
        + "null").utf8)
    let answer = try await onThread { try RawHTTP.parse(RawHTTP.exchange(bytes, socket)) }
    #expect(answer.status == 200)
    #expect(answer.body.isEmpty)
  }

  @Test(
    "other methods get 405 with Go's text",
    arguments: [
      ("GET", "/cni"), ("PUT", "/cni"), ("PUT", "/delegate"), ("GET", "/delegate"), ("GET", "/"),
      ("DELETE", "/healthz"), ("PUT", "/readyz"), ("POST", "/metrics"), ("PUT", "/metrics"),
    ])
  func methods(method: String, path: String) async throws {
    let answer = try await TestDaemon([]).send(method, path)
    #expect(answer.status == 405)
    #expect(answer.text == "Method not allowed\n")
    #expect(answer.header("content-type") == "text/plain; charset=utf-8")
    #expect(answer.header("x-content-type-options") == "nosniff")
  }

  @Test(
    "what is not served is 404 with an empty body",
    arguments: [
      ("GET", "/nope"), ("POST", "/cni/"), ("POST", "//cni"), ("POST", "/CNI"), ("GET", "/metric"),
      ("POST", "/delegate/x"), ("GET", "/%63ni"),
    ])
  func unknown(method: String, path: String) async throws {
    let answer = try await TestDaemon([]).send(method, path)
    #expect(answer.status == 404)
    #expect(answer.body.isEmpty)
  }

  @Test("a query does not change the path")
  func query() async throws {
    #expect(try await TestDaemon([]).send("GET", "/healthz?verbose=1").status == 200)
  }

  @Test("until the daemon is ready, and once it is stopping, /readyz is 500 and says why")
  func readiness() async throws {
    let daemon = try TestDaemon([], isReady: false)
    let starting = try await daemon.send("GET", "/readyz")
    #expect(starting.status == 500)
    #expect(starting.text == "records are not read yet\n")
    daemon.server.becomeReady()
    #expect(try await daemon.send("GET", "/readyz").status == 200)
    daemon.server.beginStopping()
    let stopping = try await daemon.send("POST", "/readyz", "null")
    #expect(stopping.status == 500)
    #expect(stopping.text == "cnid is stopping\n")
    #expect(try await daemon.send("GET", "/healthz").status == 200)
  }
}
