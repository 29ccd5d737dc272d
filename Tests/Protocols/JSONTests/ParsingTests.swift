import JSON
import Testing
import TestSupport

@Suite("JSON: what is read")
struct ParsingTests {
  @Test(
    "Each kind of value is read",
    arguments: [
      ("null", .null), (" true\n", true), ("false", false), ("\"\"", ""), ("[]", []), ("{}", [:]),
      ("[ 1 , [ ] ,\t{ } ]", [1, [], [:]]),
      ("{ \"a\" : 1 , \"b\" : [\"c\"] }", ["a": 1, "b": ["c"]]),
      ("{\"a\":1,\"a\":2}", ["a": 1, "a": 2]), ("{\"\":{\"\":null}}", ["": ["": .null]]),
    ] as [(String, JSONValue)])
  func values(text: String, expected: JSONValue) throws {
    #expect(try JSONValue.parse(Array(text.utf8)) == expected)
  }

  @Test(
    "A number keeps its text",
    arguments: [
      "0", "-0", "1", "10", "-12", "0.0", "1.50", "1e5", "1E+05", "-1.25e-300", "0e0",
      "123456789012345678901234567890.123456789", "1e999999",
    ])
  func numbers(text: String) throws {
    #expect(try JSONValue.parse(Array(text.utf8)).number?.text == text)
    #expect(JSONNumber(text: text)?.text == text)
  }

  @Test(
    "A string's escapes and UTF-8 are read",
    arguments: [
      (#""a\"\\\/\b\f\n\r\tz""#, "a\"\\/\u{8}\u{C}\n\r\tz"),
      (#""\u0041\u00e9\u20AC\u0000\uFFFF""#, "Aé€\0\u{FFFF}"),
      (#""\ud83d\ude00\uDBFF\uDFFF""#, "😀\u{10FFFF}"),
      ("\"é€😀\u{7F}\u{2028}\"", "é€😀\u{7F}\u{2028}"),
      ("\"\u{65}\u{301}\"", "\u{65}\u{301}"), (#""\\u0041""#, "\\u0041"),
    ])
  func strings(text: String, expected: String) throws {
    #expect(try JSONValue.parse(Array(text.utf8)) == .string(expected))
  }

  static let refused: [(String, Int, JSONError.Reason)] = [
    ("", 0, .unexpectedEnd), (" ", 1, .unexpectedEnd), ("nul", 3, .unexpectedEnd),
    ("nulL", 3, .unexpectedByte(0x4C)), ("True", 0, .unexpectedByte(0x54)),
    ("truefalse", 4, .trailingByte(0x66)), ("1 2", 2, .trailingByte(0x32)),
    ("{}}", 2, .trailingByte(0x7D)), ("null\0", 4, .trailingByte(0)),
    ("[1,]", 3, .unexpectedByte(0x5D)), ("[,1]", 1, .unexpectedByte(0x2C)),
    ("[1 2]", 3, .unexpectedByte(0x32)), ("[1", 2, .unexpectedEnd), ("[", 1, .unexpectedEnd),
    ("]", 0, .unexpectedByte(0x5D)), ("[}", 1, .unexpectedByte(0x7D)),
    ("{", 1, .unexpectedEnd), ("{1:2}", 1, .unexpectedByte(0x31)),
    ("{\"a\"}", 4, .unexpectedByte(0x7D)), ("{\"a\":}", 5, .unexpectedByte(0x7D)),
    ("{\"a\":1,}", 7, .unexpectedByte(0x7D)), ("{\"a\":1", 6, .unexpectedEnd),
    ("{a:1}", 1, .unexpectedByte(0x61)), ("'a'", 0, .unexpectedByte(0x27)),
    ("/**/1", 0, .unexpectedByte(0x2F)), ("\u{FEFF}1", 0, .unexpectedByte(0xEF)),
    ("\u{A0}1", 0, .unexpectedByte(0xC2)), ("\u{C}1", 0, .unexpectedByte(0x0C)),
    ("01", 1, .trailingByte(0x31)), ("-", 1, .unexpectedEnd), ("-a", 1, .unexpectedByte(0x61)),
    ("+1", 0, .unexpectedByte(0x2B)), (".5", 0, .unexpectedByte(0x2E)), ("1.", 2, .unexpectedEnd),
    ("1.e5", 2, .unexpectedByte(0x65)), ("1e", 2, .unexpectedEnd), ("1e+", 3, .unexpectedEnd),
    ("1ee5", 2, .unexpectedByte(0x65)), ("0x10", 1, .trailingByte(0x78)),
    ("NaN", 0, .unexpectedByte(0x4E)), ("-Infinity", 1, .unexpectedByte(0x49)),
    ("\"a", 2, .unexpectedEnd), ("\"a\\", 3, .unexpectedEnd), ("\"a\\\"", 4, .unexpectedEnd),
    ("\"a\nb\"", 2, .controlCharacter(0x0A)), ("\"\0\"", 1, .controlCharacter(0)),
    ("\"\\a\"", 2, .invalidEscape(0x61)), ("\"\\U0041\"", 2, .invalidEscape(0x55)),
    ("\"\\\u{e9}\"", 2, .invalidEscape(0xC3)), ("\"\\u004\"", 6, .unexpectedByte(0x22)),
    ("\"\\u00g0\"", 5, .unexpectedByte(0x67)), ("\"\\u+041\"", 3, .unexpectedByte(0x2B)),
    ("\"\\ud83d\"", 1, .loneSurrogate), ("\"\\ud83dx\"", 1, .loneSurrogate),
    ("\"a\\ud83d\\n\"", 2, .loneSurrogate), ("\"\\ud83d\\u0041\"", 1, .loneSurrogate),
    ("\"\\ude00\\ud83d\"", 1, .loneSurrogate), ("\"\\ud83d\\\"", 9, .unexpectedEnd),
  ]

  @Test("What is not JSON is refused where it goes wrong", arguments: refused)
  func refusals(text: String, offset: Int, reason: JSONError.Reason) {
    #expect(throws: JSONError(offset: offset, reason: reason)) {
      try JSONValue.parse(Array(text.utf8))
    }
  }

  @Test(
    "What is not UTF-8 is refused where it goes wrong",
    arguments: [
      [0x80], [0xC0, 0x80], [0xC3], [0xC3, 0x28], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80],
      [0xF0, 0x80, 0x80, 0x80], [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFF],
    ] as [[UInt8]])
  func invalidUTF8(bytes: [UInt8]) {
    let quote = UInt8(ascii: "\"")
    #expect(throws: JSONError(offset: 3, reason: .invalidUTF8)) {
      try JSONValue.parse([quote, 0x5C, 0x6E] + bytes + [quote])
    }
    #expect(throws: JSONError(offset: 2, reason: .invalidUTF8)) {
      try JSONValue.parse([UInt8(ascii: "{"), quote] + bytes + [quote])
    }
  }

