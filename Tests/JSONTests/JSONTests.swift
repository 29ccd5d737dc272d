import JSON
import Testing

@Suite("JSON")
struct JSONTests {
  @Test("What was parsed is printed again as it was")
  func roundTrip() throws {
    let text = #"{"b":1.0e+05,"a":["\u00e9\ud83d\ude00\n",true,null,{}],"a":[],"":-0}"#
    let value = try JSONValue.parse(Array(text.utf8))
    #expect(
      String(decoding: value.encoded(), as: UTF8.self)
        == #"{"b":1.0e+05,"a":["é😀\n",true,null,{}],"a":[],"":-0}"#)
    #expect(value["a"] == [])
    #expect(try JSONValue.parse(value.encoded(.indented(sorted: true))) != value)
    #expect(try JSONValue.parse(value.encoded(.indented())) == value)
  }
}
