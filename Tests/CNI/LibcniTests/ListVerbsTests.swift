import CNI
import JSON
import Libcni
import Testing

/// The turns of a list's plugins as they came, and which of them fails.
private struct Turns {
  var seen: [String] = []
  var results: [Int] = []
  var failing: String?

  mutating func take(_ call: ListedCall) throws(CNIError) {
    seen.append("\(call.command.rawValue) \(call.plugin.type)")
    results.append(call.configuration.previous?["ips"]?.array?.count ?? -1)
    if call.plugin.type == failing { throw CNIError(.tryAgainLater, "no", details: "why") }
  }
}

@Suite("The verbs of a list")
struct ListVerbsTests {
  private func list(_ version: String = "1.1.0", _ more: String = "") throws -> NetworkList {
    try NetworkList(
      parsing: Array(
        """
        {"name": "net", "cniVersion": "\(version)", \(more)
         "plugins": [{"type": "a"}, {"type": "b", "name": "own"}, {"type": "c"}]}
        """.utf8))
  }

  private static let none = JSONObject()

  /// A result with this many addresses.
  private func result(_ count: Int) throws(CNIError) -> CNIResult {
    let ips = (0..<count).map { number -> JSONValue in ["address": .string("10.0.0.\(number)/24")] }
    return try CNIResult(["cniVersion": "1.0.0", "ips": .array(ips)], defaultVersion: .v110)
  }

  @Test("ADD goes forward, and each gets the result of the one before it")
  func add() throws {
    var turns = Turns()
    let last = try list().add(Self.none) { call throws(CNIError) in
      try turns.take(call)
      return try result(call.position + 1)
    }
    #expect(turns.seen == ["ADD a", "ADD b", "ADD c"])
    #expect(turns.results == [-1, 1, 2])
    #expect(last.ips.count == 3)
  }

  @Test("ADD ends at the first failure, in libcni's words and with the plugin's code")
  func addFails() throws {
    var turns = Turns(failing: "b")
    let refusal = CNIError(
      .tryAgainLater, #"plugin type="b" name="own" failed (add): no"#, details: "why")
    #expect(throws: refusal) {
      _ = try list().add(Self.none) { call throws(CNIError) in
        try turns.take(call)
        return try result(1)
      }
    }
    #expect(turns.seen == ["ADD a", "ADD b"])
  }

  @Test("DEL goes backward, ends at the first failure, and old versions get no result")
  func delete() throws {
    var turns = Turns()
    try list().delete(try result(2), Self.none) { call throws(CNIError) in try turns.take(call) }
    #expect(turns.seen == ["DEL c", "DEL b", "DEL a"])
    #expect(turns.results == [2, 2, 2])

    turns = Turns(failing: "b")
    #expect(throws: CNIError.self) {
      try list("0.3.1").delete(try result(2), Self.none) { call throws(CNIError) in
        try turns.take(call)
      }
    }
    #expect(turns.seen == ["DEL c", "DEL b"])
    #expect(turns.results == [-1, -1])
  }

  @Test("CHECK gives everyone the whole result, not before 0.4.0, and not where it is disabled")
  func check() throws {
    var turns = Turns()
    try list().check(try result(3), Self.none) { call throws(CNIError) in try turns.take(call) }
    #expect(turns.seen == ["CHECK a", "CHECK b", "CHECK c"] && turns.results == [3, 3, 3])

    turns = Turns()
    try list("1.0.0", #""disableCheck": true,"#).check(nil, Self.none) { call throws(CNIError) in
      try turns.take(call)
    }
    let text = #"configuration version "0.3.1" does not support the CHECK command"#
    #expect(throws: CNIError(.incompatibleVersion, text)) {
      try list("0.3.1").check(nil, Self.none) { call throws(CNIError) in try turns.take(call) }
    }
    #expect(turns.seen.isEmpty)
  }

  @Test("STATUS asks from 1.1.0 on, and the first no comes back unchanged")
  func status() throws {
    var turns = Turns(failing: "b")
    try list("1.0.0").status { call throws(CNIError) in try turns.take(call) }
    #expect(turns.seen.isEmpty)
    #expect(throws: CNIError(.tryAgainLater, "no", details: "why")) {
      try list().status { call throws(CNIError) in try turns.take(call) }
    }
    #expect(turns.seen == ["STATUS a", "STATUS b"])
  }

  @Test("GC goes to everyone with the list under both keys, and names all failures")
  func garbage() throws {
    var turns = Turns(failing: "b")
    let valid = [NetworkConfiguration.Attachment(containerID: "c1", ifName: "eth0")]
    var lists: [Int] = []
    #expect(throws: CNIError(.tryAgainLater, "failed to GC plugin b: no", details: "why")) {
      try list().collectGarbage(valid: valid) { call throws(CNIError) in
        for key in ["cni.dev/valid-attachments", "cni.dev/attachments"] {
          lists.append(call.configuration.object[key]?.array?.count ?? -1)
        }
        try turns.take(call)
      }
    }
    #expect(turns.seen == ["GC a", "GC b", "GC c"])
    #expect(lists == [1, 1, 1, 1, 1, 1])

    turns = Turns()
    for list in [try list("1.0.0"), try list("1.1.0", #""disableGC": "true","#)] {
      try list.collectGarbage(valid: []) { call throws(CNIError) in try turns.take(call) }
    }
    #expect(turns.seen.isEmpty)
  }
}
