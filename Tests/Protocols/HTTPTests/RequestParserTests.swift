import HTTP
import Testing

struct RequestCase: Sendable, CustomTestStringConvertible {
  let name: String
  let wire: String
  let expected: Outcome<HTTPRequest>
  var limits = HTTPLimits.server
  var testDescription: String { name }
}

private let host = ("Host", "dummy")

private func complete(
  _ method: String, _ target: String, _ headers: [(String, String)] = [host], _ body: String = ""
) -> Outcome<HTTPRequest> {
  .complete(
    HTTPRequest(
      method: method, target: target, headers: HTTPHeaders(headers), body: bytes(body)))
}

let goodRequests: [RequestCase] = [
  RequestCase(
    name: "no body", wire: "GET /healthz HTTP/1.1\r\nHost: dummy\r\n\r\n",
    expected: complete("GET", "/healthz")),
  RequestCase(
    name: "a body with its length",
    wire: "POST /cni HTTP/1.1\r\nHost: dummy\r\nContent-Length: 4\r\n\r\nnull",
    expected: complete("POST", "/cni", [host, ("Content-Length", "4")], "null")),
  RequestCase(
    name: "the length twice, equal, once in a list",
    wire: "POST / HTTP/1.1\r\nHost: dummy\r\nContent-Length: 2, 02\r\ncontent-length:2\r\n\r\nab",
    expected: complete(
      "POST", "/", [host, ("Content-Length", "2, 02"), ("content-length", "2")], "ab")),
  RequestCase(
    name: "an empty body with a length",
    wire: "POST / HTTP/1.1\r\nHost: dummy\r\nContent-Length: 0\r\n\r\n",
    expected: complete("POST", "/", [host, ("Content-Length", "0")])),
  RequestCase(
    name: "chunks with extensions and trailers",
    wire: "POST / HTTP/1.1\r\nHost: dummy\r\nTransfer-Encoding: Chunked\r\n\r\n"
      + "3;a=\"b\"\r\nabc\r\n0A ; x\r\n0123456789\r\n00\r\nX-Sum: 1\r\n\r\n",
    expected: complete(
      "POST", "/", [host, ("Transfer-Encoding", "Chunked")], "abc0123456789")),
  RequestCase(
    name: "HTTP/1.0 without Host", wire: "GET / HTTP/1.0\r\n\r\n",
    expected: complete("GET", "/", [])),
  RequestCase(
    name: "a later minor version", wire: "GET / HTTP/1.9\r\nHost: dummy\r\n\r\n",
    expected: complete("GET", "/")),
  RequestCase(
    name: "empty lines before the request", wire: "\r\n\r\nGET / HTTP/1.1\r\nHost: dummy\r\n\r\n",
    expected: complete("GET", "/")),
  RequestCase(
    name: "bare line feeds", wire: "GET / HTTP/1.1\nHost: dummy\n\n",
    expected: complete("GET", "/")),
  RequestCase(
    name: "blanks around values, empty values, odd names",
    wire: "M-SEARCH * HTTP/1.1\r\nHost:\t dummy \t\r\nX!#: \r\nY:a b\r\n\r\n",
    expected: complete("M-SEARCH", "*", [host, ("X!#", ""), ("Y", "a b")])),
  RequestCase(
    name: "a second request behind it is ignored",
    wire: "GET /a HTTP/1.1\r\nHost: dummy\r\n\r\nGET /b HTTP/1.1\r\nHost: dummy\r\n\r\n",
    expected: complete("GET", "/a")),
  RequestCase(
    name: "everything exactly at its limit",
    wire: "POST /45678 HTTP/1.1\r\nHost: d\r\nContent-Length: 10\r\nX: 01234567890123456789\r\n\r\n"
      + "0123456789",
    expected: complete(
      "POST", "/45678",
      [("Host", "d"), ("Content-Length", "10"), ("X", "01234567890123456789")], "0123456789"),
    limits: HTTPLimits(startLine: 20, headerBytes: 54, headerCount: 3, body: 10)),
]

private func refused(
  _ name: String, _ wire: String, _ reason: HTTPError.Reason, _ limits: HTTPLimits = .server
) -> RequestCase {
  RequestCase(name: name, wire: wire, expected: .refused(reason), limits: limits)
}

