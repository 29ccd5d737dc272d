import JSON
import Testing

/// A dialect whose errors are the faults themselves.
private struct Plain: MemberDialect {
  func failure(_ fault: MemberFault) -> MemberFault { fault }
}

@Suite("JSON: members by type")
struct MemberTests {
  private func reader(_ text: String) throws -> ObjectReader<Plain> {
    try ObjectReader(parsing: Array(text.utf8), Plain())
  }

  private func fault(_ body: () throws(MemberFault) -> Void) -> String? {
    do throws(MemberFault) {
      try body()
      return nil
    } catch {
      return error.description
    }
  }

  @Test("members come as what they are")
  func values() throws {
    let reader = try reader(
      #"{"s":"a","f":true,"i":-3,"n":7,"o":{"x":1},"l":["b","c"],"r":[{"y":"z"}]}"#)
    #expect(try reader.string("s") == "a")
    #expect(try reader.flag("f") == true)
    #expect(try reader.integer("i") == -3)
    #expect(try reader.number("n", maximum: 7) == 7)
    #expect(try reader.object("o") == JSONObject([("x", 1)]))
    #expect(try reader.strings("l") == ["b", "c"])
    #expect(try reader.readers("r").first?.string("y") == "z")
    #expect(try reader.required("s").string() == "a")
  }

  @Test("absent and null are nothing, whatever is asked for", arguments: ["{}", #"{"k":null}"#])
  func absent(text: String) throws {
    let reader = try reader(text)
    #expect(try reader.string("k") == nil)
    #expect(try reader.flag("k") == nil)
    #expect(try reader.integer("k") == nil)
    #expect(try reader.number("k", maximum: 1) == nil)
    #expect(try reader.object("k") == nil)
    #expect(try reader.reader("k") == nil)
    #expect(try reader.strings("k") == [])
    #expect(try reader.readers("k").isEmpty)
    #expect(fault { () throws(MemberFault) in _ = try reader.required("k") } == "k is missing")
  }

  @Test("a fault names the whole path, what was found and what belongs there")
  func paths() throws {
    let reader = try reader(#"{"a":{"b":[{"c":1},null]},"l":["x",{}]}"#)
    let inner = try #require(try reader.reader("a"))
    let first = try Member(inner.object["b"] ?? .null, path: "a.b", Plain()).elements()
    #expect(
      fault { () throws(MemberFault) in _ = try first[0].reader().string("c") }
        == "a.b[0].c: number found where a string belongs")
    #expect(
      fault { () throws(MemberFault) in _ = try inner.readers("b") }
        == "a.b[1]: null found where an object belongs")
    #expect(
      fault { () throws(MemberFault) in _ = try reader.strings("l") }
        == "l[1]: object found where a string belongs")
    #expect(
      fault { () throws(MemberFault) in _ = try reader.number("a", maximum: 9) }
        == "a: object found where a whole number from 0 to 9 belongs")
    #expect(
      inner.invalid("b", "is too long").description == "a.b: is too long")
  }

  @Test(
    "what is no object is refused as a document",
    arguments: [
      ("[]", "array found where an object belongs"), ("1", "number found where an object belongs"),
      ("", "no JSON: it is empty"),
    ])
  func documents(text: String, expected: String) {
    let found = fault { () throws(MemberFault) in
      _ = try ObjectReader(parsing: Array(text.utf8), Plain())
    }
    #expect(found == expected)
  }
}
