import JSON
import OVSDB
import TestSupport
import Testing

/// A schema with a column of each shape.
let exampleSchema: JSONValue = [
  "name": "Example", "version": "1.2.3",
  "tables": [
    "T": [
      "columns": [
        "name": ["type": "string"],
        "count": ["type": ["key": "integer"]],
        "tag": ["type": ["key": ["type": "integer", "maxInteger": 9], "min": 0, "max": 1]],
        "ports": [
          "type": ["key": ["type": "uuid", "refTable": "T"], "min": 0, "max": "unlimited"]
        ],
        "some": ["type": ["key": "integer", "min": 1, "max": 3]],
        "ids": ["type": ["key": "string", "value": "string", "min": 0, "max": "unlimited"]],
      ]
    ]
  ],
]

private let columns = ["name", "count", "tag", "ports", "some", "ids", "lacking"]
private let one = "00000000-0000-0000-0000-000000000001"

@Suite("Updates of the copy")
struct ReplicaUpdateTests {
  @Test("A copy has an end: rows beyond it are an error, rows that go make room")
  func rowLimit() throws {
    var replica = OVSDBReplica(schema: try OVSDBSchema(exampleSchema), watching: ["T": ["name"]])
    func rows(_ numbers: Range<Int>, _ row: JSONValue) -> JSONValue {
      let members = numbers.map { number in
        (String(format(number)), row)
      }
      return ["T": .object(JSONObject(members))]
    }
    func format(_ number: Int) -> String {
      let digits = String(number, radix: 16)
      let tail = String(repeating: "0", count: 12 - digits.count) + digits
      return "00000000-0000-0000-0000-\(tail)"
    }
    let new: JSONValue = ["insert": [:]]
    try replica.apply(rows(0..<100_000, new), .differences)
    try replica.apply(rows(0..<1, ["delete": .null]), .differences)
    try replica.apply(rows(100_000..<100_001, new), .differences)
    try replica.apply(rows(5..<6, new), .differences)
    #expect(replica.rows("T").count == 100_000)
    let error = #expect(throws: OVSDBWireError.self) {
      try replica.apply(rows(200_000..<200_001, new), .differences)
    }
    #expect(error?.description == "the database has more than 100000 rows to watch")
  }

  private func replica() throws -> OVSDBReplica {
    OVSDBReplica(schema: try OVSDBSchema(exampleSchema), watching: ["T": columns, "U": ["a"]])
  }

  private func row(_ replica: OVSDBReplica) -> OVSDBRow? {
    OVSDBUUID(one).flatMap { replica.row("T", $0) }
  }

  private func apply(
    _ replica: inout OVSDBReplica, _ update: String, _ format: OVSDBUpdateFormat = .differences
  ) throws {
    try replica.apply(JSONValue(text: #"{"T":{"\#(one)":\#(update)}}"#), format)
  }

  @Test("A new row has the defaults of what the server does not mention")
  func defaults() throws {
    var replica = try replica()
    try apply(&replica, #"{"insert":{"name":"x"}}"#)
    #expect(
      row(replica) == [
        "name": .string("x"), "count": .integer(0), "tag": .empty, "ports": .empty,
        "some": .integers([0]), "ids": .map([:]),
      ])
    #expect(replica.rows("U").isEmpty)
  }

  @Test("A value is always of its column's kind, whichever way the server writes it")
  func shapes() throws {
    var replica = try replica()
    try apply(
      &replica,
      #"{"initial":{"name":["set",["x"]],"tag":5,"ports":["uuid","\#(one)"],"some":2}}"#)
    #expect(row(replica)?["name"] == .string("x"))
    #expect(row(replica)?["tag"] == .integers([5]))
    #expect(row(replica)?["ports"] == .uuids([OVSDBUUID(one) ?? .zero]))
    #expect(row(replica)?["some"] == .integers([2]))
  }

  @Test("A difference is taken over as ovsdb-server(7) says")
  func differences() throws {
    var replica = try replica()
    try apply(
      &replica,
      #"{"insert":{"tag":5,"some":["set",[1,2]],"ids":["map",[["a","1"],["b","2"],["c","3"]]]}}"#)
    try apply(
      &replica,
      #"{"modify":{"tag":6,"some":["set",[2,3]],"ids":["map",[["a","1"],["b","x"],["d","4"]]]}}"#)
    #expect(row(replica)?["tag"]?.integers == [6])
    #expect(row(replica)?["some"]?.integers.sorted() == [1, 3])
    #expect(row(replica)?["ids"]?.strings == ["b": "x", "c": "3", "d": "4"])
    try apply(&replica, #"{"modify":{"tag":["set",[]],"some":["set",[1,2,3,4,5,6,7,8,9,10]]}}"#)
    #expect(row(replica)?["tag"] == .empty)
    #expect(row(replica)?["some"]?.integers.sorted() == [2, 4, 5, 6, 7, 8, 9, 10])
    try apply(&replica, #"{"delete":null}"#)
    #expect(row(replica) == nil)
  }

  @Test("Whole rows are taken over as RFC 7047 says")
  func rows() throws {
    var replica = try replica()
    try apply(&replica, #"{"new":{"name":"x","tag":["set",[]]}}"#, .rows)
    try apply(&replica, #"{"old":{"tag":["set",[]]},"new":{"name":"x","tag":4}}"#, .rows)
    #expect(row(replica) == ["name": .string("x"), "tag": .integers([4])])
    try apply(&replica, #"{"old":{"name":"x","tag":4}}"#, .rows)
    #expect(row(replica) == nil)
  }

  @Test(
    "What cannot be understood is refused",
    arguments: [
      "1", "{}", #"{"modify":1}"#, #"{"modify":{"what":1}}"#, #"{"modify":{"tag":1}}"#,
      #"{"insert":1}"#, #"{"insert":{"what":1}}"#, #"{"insert":{"name":["map",[]]}}"#,
      #"{"insert":{"name":["set",[]]}}"#, #"{"insert":{"ids":5}}"#, #"{"insert":{"tag":null}}"#,
    ])
  func bad(update: String) throws {
    var replica = try replica()
    #expect(throws: OVSDBWireError.self) { try apply(&replica, update) }
  }

  @Test("A schema that is none is refused")
  func badSchemas() {
    for text in [
      "null", "{}", #"{"tables":1}"#, #"{"tables":{"T":{}}}"#,
      #"{"tables":{"T":{"columns":{"a":{}}}}}"#,
      #"{"tables":{"T":{"columns":{"a":{"type":"what"}}}}}"#,
      #"{"tables":{"T":{"columns":{"a":{"type":{"key":{}}}}}}}"#,
    ] {
      #expect(throws: OVSDBWireError.self) { try OVSDBSchema(JSONValue(text: text)) }
    }
  }
}
