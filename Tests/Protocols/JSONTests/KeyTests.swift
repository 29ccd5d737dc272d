import TestSupport
import Testing

@testable import JSON

/// A dialect of documents that others write.
private struct Foreign: MemberDialect {
  var ignoresCase: Bool { true }
  func failure(_ fault: MemberFault) -> MemberFault { fault }
}

@Suite("JSON: keys in any case, and keys that nobody reads")
struct KeyTests {
  private func object(_ text: String) -> JSONObject { JSONValue(text: text).object ?? JSONObject() }

  @Test(
    "A key is found exactly, else in another case, of several the last",
    arguments: [
      (#"{"vlan":1}"#, 1), (#"{"Vlan":2}"#, 2), (#"{"VLAN":1,"vLaN":3}"#, 3),
      (#"{"vlan":4,"VLAN":5}"#, 4), (#"{"VLAN":5,"vlan":4}"#, 4), (#"{"vlan":1,"vlan":6}"#, 6),
      (#"{"vlann":7}"#, nil), (#"{"vla\u212A":8}"#, nil), ("{}", nil),
    ] as [(String, Int?)])
  func found(text: String, number: Int?) throws {
    #expect(try ObjectReader(object(text), Foreign()).integer("vlan") == number)
  }

  @Test("Letters beyond ASCII have no case: the kelvin sign is no k")
  func kelvin() throws {
    #expect(try ObjectReader(object(#"{"\u212A":1}"#), Foreign()).integer("k") == nil)
  }

  @Test("A key is set in place of what any case of it was")
  func setting() {
    var changed = object(#"{"VLAN":1,"a":2,"Vlan":3}"#)
    changed.set(inAnyCase: "vlan", to: 4)
    #expect(changed == object(#"{"a":2,"vlan":4}"#))
    changed.set(inAnyCase: "VLAN", to: nil)
    #expect(changed == object(#"{"a":2}"#))
  }

  @Test("A reader with a table reads no key that the table lacks, inside neither")
  func gate() throws {
    let table = KeyTable(["a"], inside: [("o", KeyTable(["x"]))])
    let reader = ObjectReader(
      object(#"{"a":1,"b":2,"o":[{"x":3,"y":4}]}"#), Foreign(), keys: table)
    #expect(try reader.integer("a") == 1)
    #expect(try reader.integer("b") == nil)
    let inner = try #require(try reader.readers("o").first)
    #expect(try inner.integer("x") == 3)
    #expect(try inner.integer("y") == nil)
  }

  private static let table = KeyTable(
    ["vlan", "mtu", "rangeStart", "id"],
    inside: [("ipam", KeyTable(["type"], inside: [("ranges", KeyTable(["subnet"]))]))])

  @Test(
    "Unknown keys are told with their place, and with the key that was meant",
    arguments: [
      (#"{"vlan":1,"MTU":2,"ipam":{"Type":"x"}}"#, []),
      (#"{"vlann":1}"#, [#"unknown key "vlann" (did you mean "vlan"?)"#]),
      (#"{"vlanid":1}"#, [#"unknown key "vlanid" (did you mean "vlan"?)"#]),
      (#"{"rangestrat":1}"#, [#"unknown key "rangestrat" (did you mean "rangeStart"?)"#]),
      (#"{"mut":1}"#, [#"unknown key "mut" (did you mean "mtu"?)"#]),
      (#"{"mac":1,"x":2}"#, [#"unknown key "mac""#, #"unknown key "x""#]),
      (
        #"{"ipam":{"ranges":[[{"subnett":1}]],"dns":{}}}"#,
        [
          #"unknown key "ipam.ranges[0][0].subnett" (did you mean "subnet"?)"#,
          #"unknown key "ipam.dns""#,
        ]
      ),
      (#"{"_comment":1,"example.org/x":2,"io.kubernetes.cri":3,"ipam":{"_c":1}}"#, []),
      (#"{"ipam":[1,null,{"typ":2}]}"#, [#"unknown key "ipam[2].typ" (did you mean "type"?)"#]),
    ] as [(String, [String])])
  func unknown(text: String, words: [String]) {
    #expect(Self.table.unknownKeys(in: object(text)).map(\.description) == words)
  }

  @Test("No more than sixteen are told, and a long key takes no time")
  func bounded() {
    var many = JSONObject()
    for number in 0..<100 { many["unknown \(number)"] = 1 }
    #expect(Self.table.unknownKeys(in: many).count == 16)
    #expect(Self.table.nearest(String(repeating: "v", count: 1 << 20)) == nil)
  }
}