  @Test("Sixty-four levels are read, the sixty-fifth is refused where it opens")
  func depth() throws {
    let brackets = String(repeating: "[", count: 64), ends = String(repeating: "]", count: 64)
    _ = try JSONValue.parse(Array((brackets + ends).utf8))
    #expect(throws: JSONError(offset: 64, reason: .tooDeep)) {
      try JSONValue.parse(Array((brackets + "[]" + ends).utf8))
    }
    let objects = String(repeating: "{\"a\":", count: 100_000)
    #expect(throws: JSONError(offset: 320, reason: .tooDeep)) {
      try JSONValue.parse(Array(objects.utf8))
    }
  }

  @Test("The deepest value is read, compared and printed on a thread with a stack of 256 KiB")
  func stack() async throws {
    let text = String(repeating: "[{\"a\":", count: 32) + "1" + String(repeating: "}]", count: 32)
    let same = try await onThread(stackSize: 256 << 10) { () throws(JSONError) -> Bool in
      let value = try JSONValue.parse(Array(text.utf8))
      return try JSONValue.parse(value.encoded(.indented(sorted: true))) == value
    }
    #expect(same)
  }

  @Test("The number of values is bounded, elements and members alike")
  func values() throws {
    let limits = JSONLimits(values: 4)
    _ = try JSONValue.parse(Array("[1,2,{}]".utf8), limits: limits)
    #expect(throws: JSONError(offset: 7, reason: .tooManyValues)) {
      try JSONValue.parse(Array("[1,2,3,4]".utf8), limits: limits)
    }
    #expect(throws: JSONError(offset: 17, reason: .tooManyValues)) {
      try JSONValue.parse(Array("{\"a\":[{\"b\":1,\"c\":2}]}".utf8), limits: limits)
    }
  }

  @Test("Each member knows its value's bytes")
  func ranges() throws {
    let text = #"{"a": {"b" : [1, 2] } , "a":"é\n" }"#
    let bytes = Array(text.utf8)
    let object = try #require(try JSONValue.parse(bytes).object)
    func slice(_ range: Range<Int>?) -> String? {
      range.map { String(decoding: bytes[$0], as: UTF8.self) }
    }
    #expect(object.members.map { slice($0.range) } == [#"{"b" : [1, 2] }"#, #""é\n""#])
    #expect(slice(object.range(of: "a")) == #""é\n""#)
    #expect(slice(object.members.first?.value.object?.range(of: "b")) == "[1, 2]")
    #expect(object.range(of: "b") == nil)
  }

  @Test("Reading 4 MB takes time in proportion to its size")
  func linear() async throws {
    func seconds(_ count: Int) async throws -> Double {
      let unit = Array(#""\u00e9 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa""#.utf8)
      return try await onThread { () throws(JSONError) -> Double in
        var bytes = [UInt8(ascii: "[")]
        for _ in 0..<count { bytes += unit + [UInt8(ascii: ",")] }
        bytes += Array("0]".utf8)
        let start = threadTime
        _ = try JSONValue.parse(bytes)
        return Double(threadTime - start) / 1_000_000_000
      }
    }
    let small = try await seconds(4_000), large = try await seconds(64_000)
    #expect(large < max(small * 80, 1))
  }

}
