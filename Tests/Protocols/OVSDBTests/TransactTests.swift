import Linux
import TestSupport
import Testing

@testable import OVSDB

@Suite("Transactions on a real ovsdb-server", .openVSwitch)
struct TransactTests {
  @Test("Each operation has its result")
  func results() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    let added = try await onThread {
      try client.transact(fixture.bridge("br", ports: ["a", "b"]), deadline: soon)
    }
    #expect(added.count == 6)
    #expect(added.prefix(5).allSatisfy { $0.uuid != nil })
    #expect(added.last?.count == 1)
    let found = try await onThread {
      try client.transact(
        [
          .update(
            "Port", where: [OVSDBCondition("name", .equal, .string("a"))], ["tag": .integer(7)]),
          .select(
            from: "Port", where: [OVSDBCondition("tag", .equal, .integer(7))], columns: ["name"]),
          .comment("a text"),
          .delete(from: "Interface", where: [OVSDBCondition("name", .equal, .string("nobody"))]),
          .wait(
            "Port", where: [OVSDBCondition("name", .equal, .string("a"))], columns: ["tag"],
            are: [["tag": .integer(7)]]),
        ], deadline: soon)
    }
    #expect(found.map(\.count) == [1, 0, 0, 0, 0])
    #expect(found[1].rows == [["name": .string("a")]])
  }

  @Test("An operation that is refused is named, and nothing is done")
  func refused() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    let result = await outcome { () throws(OVSDBError) in
      try client.transact(
        fixture.bridge("br", ports: ["a"]) + [
          .update("Port", where: [], ["nonsense": .integer(1)])
        ], deadline: soon)
    }
    guard case .refused(let index, let operation, let error, let details)? = result.error else {
      Issue.record("\(result)")
      return
    }
    #expect(index == 4)
    #expect(operation == "update of Port")
    #expect(error == "unknown column")
    #expect(details == "No column nonsense in table Port.")
    let bridges = try await onThread { try client.read(deadline: soon) { $0.rows("Bridge") } }
    #expect(bridges.isEmpty)
  }

  @Test("A constraint that is looked at in the end refuses the whole")
  func commitRefused() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    let result = await outcome { () throws(OVSDBError) in
      try client.transact(
        fixture.bridge("br", ports: ["a", "a"]), deadline: soon)
    }
    guard case .refused(nil, "the transaction", "constraint violation", let details)? = result.error
    else {
      Issue.record("\(result)")
      return
    }
    #expect(details.contains("index on column \"name\""))
  }

  @Test("A condition of the transaction that is not met refuses it")
  func waitRefused() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    let result = await outcome { () throws(OVSDBError) in
      try client.transact(
        [
          .wait("Bridge", where: [], columns: ["name"], are: [["name": .string("none")]]),
          .update("Open_vSwitch", where: [], ["external_ids": .strings(["a": "b"])]),
        ], deadline: soon)
    }
    guard case .refused(0, "wait for Bridge", "timed out", _)? = result.error else {
      Issue.record("\(result)")
      return
    }
  }

  @Test("Every kind of value comes back as it went")
  func values() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    let ids = ["k": "v", "": "\"\\\u{1}\n", "grüße": "👋", "x": ""]
    let rows = try await onThread {
      try client.transact(
        fixture.bridge("br", ports: ["a"]) + [
          .update(
            "Port", where: [],
            [
              "external_ids": .strings(ids), "tag": .integer(4095), "trunks": .integers([5, 1, 3]),
              "bond_fake_iface": .boolean(true),
            ]),
          .select(from: "Port", where: []),
        ], deadline: soon)
    }
    let row = try #require(rows.last?.rows.first)
    #expect(row["external_ids"]?.strings == ids)
    #expect(row["external_ids"]?["grüße"] == "👋")
    #expect(row["tag"]?.integer == 4095)
    #expect(row["trunks"]?.integers.sorted() == [1, 3, 5])
    #expect(row["bond_fake_iface"]?.boolean == true)
    #expect(row["qos"] == .empty)
    #expect(row["qos"]?.uuid == nil)
    #expect(row["_uuid"]?.uuid == rows[1].uuid)
    #expect(row["interfaces"]?.uuids.first == rows[0].uuid)
  }

  @Test("An unknown database is said at once, again and again")
  func unknownDatabase() async throws {
    let fixture = try await ServerFixture()
    let client = try OVSDBClient(
      OVSDBAddress(parsing: fixture.server.address), database: "Nobody", monitoring: [:],
      time: .patient, log: { _ in })
    let result = await outcome { () throws(OVSDBError) in
      try client.transact([.comment("")], deadline: .after(seconds: 5 * Program.patience))
    }
    guard case .unreachable(_, let cause)? = result.error else {
      Issue.record("\(result)")
      return
    }
    #expect(cause.contains("unknown database"))
  }
}
