import CNI
import DaemonAPI
import HTTP
import JSON
import TestSupport
import Testing

@Suite("Requests and answers: damaged input")
struct FuzzTests {
  @Test(
    "100 000 damaged requests do not trap, and what is read is written so that it reads the same")
  func requests() async {
    await #expect(processExitsWith: .success) {
      await Fuzz(
        100_000, texts: isRequestTexts, words: tokens, accepting: 1_000
      ).run(isRequest)
    }
  }

  @Test("100 000 damaged answers do not trap, and a result is a part of its answer")
  func responses() async {
    await #expect(processExitsWith: .success) {
      await Fuzz(
        100_000, texts: isAnswerTexts, words: tokens, accepting: 1_000
      ).run(isAnswer)
    }
  }

  @Test(
    "100 000 damaged spool entries do not trap, and what is read is written so that it reads the same"
  )
  func entries() async {
    await #expect(processExitsWith: .success) {
      await Fuzz(
        100_000, texts: isEntryTexts, words: tokens + entryWords, accepting: 500
      ).run(isEntry)
    }
  }

  @Test(
    "100 000 damaged headers and base64 texts do not trap, and what is read is written the same")
  func headers() async {
    await #expect(processExitsWith: .success) {
      await Fuzz(100_000, texts: headerTexts, words: headerWords).run(isSameAfterwards)
    }
  }
}

private let tokens = [
  "\"", "{", "}", "[", "]", ":", ",", "null", "=", "==", "\\u0000", "Result", "env", "config",
]

private let isRequestTexts = [
  #"{"env":{"CNI_COMMAND":"ADD","CNI_ARGS":"K8S_POD_NAME=x"},"config":"eyJuYW1lIjoibiJ9"}"#,
  #"{"config":"Zg==","interfaceAttributes":{"ips":["10.1.2.3/24"],"mac":"c2:11","cni-args":{"a":1}}}"#,
  #"{"interfaceAttributes":{"cni-args":null}}"#, "null", #"{"env":{"A":"","B":"\u00e9"}}"#,
]

private func isRequest(_ mutator: inout Mutator) -> Bool {
  let input = mutator.next()
  do throws(CNIError) {
    let request = try Request(parsing: input)
    precondition((try? Request(parsing: request.encoded())) == request)
    return true
  } catch {
    precondition(error.code == .decodingFailure && !error.message.isEmpty)
    return false
  }
}

private let isEntryTexts = [
  #"{"version":1,"requestID":"0f1e-a","stamp":"0f1e2d3c:123456","env":{"A":"b"},"config":"Zg=="}"#,
  #"{"version":1,"requestID":"a","stamp":"b:0"}"#,
]

private let entryWords = ["version", "requestID", "stamp", "-", "../", "0", " ", "a"]

private func isEntry(_ mutator: inout Mutator) -> Bool {
  let input = mutator.next()
  do throws(CNIError) {
    let entry = try SpoolEntry(parsing: input)
    precondition((try? SpoolEntry(parsing: entry.encoded())) == entry)
    precondition(SpoolEntry.isFileName(entry.fileName))
    return true
  } catch {
    let codes = [CNIErrorCode.decodingFailure, .incompatibleVersion]
    precondition(codes.contains(error.code) && !error.message.isEmpty)
    return false
  }
}

private let isAnswerTexts = [
  #"{"Result":{"cniVersion":"1.1.0","ips":[{"address":"10.1.2.3/24"}]}}"#, #"{"Result":null}"#,
  #"{"code":11,"msg":"no","details":"why"}"#, #"{"Result":{},"Result":{"a":"\u00e9"}}"#, "",
]

private func isAnswer(_ mutator: inout Mutator) -> Bool {
  let input = mutator.next()
  let error = CNIError(answer: HTTPResponse(status: 400, body: input))
  precondition(error.code.rawValue != 0 && !error.message.isEmpty)
  guard let response = try? Response(parsing: input) else { return false }
  if response.result.isEmpty { return true }
  precondition((try? JSONValue.parse(response.result))?.object != nil)
  precondition(input.count > response.result.count)
  precondition((try? Response(parsing: response.encoded())) == response)
  precondition((try? Response(parsing: response.result, from: .ovn)) == response)
  return true
}

private let headerTexts = [
  "Zm9vYmE=", "0f1e2d3c-aaaa-bbbb:123456789", "98765", "//8=", "a.b_c-1",
  "00000000000012345678-0f1e-a.json", "00000000000012345678-0f1e-a.tmp",
]

private let headerWords = [
  "=", ":", "-", "0", "+", "/", "é", " ", "18446744073709551615", "9223372036854775808", "../",
]

private func isSameAfterwards(_ mutator: inout Mutator) -> Bool {
  let text = String(decoding: mutator.next(), as: UTF8.self)
  if SpoolEntry.isFileName(text) || SpoolEntry.temporaryNanoseconds(text) != nil {
    precondition(!text.utf8.contains(0x2F) && text.utf8.count < 100)
  }
  if let bytes = try? Base64.decode(text) { precondition(Base64.encode(bytes) == text) }
  if let stamp = Stamp(text) { precondition(Stamp(stamp.description) == stamp) }
  let headers = RequestHeaders(
    HTTPHeaders([
      (RequestHeaders.requestIDName, text), (RequestHeaders.stampName, text),
      (RequestHeaders.timeLeftName, text),
    ]))
  var written = HTTPHeaders()
  headers.append(to: &written)
  precondition(RequestHeaders(written) == headers)
  return true
}
