import HTTP
import Testing

private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

@Suite("Messages are written")
struct EncodingTests {
  @Test("A request with a body gets its length")
  func request() {
    let request = HTTPRequest(
      method: "POST", target: "/cni", headers: HTTPHeaders([("Host", "dummy")]),
      body: bytes("null"))
    #expect(
      text(request.encoded())
        == "POST /cni HTTP/1.1\r\nHost: dummy\r\nContent-Length: 4\r\n\r\nnull")
  }

  @Test("A GET without body has no length, a POST without body has length 0")
  func emptyBodies() {
    #expect(
      text(HTTPRequest(method: "GET", target: "/x").encoded()) == "GET /x HTTP/1.1\r\n\r\n")
    #expect(
      text(HTTPRequest(method: "POST", target: "/x").encoded())
        == "POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
  }

  @Test("An answer gets its length, and to HEAD only that")
  func response() {
    let response = HTTPResponse(
      status: 400, headers: HTTPHeaders([("Content-Type", "text/plain")]), body: bytes("no\n"))
    let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n"
    #expect(text(response.encoded()) == head + "no\n")
    #expect(text(response.encoded(includingBody: false)) == head)
    #expect(text(HTTPResponse(status: 204).encoded()) == "HTTP/1.1 204 No Content\r\n\r\n")
  }

  @Test("A caller's text cannot add a line, a field or another length")
  func injection() {
    let request = HTTPRequest(
      method: "GE T\r\n", target: "/a b\r\nX: y",
      headers: HTTPHeaders([
        ("A\r\nB", "c\r\nD: e"), ("", "f"), ("content-length", "7"), ("Transfer-Encoding", "gzip"),
      ]))
    #expect(
      text(request.encoded()) == "GET /a%20b%0D%0AX:%20y HTTP/1.1\r\nAB: c  D: e\r\n\r\n")
    #expect(text(HTTPRequest(method: "GET", target: "").encoded()) == "GET / HTTP/1.1\r\n\r\n")
  }

  @Test("What is written is read back", arguments: [0, 1, 100_000])
  func roundTrip(size: Int) {
    let body = (0..<size).map { UInt8(truncatingIfNeeded: $0) }
    let request = HTTPRequest(
      method: "POST", target: "/x?y", headers: HTTPHeaders([("Host", "h"), ("A", "ü")]), body: body)
    var withLength = request
    withLength.headers.append("Content-Length", String(size))
    #expect(parseRequest([request.encoded()[...]]) == .complete(withLength))
    let response = HTTPResponse(status: 200, headers: HTTPHeaders([("B", "c")]), body: body)
    var longer = response
    longer.headers.append("Content-Length", String(size))
    #expect(parseResponse([response.encoded()[...]]) == .complete(longer))
  }

  @Test("Fields are found without regard to case, replaced and removed")
  func headers() {
    var headers = HTTPHeaders([("Retry", "1"), ("retry", "2"), ("A", "b")])
    #expect(headers["RETRY"] == "1")
    #expect(headers.all("rETRY") == ["1", "2"])
    headers["retry"] = "3"
    #expect(headers == HTTPHeaders([("A", "b"), ("retry", "3")]))
    headers["a"] = nil
    #expect(headers == HTTPHeaders([("retry", "3")]))
    #expect(headers["a"] == nil)
  }
}
