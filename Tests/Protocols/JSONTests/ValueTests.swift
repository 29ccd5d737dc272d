import JSON
import Testing

@Suite("JSON: values")
struct ValueTests {
  @Test("Reading a key gives the last of several, compared byte by byte")
  func reading() {
    let object = JSONObject([("a", 1), ("b", 2), ("a", 3), ("\u{E9}", 4)])
    #expect(object["a"] == 3)
    #expect(object["A"] == nil)
    #expect(object["e\u{301}"] == nil, "canonically equal, but other bytes")
    #expect(object.keys == ["a", "b", "a", "\u{E9}"])
    #expect(JSONValue.object(object)["b"] == 2)
    #expect(JSONValue.array([])["b"] == nil)
  }

  @Test("Setting a key replaces it in its place, appends it or removes it")
  func setting() {
    var object = JSONObject([("a", 1), ("b", 2), ("a", 3), ("c", 4), ("a", 5)])
    object["a"] = 6
    #expect(object == JSONObject([("a", 6), ("b", 2), ("c", 4)]))
    object["d"] = ["x"]
    #expect(object.keys == ["a", "b", "c", "d"])
    object["b"] = nil
    #expect(object.keys == ["a", "c", "d"])
    object["nothing"] = nil
    #expect(object.members.count == 3 && !object.isEmpty)
  }

  @Test("A value that was set has no bytes in the input")
  func rangeOfBuilt() throws {
    var object = try #require(try JSONValue.parse(Array(#"{"a":1}"#.utf8)).object)
    #expect(object.range(of: "a") == 5..<6)
    object["a"] = 2
    #expect(object.range(of: "a") == nil)
  }

  @Test("Equality is by content and order, numbers by text and strings by bytes")
  func equality() throws {
    let parsed = try JSONValue.parse(Array(#" { "a" : 1 } "#.utf8))
    #expect(parsed == ["a": 1])
    #expect(JSONNumber(text: "1.0") != JSONNumber(1))
    #expect(JSONValue.string("\u{E9}") != .string("e\u{301}"))
    #expect(JSONValue.object(JSONObject([("a", 1), ("b", 2)])) != ["b": 2, "a": 1])
    #expect(JSONValue.null != false)
  }

  @Test(
    "An integer is read when it is written as one and fits",
    arguments: [
      ("0", 0, 0), ("-0", 0, 0), ("-5", -5, nil),
      ("9223372036854775807", .max, 9223372036854775807),
      ("9223372036854775808", nil, 9223372036854775808), ("18446744073709551615", nil, .max),
      ("18446744073709551616", nil, nil), ("-9223372036854775808", .min, nil), ("1.0", nil, nil),
      ("1e3", nil, nil), ("\"1\"", nil, nil), ("true", nil, nil),
    ] as [(String, Int?, UInt64?)])
  func integers(text: String, int: Int?, unsigned: UInt64?) throws {
    let value = try JSONValue.parse(Array(text.utf8))
    #expect(value.int == int)
    #expect(value.uint64 == unsigned)
  }

  @Test(
    "A number is not made of a text that is none",
    arguments: ["", "01", "1 ", " 1", "+1", "1.", ".1", "1e", "0x1", "NaN", "1,2", "--1", "١"])
  func notNumbers(text: String) {
    #expect(JSONNumber(text: text) == nil)
  }

  @Test("Accessors answer for their own kind only")
  func accessors() {
    let values: [JSONValue] = [.null, true, 1, "s", [1], ["k": "v"]]
    #expect(values.map(\.isNull) == [true, false, false, false, false, false])
    #expect(values.map(\.bool) == [nil, true, nil, nil, nil, nil])
    #expect(values.map(\.number) == [nil, nil, JSONNumber(1), nil, nil, nil])
    #expect(values.map(\.string) == [nil, nil, nil, "s", nil, nil])
    #expect(values.map(\.array) == [nil, nil, nil, nil, [1], nil])
    #expect(values.map(\.object) == [nil, nil, nil, nil, nil, JSONObject([("k", "v")])])
    #expect(values.map(\.kind) == ["null", "boolean", "number", "string", "array", "object"])
  }
}
