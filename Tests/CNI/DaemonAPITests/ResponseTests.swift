import CNI
import DaemonAPI
import HTTP
import Testing

@Suite("Response")
struct ResponseTests {
  @Test(
    "The result's bytes are kept exactly, white space and all",
    arguments: [
      (#"{"Result":{}}"#, "{}"),
      (
        #" { "Result" :  { "b": 1.0, "a" : "\u00e9" } , "x": 1 } "#,
        #"{ "b": 1.0, "a" : "\u00e9" }"#
      ),
      (#"{"Result":{"a":1},"Result":{"a":2}}"#, #"{"a":2}"#),
      (#"{"Result":null}"#, ""), ("{}", ""), (#"{"result":{}}"#, "{}"), (#"{"results":{}}"#, ""),
      ("", ""),
    ])
  func exactBytes(body: String, result: String) throws {
    let response = try Response(parsing: Array(body.utf8))
    #expect(String(decoding: response.result, as: UTF8.self) == result)
  }

  @Test("What the daemon writes is what the shim reads")
  func roundTrip() throws {
    let result = Array("{\n    \"cniVersion\": \"1.1.0\"\n}".utf8)
    let response = Response(result: result)
    #expect(response.encoded() == Array("{\"Result\":".utf8) + result + [0x7D])
    #expect(try Response(parsing: response.encoded()) == response)
    #expect(response.encoded(for: .ovn) == result)
    #expect(try Response(parsing: result, from: .ovn) == response)
    #expect(Response().encoded().isEmpty)
    #expect(Response().encoded(for: .ovn).isEmpty)
  }

  @Test(
    "An answer of another form is refused with none of its text",
    arguments: [
      (
        "x", Endpoint.cni,
        "no JSON: line 1, column 1: \"x\" begins no value; the words of JSON are true, false and null"
      ),
      (#"{"Result":{}"#, .cni, "no JSON: line 1, column 13: ends inside an object: a } is missing"),
      ("[]", .cni, "array found where an object belongs"),
      ("\n", .cni, "no JSON: it is empty"),
      (#"{"Result":"hunter2"}"#, .cni, "Result: string found where an object belongs"),
      ("null", .ovn, "null found where an object belongs"),
      ("{}{}", .ovn, "no JSON: line 1, column 3: \"{\" after the end of the document"),
    ])
  func refused(body: String, endpoint: Endpoint, message: String) {
    #expect(throws: CNIError(.decodingFailure, message)) {
      try Response(parsing: Array(body.utf8), from: endpoint)
    }
  }

  @Test("A success is status 200 with JSON")
  func success() {
    let response = Response(result: Array("{}".utf8)).httpResponse()
    #expect(response.status == 200)
    #expect(response.headers["content-type"] == "application/json")
    #expect(response.body == Array(#"{"Result":{}}"#.utf8))
  }

  @Test("A failure is status 400 with code, message and details")
  func failure() {
    let error = CNIError(.tryAgainLater, "stopping", details: "soon")
    let response = error.httpResponse()
    #expect(response.status == 400)
    #expect(response.headers["content-type"] == "application/json")
    #expect(response.headers["retry"] == nil)
    #expect(response.body == Array(#"{"code":11,"msg":"stopping","details":"soon"}"#.utf8))
    #expect(error.httpResponse(retry: true).headers["retry"] == "1")
  }
}