let badRequests: [RequestCase] = [
  refused("HTTP/0.9", "GET /\r\n", .malformedStartLine),
  refused("two blanks", "GET  / HTTP/1.1\r\n", .malformedStartLine),
  refused("a blank at the end", "GET / HTTP/1.1 \r\n", .malformedStartLine),
  refused("a blank in the target", "GET /a b HTTP/1.1\r\n", .malformedStartLine),
  refused("no target", "GET  HTTP/1.1\r\n", .malformedStartLine),
  refused("no method", " / HTTP/1.1\r\n", .malformedStartLine),
  refused("a method that is no token", "G(T / HTTP/1.1\r\n", .malformedStartLine),
  refused("a control character in the target", "GET /\u{1} HTTP/1.1\r\n", .malformedStartLine),
  refused("bytes beyond ASCII in the target", "GET /é HTTP/1.1\r\n", .malformedStartLine),
  refused("a bare carriage return", "GET / HTTP/1.1\rX\r\n", .malformedStartLine),
  refused("another protocol", "GET / HTTQ/1.1\r\n", .malformedStartLine),
  refused("a version without digits", "GET / HTTP/a.b\r\n", .malformedStartLine),
  refused("a TLS greeting", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\n", .malformedStartLine),
  refused("too many empty lines", "\r\n\r\n\r\n\r\n\r\n", .malformedStartLine),
  refused("version 2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", .unsupportedVersion),
  refused("version 0.9", "GET / HTTP/0.9\r\n", .unsupportedVersion),
  refused("no Host", "GET / HTTP/1.1\r\n\r\n", .badHost),
  refused("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", .badHost),
  refused("two Hosts in 1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", .badHost),
  refused("no colon", "GET / HTTP/1.1\r\nHost dummy\r\n", .malformedHeader),
  refused("a blank before the colon", "GET / HTTP/1.1\r\nHost : dummy\r\n", .malformedHeader),
  refused("no name", "GET / HTTP/1.1\r\n: dummy\r\n", .malformedHeader),
  refused("a continued line", "GET / HTTP/1.1\r\nHost: a\r\n b\r\n", .malformedHeader),
  refused("a control character", "GET / HTTP/1.1\r\nHost: a\u{0}b\r\n", .malformedHeader),
  refused("a carriage return in a value", "GET / HTTP/1.1\r\nA: a\rb\r\n", .malformedHeader),
  refused("a negative length", post("Content-Length: -1"), .badContentLength),
  refused("a length with a sign", post("Content-Length: +1"), .badContentLength),
  refused("a hexadecimal length", post("Content-Length: 0x1"), .badContentLength),
  refused("an empty length", post("Content-Length:"), .badContentLength),
  refused("an empty item", post("Content-Length: 1,"), .badContentLength),
  refused("two lengths", post("Content-Length: 1\r\nContent-Length: 2"), .badContentLength),
  refused(
    "a length beyond the integers", post("Content-Length: 99999999999999999999"), .bodyTooLarge),
  refused("a length beyond the limit", post("Content-Length: 11"), .bodyTooLarge, tight),
  refused(
    "length and chunks", post("Content-Length: 1\r\nTransfer-Encoding: chunked"),
    .conflictingLength),
  refused(
    "chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
    .conflictingLength),
  refused("another encoding", post("Transfer-Encoding: gzip"), .unsupportedTransferEncoding),
  refused("two encodings", post("Transfer-Encoding: gzip, chunked"), .unsupportedTransferEncoding),
  refused(
    "chunked twice", post("Transfer-Encoding: chunked, chunked"), .unsupportedTransferEncoding),
  refused("a chunk without size", chunked("\r\n"), .malformedChunk),
  refused("a chunk size that is none", chunked("g\r\n"), .malformedChunk),
  refused("a negative chunk size", chunked("-1\r\n"), .malformedChunk),
  refused("a chunk size with a bare line feed", chunked("1\na\r\n"), .malformedChunk),
  refused("garbage behind a chunk size", chunked("1 x\r\n"), .malformedChunk),
  refused("a chunk longer than it says", chunked("1\r\nab\r\n"), .malformedChunk),
  refused("a chunk's end that is a bare line feed", chunked("1\r\na\n"), .malformedChunk),
  refused("a chunk size beyond the integers", chunked("fffffffffffffffff\r\n"), .bodyTooLarge),
  refused("chunks beyond the limit", chunked("6\r\n012345\r\n6\r\n"), .bodyTooLarge, tight),
  refused(
    "a long chunk line", chunked("1;" + String(repeating: "x", count: 5000)), .malformedChunk),
  refused(
    "many tiny chunks with long extensions",
    chunked(String(repeating: "1;" + String(repeating: "x", count: 3000) + "\r\na\r\n", count: 6)),
    .malformedChunk),
  refused("a bad trailer", chunked("0\r\nX\r\n\r\n"), .malformedHeader),
  refused("a long request line", "GET /0123456789 HTTP/1.1\r\n", .startLineTooLong, tight),
  refused("a request line without end", "GET /0123456789 HTTP/1.1", .startLineTooLong, tight),
  refused(
    "long header fields", "GET / HTTP/1.1\r\nA: " + String(repeating: "a", count: 60) + "\r\n",
    .headersTooLarge, tight),
  refused(
    "a field without end", "GET / HTTP/1.1\r\nA: " + String(repeating: "a", count: 60),
    .headersTooLarge, tight),
  refused(
    "many header fields", "GET / HTTP/1.1\r\nA:\r\nB:\r\nC:\r\nD:\r\n\r\n", .tooManyHeaders, tight),
  refused(
    "many trailers", chunked("0\r\nA:\r\nB:\r\n\r\n"), .tooManyHeaders, tight),
]

private func post(_ fields: String) -> String {
  "POST / HTTP/1.1\r\nHost: dummy\r\n\(fields)\r\n\r\n"
}

private func chunked(_ body: String) -> String {
  "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n\(body)"
}

@Suite("Requests are read")
struct RequestParserTests {
  @Test("A good request is understood", arguments: goodRequests)
  func good(_ test: RequestCase) {
    #expect(parseRequest([bytes(test.wire)[...]], limits: test.limits) == test.expected)
  }

  @Test("A bad request is refused for its reason", arguments: badRequests)
  func bad(_ test: RequestCase) {
    #expect(parseRequest([bytes(test.wire)[...]], limits: test.limits) == test.expected)
  }

  @Test("Where the bytes are cut changes nothing", arguments: goodRequests + badRequests)
  func everyCut(_ test: RequestCase) {
    let wire = bytes(test.wire)
    let wrong = (wire.count > 1000 ? [[wire[...]]] : cuts(of: wire)).first {
      parseRequest($0, limits: test.limits) != test.expected
    }
    #expect(wrong == nil)
  }

  @Test("A request that stops anywhere before its end is incomplete, and cut when it is the end")
  func everyPrefix() {
    let wire = bytes(post("Content-Length: 3") + "abc")
    for length in 1..<wire.count {
      #expect(parseRequest([wire[..<length]]) == .incomplete)
      #expect(parseRequest([wire[..<length]], ends: true) == .refused(.cut))
    }
    #expect(parseRequest([[]], ends: true) == .incomplete)
  }

  @Test("An error stays")
  func errorStays() {
    var parser = HTTPRequestParser()
    #expect(throws: HTTPError(.malformedStartLine)) { try parser.feed(bytes("x\r\n")) }
    #expect(throws: HTTPError(.malformedStartLine)) {
      try parser.feed(bytes("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
    }
    #expect(throws: HTTPError(.malformedStartLine)) { try parser.finish() }
  }

  @Test("A length that is refused is refused before the body comes")
  func refusedEarly() throws {
    var parser = HTTPRequestParser(limits: HTTPLimits(body: 1000))
    #expect(throws: HTTPError(.bodyTooLarge)) {
      try parser.feed(bytes(post("Content-Length: 104857600")))
    }
  }

  @Test("A client that waits for an interim answer is noticed, once its head is complete")
  func expectContinue() throws {
    let wire = bytes(post("Content-Length: 3\r\nExpect: 100-Continue"))
    var parser = HTTPRequestParser()
    #expect(!parser.hasStarted)
    _ = try parser.feed(wire.dropLast())
    #expect(parser.hasStarted && !parser.isHeadComplete && !parser.wantsContinue)
    _ = try parser.feed(wire.suffix(1))
    #expect(parser.isHeadComplete && parser.wantsContinue)
    _ = try parser.feed(bytes("a"))
    #expect(!parser.wantsContinue)
  }

  @Test(
    "The path is taken from the target, without its query",
    arguments: [
      ("/cni", "/cni"), ("/a?b=c?d", "/a"), ("http://dummy/healthz?x", "/healthz"),
      ("HTTP://dummy", "/"), ("*", "*"), ("/?", "/"),
    ])
  func path(target: String, path: String) {
    #expect(HTTPRequest(method: "GET", target: target).path == path)
  }

  @Test("Each reason has a status of its kind and a text")
  func statuses() {
    for reason in HTTPError.Reason.allCases {
      let error = HTTPError(reason)
      #expect((400...505).contains(error.status))
      #expect(!error.description.isEmpty)
      #expect(!HTTPResponse.reasonPhrase(error.status).isEmpty)
    }
  }
}
