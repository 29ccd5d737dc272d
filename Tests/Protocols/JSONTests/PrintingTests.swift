import JSON
import Testing

@Suite("JSON: what is printed")
struct PrintingTests {
  private func text(_ value: JSONValue, _ style: JSONStyle = .compact) -> String {
    String(decoding: value.encoded(style), as: UTF8.self)
  }

  @Test("What was read is printed again: order, duplicates and numbers as they were")
  func roundTrip() throws {
    let text = #"{"b":1.0e+05,"a":["\u00e9\ud83d\ude00\n",true,null,{}],"a":[],"":-0}"#
    #expect(
      self.text(try JSONValue.parse(Array(text.utf8)))
        == #"{"b":1.0e+05,"a":["é😀\n",true,null,{}],"a":[],"":-0}"#)
  }

  @Test("Only what must be escaped is")
  func escapes() {
    #expect(
      text(.string("<&>/'\u{2028}é😀\u{7F}\"\\\u{8}\t\n\u{C}\r\0\u{1}\u{B}\u{1F}"))
        == #""<&>/'"# + "\u{2028}é😀\u{7F}" + #"\"\\\b\t\n\f\r\u0000\u0001\u000b\u001f""#)
    #expect(text(["a\"\n": "b"]) == #"{"a\"\n":"b"}"#)
  }

  // The expectation is the output of Go's json.MarshalIndent(value, "", "    ").
  @Test("Indented text is laid out as Go's MarshalIndent does")
  func indented() {
    let value: JSONValue = [
      "cniVersion": "1.1.0", "empty": [:], "none": [], "list": [1, [true], ["a": .null]],
    ]
    #expect(
      text(value, .indented())
        == """
        {
            "cniVersion": "1.1.0",
            "empty": {},
            "none": [],
            "list": [
                1,
                [
                    true
                ],
                {
                    "a": null
                }
            ]
        }
        """)
    #expect(text(["a": 1], .indented(0)) == "{\n\"a\": 1\n}")
    #expect(text(["a": 1], .indented(-3)) == "{\n\"a\": 1\n}")
    #expect(text([], .indented()) == "[]")
    #expect(text("x", .indented()) == "\"x\"")
  }

  @Test("Sorted text orders keys by their bytes at every level and keeps duplicates in order")
  func sorted() {
    let value: JSONValue = [
      "b": ["z": 1, "y": 2], "é": 0, "a": 2, "Z": 3, "a": 1, "": 4, "aa": 5,
      "z": [["d": 1, "c": 2]],
    ]
    #expect(
      text(value, JSONStyle(sorted: true))
        == #"{"":4,"Z":3,"a":2,"a":1,"aa":5,"b":{"y":2,"z":1},"z":[{"c":2,"d":1}],"é":0}"#)
  }
}
