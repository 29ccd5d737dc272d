import CNI
import JSON
import Testing

@Suite("CNI errors")
struct CNIErrorTests {
  @Test(
    "Codes have the documented numbers",
    arguments: [
      (.incompatibleVersion, 1), (.unsupportedField, 2), (.unknownContainer, 3),
      (.invalidEnvironment, 4), (.ioFailure, 5), (.decodingFailure, 6), (.invalidConfiguration, 7),
      (.invalidNamespace, 8), (.tryAgainLater, 11), (.notAvailable, 50),
      (.limitedConnectivity, 51), (.kernel, 100), (.openVSwitch, 101), (.vRouterAgent, 102),
      (.ipam, 103), (.delegate, 104), (.deadline, 105), (.internal, 999),
    ] as [(CNIErrorCode, Int)])
  func codes(code: CNIErrorCode, number: Int) {
    #expect(code.rawValue == number)
  }

  @Test("An error is printed with the version first and without empty details")
  func printing() {
    let error = CNIError(.kernel, "failed \"here\"", details: "EBUSY")
    #expect(
      text(error.json(cniVersion: "1.1.0"))
        == #"{"cniVersion":"1.1.0","code":100,"msg":"failed \"here\"","details":"EBUSY"}"#)
    #expect(text(error.json()) == #"{"code":100,"msg":"failed \"here\"","details":"EBUSY"}"#)
    #expect(text(CNIError(.ipam, "full").json()) == #"{"code":103,"msg":"full"}"#)
    #expect(error.description == "failed \"here\"; EBUSY")
    #expect(CNIError(.ipam, "full").description == "full")
    #expect(error.prefixed(by: "add: ").message == "add: failed \"here\"")
    #expect(error.prefixed(by: "add: ").details == "EBUSY")
  }

  @Test(
    "An error object is read with its own code, message and details",
    arguments: [
      (
        #"{"code":1234,"msg":"m","details":"d"}"#,
        CNIError(CNIErrorCode(rawValue: 1234), "m", details: "d")
      ),
      (#"{"cniVersion":"0.4.0","code":11,"msg":"m"}"#, CNIError(.tryAgainLater, "m")),
      (#"{"msg":"m"}"#, CNIError(.internal, "m")),
      (#"{"code":0,"msg":"m","details":null}"#, CNIError(.internal, "m")),
    ])
  func reading(json: String, error: CNIError) throws {
    #expect(CNIError(json: try parse(json)) == error)
  }

  @Test(
    "Anything else is no error object",
    arguments: [
      #"{"code":7}"#, #"{"code":7,"msg":""}"#, #"{"code":"7","msg":"m"}"#,
      #"{"code":-1,"msg":"m"}"#,
      #"{"code":1.5,"msg":"m"}"#, #"{"code":99999999999999999999,"msg":"m"}"#, #"{"msg":1}"#,
      #"{"code":7,"msg":"m","details":{}}"#, "[]", "null", #""msg""#,
    ])
  func refusing(json: String) throws {
    #expect(CNIError(json: try parse(json)) == nil)
  }
}

/// The JSON value of a text that the test wrote itself.
func parse(_ text: String) throws -> JSONValue {
  try JSONValue.parse(Array(text.utf8))
}

/// The text of a value, on one line.
func text(_ json: JSONValue) -> String {
  String(decoding: json.encoded(), as: UTF8.self)
}
