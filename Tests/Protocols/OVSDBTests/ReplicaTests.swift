import Linux
import OVSDB
import TestSupport
import Testing

@Suite("The copy of a real ovsdb-server's tables", .openVSwitch)
struct ReplicaTests {
  @Test("It has what a transaction did as soon as its answer is there, 1000 times")
  func order() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    let missed = try await onThread { () throws(OVSDBError) in
      try client.transact(fixture.bridge("br", ports: ["a"]), deadline: soon)
      var missed = 0
      let start = KernelClock.monotonic
      for number in 0..<1000 {
        try client.transact(
          [.update("Port", where: [], ["external_ids": .strings(["n": "\(number)"])])],
          deadline: soon)
        let seen = try client.read(deadline: soon) { replica in
          replica.row("Port", where: "name", is: "a")?.row["external_ids"]?["n"]
        }
        if seen != "\(number)" { missed += 1 }
      }
      let microseconds = (KernelClock.monotonic - start) / 1_000_000
      print("figure: OVSDB transaction, one after the other: \(microseconds) us")
      return missed
    }
    #expect(missed == 0)
  }

  @Test("A wait sees what another client does")
  func wait() async throws {
    let fixture = try await ServerFixture()
    let (one, other) = (try fixture.client(), try fixture.client())
    async let seen = outcome { () throws(OVSDBError) in
      try one.wait(for: "the bridge", deadline: soon) { replica in
        replica.row("Bridge", where: "name", is: "br").map(\.uuid)
      }
    }
    #expect(try await becomes { one.isConnected })
    let added = try await onThread {
      try other.transact(fixture.bridge("br", ports: ["a"]), deadline: soon)
    }
    #expect(await seen.value == added[2].uuid)
  }

  @Test("A wait ends with its deadline and says what it was for")
  func waitEnds() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    let result = await outcome { () throws(OVSDBError) in
      try client.connect(deadline: soon)
      return try client.wait(for: "nothing", deadline: .after(milliseconds: 100)) { _ in
        Int?.none
      }
    }
    #expect(result.error == .timedOut("nothing"))
    withExtendedLifetime(fixture) {}
  }

  @Test("Columns and tables that the server lacks are left out")
  func lacking() async throws {
    let fixture = try await ServerFixture()
    let client = try fixture.client()
    _ = try await onThread {
      try client.transact(fixture.bridge("br", ports: ["a"]), deadline: soon)
    }
    let schema = try await onThread { try client.schema(deadline: soon) }
    #expect(schema.hasColumn("Interface", "mtu_request"))
    #expect(!schema.hasColumn("Interface", "no such column"))
    #expect(!schema.hasColumn("No such table", "mtu_request"))
    let columns = try await onThread {
      try client.read(deadline: soon) { $0.rows("Interface").values.map { $0.keys.sorted() } }
    }
    #expect(columns == [["error", "mtu_request", "name", "options", "type"]])
  }

  @Test("After a thousand random changes it is what the server has, and so is a new client's")
  func sameAsServer() async throws {
    let fixture = try await ServerFixture()
    let (client, changer, fresh) = try (fixture.client(), fixture.client(), fixture.client())
    let seed = UInt64.random(in: 0...UInt64.max)
    print("replica seed \(seed)")
    let differences = try await onThread { () throws(OVSDBError) in
      _ = try client.schema(deadline: soon)
      try changer.transact(
        fixture.bridge("br", ports: ["a", "b", "c", "d"]), deadline: soon)
      var random = Mutator(seed: seed, corpus: [])
      for _ in 0..<Program.rounds(1000) {
        try changer.transact([randomChange(&random)], deadline: soon)
      }
      // It has seen what it did itself, and so all that came before.
      try client.transact(
        [.update("Open_vSwitch", where: [], ["next_cfg": .integer(5)])], deadline: soon)
      var differences: [String] = []
      for table in ["Open_vSwitch", "Bridge", "Port", "Interface"] {
        let rows = try client.transact([.select(from: table, where: [])], deadline: soon)[0].rows
        for one in [client, fresh] {
          let copy = try one.read(deadline: soon) { $0.rows(table) }
          if copy.count != rows.count { differences.append("\(table): \(copy.count)") }
          for row in rows {
            let mine = copy[row["_uuid"]?.uuid ?? .zero] ?? [:]
            for (column, value) in mine where !value.isSame(as: row[column]) {
              differences.append("\(table) \(column): \(value) and not \(row[column] ?? .empty)")
            }
          }
        }
      }
      return differences
    }
    #expect(differences == [])
  }
}

/// A change of one column of one of the four ports.
private func randomChange(_ random: inout Mutator) -> OVSDBOperation {
  let port = ["a", "b", "c", "d"][random.number(below: 4)]
  let conditions = [OVSDBCondition("name", .equal, .string(port))]
  var numbers: Set<Int> = []
  var pairs: [String: String] = [:]
  for _ in 0..<random.number(below: 24) {
    numbers.insert(random.number(below: 40))
    pairs["k\(random.number(below: 12))"] = "\(random.number(below: 3))"
  }
  let keys = OVSDBValue.set(pairs.keys.map { .string($0) })
  switch random.number(below: 8) {
  case 0: return .update("Port", where: conditions, ["tag": .integer(random.number(below: 4096))])
  case 1: return .update("Port", where: conditions, ["tag": .empty])
  case 2: return .update("Port", where: conditions, ["trunks": .integers(numbers.sorted())])
  case 3:
    return .mutate(
      "Port", where: conditions, [OVSDBMutation("trunks", .insert, .integers(numbers.sorted()))])
  case 4:
    return .mutate(
      "Port", where: conditions, [OVSDBMutation("trunks", .delete, .integers(numbers.sorted()))])
  case 5: return .update("Port", where: conditions, ["external_ids": .strings(pairs)])
  case 6:
    return .mutate(
      "Port", where: conditions, [OVSDBMutation("external_ids", .insert, .strings(pairs))])
  default: return .mutate("Port", where: conditions, [OVSDBMutation("external_ids", .delete, keys)])
  }
}

extension OVSDBValue {
  /// Whether both mean the same; the order of a set means nothing.
  fileprivate func isSame(as other: OVSDBValue?) -> Bool {
    switch (self, other) {
    case (.map(let a), .map(let b)?): a == b
    default: Set(atoms) == Set(other?.atoms ?? [])
    }
  }
}
