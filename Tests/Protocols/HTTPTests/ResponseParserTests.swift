import HTTP
import Testing

struct ResponseCase: Sendable, CustomTestStringConvertible {
  let name: String
  let wire: String
  let expected: Outcome<HTTPResponse>
  var limits = HTTPLimits.client
  var toHead = false
  /// Whether the server closes behind the bytes.
  var ends = false
  var testDescription: String { name }
}

private func complete(
  _ status: Int, _ headers: [(String, String)] = [], _ body: String = ""
) -> Outcome<HTTPResponse> {
  .complete(HTTPResponse(status: status, headers: HTTPHeaders(headers), body: bytes(body)))
}

let goodResponses: [ResponseCase] = [
  ResponseCase(
    name: "a length, from a server that does not close",
    wire: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    expected: complete(200, [("Content-Length", "2")], "{}")),
  ResponseCase(
    name: "an error with the reason OK, as the vRouter agent sends it",
    wire: "HTTP/1.1 404 OK\r\nContent-Type: application/json; charset=UTF-8\r\n"
      + "Content-Length: 27\r\n\r\n{\"error\":\"Unknown Request\"}",
    expected: complete(
      404,
      [("Content-Type", "application/json; charset=UTF-8"), ("Content-Length", "27")],
      "{\"error\":\"Unknown Request\"}")),
  ResponseCase(
    name: "chunks",
    wire: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
    expected: complete(200, [("Transfer-Encoding", "chunked")], "abc")),
  ResponseCase(
    name: "a body that ends with the connection",
    wire: "HTTP/1.0 200 OK\r\n\r\nabc", expected: complete(200, [], "abc"), ends: true),
  ResponseCase(
    name: "interim answers",
    wire: "HTTP/1.1 100 Continue\r\nA: b\r\n\r\nHTTP/1.1 103 \r\n\r\n"
      + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    expected: complete(200, [("Content-Length", "0")])),
  ResponseCase(
    name: "204 has no body", wire: "HTTP/1.1 204 No Content\r\n\r\nabc", expected: complete(204)),
  ResponseCase(
    name: "304 has no body", wire: "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
    expected: complete(304, [("Content-Length", "3")])),
  ResponseCase(
    name: "the answer to HEAD has no body", wire: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n",
    expected: complete(200, [("Content-Length", "3")]), toHead: true),
  ResponseCase(
    name: "no reason and no blank before it", wire: "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
    expected: complete(200, [("Content-Length", "0")])),
  ResponseCase(
    name: "more than the length says", wire: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc",
    expected: complete(200, [("Content-Length", "1")], "a")),
]

private func refused(
  _ name: String, _ wire: String, _ reason: HTTPError.Reason, limits: HTTPLimits = .client,
  ends: Bool = false
) -> ResponseCase {
  ResponseCase(name: name, wire: wire, expected: .refused(reason), limits: limits, ends: ends)
}

private let ok = "HTTP/1.1 200 OK\r\n"

let badResponses: [ResponseCase] = [
  refused("no HTTP", "SSH-2.0-OpenSSH_9.2\r\n", .malformedStartLine),
  refused("another protocol", "ICY 200 OK\r\n", .malformedStartLine),
  refused("an empty line first", "\r\n", .malformedStartLine),
  refused("a status of two digits", "HTTP/1.1 20 OK\r\n", .malformedStartLine),
  refused("a status of four digits", "HTTP/1.1 2000 OK\r\n", .malformedStartLine),
  refused("a status below 100", "HTTP/1.1 099 OK\r\n", .malformedStartLine),
  refused("version 2", "HTTP/2.0 200 OK\r\n", .unsupportedVersion),
  refused("switched protocols", "HTTP/1.1 101 Switching\r\n\r\n", .unexpectedInterim),
  refused(
    "interim answers without end",
    String(repeating: "HTTP/1.1 100 Continue\r\n\r\n", count: 17), .unexpectedInterim),
  refused("two lengths", ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", .badContentLength),
  refused(
    "length and chunks", ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    .conflictingLength),
  refused("a large length", ok + "Content-Length: 11\r\n\r\n", .bodyTooLarge, limits: tight),
  refused("a large body without length", ok + "\r\n0123456789a", .bodyTooLarge, limits: tight),
  refused("cut in the status line", "HTTP/1.1 20", .cut, ends: true),
  refused("cut in the header", ok + "Content-Le", .cut, ends: true),
  refused("cut in the body", ok + "Content-Length: 3\r\n\r\nab", .cut, ends: true),
  refused(
    "cut before the last chunk", ok + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n", .cut,
    ends: true),
  refused("nothing at all", "", .cut, ends: true),
]

@Suite("Answers are read")
struct ResponseParserTests {
  @Test("A good answer is understood", arguments: goodResponses)
  func good(_ test: ResponseCase) { check(test, [bytes(test.wire)[...]]) }

  @Test("A bad answer is refused for its reason", arguments: badResponses)
  func bad(_ test: ResponseCase) { check(test, [bytes(test.wire)[...]]) }

  @Test("Where the bytes are cut changes nothing", arguments: goodResponses + badResponses)
  func everyCut(_ test: ResponseCase) {
    for pieces in cuts(of: bytes(test.wire)) { check(test, pieces) }
  }

  private func check(_ test: ResponseCase, _ pieces: [ArraySlice<UInt8>]) {
    let outcome = parseResponse(
      pieces, limits: test.limits, toHead: test.toHead, ends: test.ends)
    #expect(outcome == test.expected)
  }

  @Test("The phase tells how far the answer has come")
  func phases() throws {
    var parser = HTTPResponseParser()
    #expect(parser.phase == .waiting)
    _ = try parser.feed([])
    #expect(parser.phase == .waiting)
    _ = try parser.feed(bytes("H"))
    #expect(parser.phase == .head)
    _ = try parser.feed(bytes("TTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"))
    #expect(parser.phase == .body)
    _ = try parser.feed(bytes("a"))
    #expect(parser.phase == .body)
    #expect(try parser.feed(bytes("b"))?.body == bytes("ab"))
    #expect(parser.phase == .complete)
    #expect(try parser.finish() == nil)
  }

  @Test("An error stays")
  func errorStays() {
    var parser = HTTPResponseParser()
    #expect(throws: HTTPError(.malformedStartLine)) { try parser.feed(bytes("x\r\n")) }
    #expect(throws: HTTPError(.malformedStartLine)) {
      try parser.feed(bytes("HTTP/1.1 204 No Content\r\n\r\n"))
    }
    #expect(throws: HTTPError(.malformedStartLine)) { try parser.finish() }
  }
}
