import JSON
import OVSDB
import TestSupport
import Testing

private let uuid = "550e8400-e29b-41d4-a716-446655440000"

@Suite("The words of the protocol on the wire")
struct WireTests {
  @Test(
    "A value is read from its form, and a form is written that is read alike",
    arguments: [
      ("5", .integer(5)), ("-9223372036854775808", .integer(.min)), ("1.5", .atom(.real(1.5))),
      ("1e3", .atom(.real(1000))), ("true", .boolean(true)), (#""a\u0000ß""#, .string("a\0ß")),
      (#"["uuid","\#(uuid)"]"#, OVSDBUUID(uuid).map { .uuid($0) } ?? .empty),
      (#"["named-uuid","x"]"#, .named("x")),
      (#"["set",[]]"#, .empty), (#"["set",[1,2]]"#, .integers([1, 2])),
      (#"["set",[["uuid","\#(uuid)"]]]"#, .uuids([OVSDBUUID(uuid) ?? .zero])),
      (#"["map",[]]"#, .map([:])), (#"["map",[["k","v"]]]"#, .strings(["k": "v"])),
      (#"["map",[[1,true]]]"#, .map([.integer(1): .boolean(true)])),
    ] as [(String, OVSDBValue)])
  func values(text: String, value: OVSDBValue) throws {
    let json = JSONValue(text: text)
    #expect(try OVSDBValue(json) == value)
    #expect(try OVSDBValue(value.json) == value)
  }

  @Test(
    "What is no value is refused",
    arguments: [
      "null", "{}", "[]", "[1]", #"["set"]"#, #"["set",1]"#, #"["set",[null]]"#,
      #"["set",[["set",[]]]]"#, #"["map",[1]]"#, #"["map",[[1]]]"#, #"["map",[[1,2,3]]]"#,
      #"["uuid","x"]"#, #"["uuid",1]"#, #"["what","x"]"#, #"["what",[]]"#,
      "1e999", #"["uuid","550e8400-e29b-41d4-a716-44665544000g"]"#,
      #"["uuid","550e8400xe29bx41d4xa716x446655440000"]"#,
    ])
  func badValues(text: String) {
    #expect(throws: OVSDBWireError.self) { try OVSDBValue(JSONValue(text: text)) }
  }

  @Test("A set of one and an atom give the same, several or none give no single value")
  func conveniences() {
    let one: [OVSDBValue] = [.integer(7), .integers([7])]
    for value in one {
      #expect(value.integer == 7)
      #expect(value.integers == [7])
      #expect(value.real == 7)
      #expect(value.string == nil)
    }
    #expect(OVSDBValue.integers([1, 2]).integer == nil)
    #expect(OVSDBValue.empty.string == nil)
    #expect(OVSDBValue.strings(["a": "b"])["a"] == "b")
    #expect(OVSDBValue.strings(["a": "b"])["b"] == nil)
    #expect(OVSDBValue.strings(["a": "b"]).atoms.isEmpty)
    #expect(OVSDBValue.string("a").strings == [:])
  }

  @Test("Texts that only look alike are different values")
  func bytes() {
    let (composed, decomposed) = ("\u{E9}", "e\u{301}")
    #expect(OVSDBAtom.string(composed) != .string(decomposed))
    #expect(Set([OVSDBAtom.string(composed), .string(decomposed)]).count == 2)
  }

  @Test("A uuid is printed as it is written")
  func uuids() {
    #expect(OVSDBUUID(uuid)?.description == uuid)
    #expect(OVSDBUUID(uuid.uppercased())?.description == uuid)
    #expect(OVSDBUUID.zero.description == "00000000-0000-0000-0000-000000000000")
    for bad in ["", uuid + "0", String(uuid.dropLast()), uuid.replacing("-", with: "")] {
      #expect(OVSDBUUID(bad) == nil)
    }
  }

  @Test(
    "An operation has the form of RFC 7047",
    arguments: [
      (
        .insert(into: "T", ["b": .integer(1), "a": .string("x")], named: "n"),
        #"{"op":"insert","table":"T","row":{"a":"x","b":1},"uuid-name":"n"}"#
      ),
      (
        .select(from: "T", where: [OVSDBCondition("c", .includes, .integers([1]))], columns: ["c"]),
        #"{"op":"select","table":"T","where":[["c","includes",["set",[1]]]],"columns":["c"]}"#
      ),
      (
        .update("T", where: [.row(.zero)], ["c": .empty]),
        #"{"op":"update","table":"T","where":[["_uuid","==",["uuid","\#(OVSDBUUID.zero)"]]],"#
          + #""row":{"c":["set",[]]}}"#
      ),
      (
        .mutate("T", where: [], [OVSDBMutation("c", .add, .integer(2))]),
        #"{"op":"mutate","table":"T","where":[],"mutations":[["c","+=",2]]}"#
      ),
      (.delete(from: "T", where: []), #"{"op":"delete","table":"T","where":[]}"#),
      (
        .wait("T", where: [], columns: ["c"], are: [], isEqual: false, milliseconds: 5),
        #"{"op":"wait","table":"T","where":[],"columns":["c"],"until":"!=","rows":[],"timeout":5}"#
      ),
      (.comment("x"), #"{"op":"comment","comment":"x"}"#),
    ] as [(OVSDBOperation, String)])
  func operations(operation: OVSDBOperation, text: String) {
    #expect(String(decoding: operation.json.bytes, as: UTF8.self) == text)
  }

  @Test(
    "An answer to a transaction says what came of it",
    arguments: [
      (#"[{"count":1}]"#, 1, "done 1"), (#"[{},{"rows":[{"a":1}]}]"#, 2, "done 2"),
      (#"[{"error":"e","details":"d"},null]"#, 2, "refused 0 e d"),
      (#"[{},{"error":"e"}]"#, 1, "refused - e "), (#"[{"error":"e"}]"#, 0, "refused - e "),
      ("[]", 1, "bad"), ("null", 0, "bad"), ("[null]", 1, "bad"), ("[1]", 1, "bad"),
      (#"[{"rows":1}]"#, 1, "bad"), (#"[{"rows":[1]}]"#, 1, "bad"), (#"[{"uuid":1}]"#, 1, "bad"),
    ])
  func outcomes(text: String, count: Int, expected: String) {
    var seen = "bad"
    switch try? OVSDBResult.outcome(JSONValue(text: text), operations: count) {
    case .done(let results)?: seen = "done \(results.count)"
    case .refused(let index, let error, let details)?:
      seen = "refused \(index.map(String.init) ?? "-") \(error) \(details)"
    case nil: break
    }
    #expect(seen == expected)
  }

  @Test(
    "A message is told from the others",
    arguments: [
      (#"{"id":3,"result":[],"error":null}"#, .answer(id: 3, .result([]))),
      (#"{"id":3,"error":"canceled"}"#, .answer(id: 3, .error("canceled", details: ""))),
      (
        #"{"id":3,"error":{"error":"e","details":"d"},"result":null}"#,
        .answer(id: 3, .error("e", details: "d"))
      ),
      (#"{"id":"x","result":[]}"#, .other), (#"{"id":1.5,"result":[]}"#, .other), ("{}", .other),
      (#"{"id":"echo","method":"echo","params":[1]}"#, .echo(id: "echo", [1])),
      (#"{"id":null,"method":"echo","params":[]}"#, .other),
      (#"{"id":null,"method":"update","params":[null,{}]}"#, .update([:], .rows)),
      (#"{"id":null,"method":"update2","params":["x",{}]}"#, .update([:], .differences)),
      (#"{"id":7,"method":"steal","params":[]}"#, .unknownRequest(id: 7)),
      (#"{"id":null,"method":"locked","params":[]}"#, .other),
      (#"{"id":null,"method":"monitor_canceled","params":[null]}"#, .monitorCancelled),
    ] as [(String, Message)])
  func messages(text: String, message: Message) throws {
    #expect(try Message(Array(text.utf8)) == message)
  }

  @Test("A message that is none is refused")
  func badMessages() {
    for text in ["{", "[]x", #"{"method":"update","params":[]}"#, #"{"method":"update2"}"#] {
      #expect(throws: OVSDBWireError.self) { try Message(Array(text.utf8)) }
    }
  }
}
