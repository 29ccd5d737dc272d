import TestSupport
import Testing

@testable import JSON

@Suite("JSON: what is said of a slip")
struct ExplanationTests {
  private static let words = "the words of JSON are true, false and null"

  /// Texts with a slip, and what is said of it.
  static let slips: [(String, String)] = [
    ("", "it is empty"), (" \n\t", "it is empty"),
    ("\u{FEFF}{}", "begins with a byte order mark"),
    (#"{"name":"n","mtu":1,}"#, #"line 1, column 21: "}" after a comma"#),
    ("[1,\n ]", #"line 2, column 2: "]" after a comma"#),
    ("{\n  // MTU\n  \"a\": 1\n}", "line 2, column 3: JSON has no comments"),
    ("{\"a\": 1} /* end */", "line 1, column 10: JSON has no comments"),
    ("# net\n{}", "line 1, column 1: JSON has no comments"),
    ("{\"a\": {\"b\": 1}", "line 1, column 15: ends inside an object: a } is missing"),
    ("{\n\"a\": [1, 2\n", "line 3, column 1: ends inside an array: a ] is missing"),
    ("{\"a\": \"b", "line 1, column 9: ends inside a string: a \" is missing"),
    ("{\"a\": \"b}\n", "line 1, column 10: a line ends inside a string: a \" is missing"),
    ("tru", "line 1, column 4: ends inside a number or a word"),
    ("{\u{201C}a\u{201D}: 1}", "line 1, column 2: \"\u{201C}\" is no quote of JSON, write \""),
    ("{\"ä\": \u{2018}x\u{2019}}", "line 1, column 7: \"\u{2018}\" is no quote of JSON, write \""),
    ("{'a': 1}", "line 1, column 2: \"'\" is no quote of JSON, write \""),
    ("{a: 1}", "line 1, column 2: a key without quotes"),
    ("{\"a\": 1, b: 2}", "line 1, column 10: a key without quotes"),
    ("{\"a\": 1, 7}", "line 1, column 10: a key without quotes"),
    ("{,}", #"line 1, column 2: "," where a key belongs"#),
    ("{\"a\" 1}", #"line 1, column 6: a : is missing before "1""#),
    ("{\"a\" \"b\"}", "line 1, column 6: a : is missing before a string"),
    ("{\"a\": 1\n \"b\": 2}", "line 2, column 2: a , is missing before a string"),
    ("[1 2]", #"line 1, column 4: a , is missing before "2""#),
    ("[{} {}]", #"line 1, column 5: a , is missing before "{""#),
    ("{\"a\": True}", #"line 1, column 7: "T" begins no value; "# + words),
    ("{\"a\": }", #"line 1, column 7: "}" where a value belongs"#),
    ("{\"a\": nul}", #"line 1, column 10: unexpected "}""#),
    ("{\"a\": 0123}", "line 1, column 8: a number does not begin with 0"),
    ("{\"a\": .5}", #"line 1, column 7: "." where a value belongs"#),
    ("{}}", #"line 1, column 3: "}" is one too many"#),
    ("{} {}", #"line 1, column 4: "{" after the end of the document"#),
    ("{\"a\":\u{A0}1}", "line 1, column 6: U+00A0 where a value belongs"),
    ("[\"a\tb\"]", "line 1, column 4: a tab inside a string, where \\t must be written"),
    ("[\"a\u{1}\"]", "line 1, column 4: the control character U+0001 inside a string"),
    (#"["C:\dir"]"#, #"line 1, column 6: a \ before "d" is no escape"#),
    (#"["\u12g4"]"#, #"line 1, column 7: \u needs four hexadecimal digits"#),
    (#"["\ud83d"]"#, "line 1, column 3: half of a surrogate pair"),
  ]

  @Test("A slip is told by line, column and what to mend", arguments: slips)
  func told(text: String, words: String) {
    let error = #expect(throws: JSONError.self) { try JSONValue.parse(Array(text.utf8)) }
    #expect(error?.description == words)
  }

  @Test("Bytes that are no text, and too much of it, have their place too")
  func others() {
    func words(_ bytes: [UInt8], _ limits: JSONLimits = .default) -> String? {
      do throws(JSONError) {
        _ = try JSONValue.parse(bytes, limits: limits)
        return nil
      } catch {
        return error.description
      }
    }
    #expect(words([0xFF, 0xFE, 0x7B, 0]) == "begins with a byte order mark")
    #expect(words([0x22, 0xFF, 0x22]) == "line 1, column 2: not UTF-8")
    #expect(
      words(Array("[[[]]]".utf8), JSONLimits(depth: 2)) == "line 1, column 3: nested too deeply")
    #expect(
      words(Array("[1,2]".utf8), JSONLimits(values: 2)) == "line 1, column 4: too many values")
  }

  @Test("No more of the input is shown than one character")
  func secret() {
    let error = #expect(throws: JSONError.self) {
      try JSONValue.parse(Array(#"{"secret":"hunter2",}"#.utf8))
    }
    #expect(error?.description == #"line 1, column 21: "}" after a comma"#)
  }
}
