import HTTP
import TestSupport
import Testing

private let tokens = [
  "\r\n", "\n", "\r", ":", " ", "\r\n\r\n", "Content-Length: ", "Transfer-Encoding: chunked\r\n",
  "ffffffffffffffff", "18446744073709551616", "0\r\n\r\n", "HTTP/1.1", ";", ",", "Host: a\r\n",
].map { Array($0.utf8) }

@Suite("No bytes harm the parsers")
struct ParserFuzzTests {
  @Test("100 000 damaged requests are read or refused, alike whole and in two pieces")
  func requests() async {
    await #expect(processExitsWith: .success) {
      let corpus = (goodRequests + badRequests).map { Array($0.wire.utf8.prefix(300)) }
      await Fuzz(100_000, corpus: corpus, tokens: tokens).run { mutator in
        let input = mutator.next()
        let cut = mutator.number(below: input.count + 1)
        let whole = parseRequest([input[...]], limits: tight, ends: true)
        let pieces = parseRequest([input[..<cut], input[cut...]], limits: tight, ends: true)
        precondition(whole == pieces)
        if case .complete(let request) = whole { precondition(request.body.count <= tight.body) }
        return true
      }
    }
  }

  @Test("100 000 damaged answers are read or refused, alike whole and in two pieces")
  func responses() async {
    await #expect(processExitsWith: .success) {
      let corpus = (goodResponses + badResponses).map { Array($0.wire.utf8.prefix(300)) }
      await Fuzz(100_000, corpus: corpus, tokens: tokens).run { mutator in
        let input = mutator.next()
        let cut = mutator.number(below: input.count + 1)
        let whole = parseResponse([input[...]], limits: tight, ends: true)
        let pieces = parseResponse([input[..<cut], input[cut...]], limits: tight, ends: true)
        precondition(whole == pieces)
        if case .complete(let response) = whole { precondition(response.body.count <= tight.body) }
        return true
      }
    }
  }
}
