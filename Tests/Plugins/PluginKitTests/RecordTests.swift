import Addresses
import CNI
import DaemonAPI
import JSON
import PluginKit
import Testing
import TestSupport

/// A record with something in every field.
func fullRecord() throws -> AttachmentRecord {
  var record = AttachmentRecord(
    key: AttachmentKey(
      network: "net", containerID: "box.1_x", ifName: "eth0", plugin: "example.org/p"),
    configuration: Array("{ \"name\":\"net\",\n\t\"é\":1e400}".utf8) + [0, 0xFF],
    environment: ["CNI_ARGS": "A=b;C=d", "CNI_NETNS": "/run/netns/x", "CNI_IFNAME": ""],
    origin: "delegate", requestID: "r-1", stamp: Stamp(bootID: "b00t-id", nanoseconds: .max))
  record.phase = .attached
  record.namespace = NamespaceIdentity(cookie: .max, id: 7)
  record.plan = [
    PlannedResource("link", [("name", "eth0"), ("index", 7), ("deep", [["a": .null]])]),
    PlannedResource("lease", []), PlannedResource("link", [("name", "eth1")]),
  ]
  record.result = try CNIResult(
    JSONValue(
      text: """
        {"cniVersion":"1.1.0","interfaces":[{"name":"eth0","mac":"c2:11:22:33:44:55",
        "mtu":1400,"sandbox":"/run/netns/x"}],"ips":[{"interface":0,"address":"10.1.2.3/24",
        "gateway":"10.1.2.1"},{"address":"2001:db8::1/64"}],"routes":[{"dst":"0.0.0.0/0",
        "gw":"10.1.2.1","mtu":1300,"table":100,"scope":0}],"dns":{"nameservers":["10.1.2.1"]}}
        """), defaultVersion: .newest)
  return record
}

/// What the file of a full record says, with one member changed or taken away.
private func file(_ key: String, _ value: JSONValue?) throws -> [UInt8] {
  JSONValue(text: String(decoding: try fullRecord().encoded(), as: UTF8.self))
    .setting(key, value).bytes
}

/// What a parser's error says of a file; nil if it is a record.
private func fault(_ bytes: [UInt8]) -> RecordError? {
  do throws(RecordError) {
    _ = try AttachmentRecord(parsing: bytes)
    return nil
  } catch {
    return error
  }
}

@Suite("AttachmentRecord: what is written is read")
struct RecordTests {
  @Test("a record with every field comes back from its file as it was")
  func roundTrip() throws {
    let record = try fullRecord()
    #expect(record.result?.ips.count == 2)
    #expect(try AttachmentRecord(parsing: record.encoded()) == record)
  }

  @Test("a record that an ADD has just begun comes back as it was")
  func fresh() throws {
    let record = draft(request(.add, try configuration()), plugin: "p")
    #expect(record.phase == .adding)
    #expect(try AttachmentRecord(parsing: record.encoded()) == record)
  }

  @Test("a record of before namespaces had ids is still one")
  func withoutID() throws {
    let bytes = try file("namespace", ["cookie": 77])
    let record = try AttachmentRecord(parsing: bytes)
    #expect(record.namespace == NamespaceIdentity(cookie: 77, id: nil))
    #expect(record.encoded() == bytes)
    let json = JSONValue(text: String(decoding: try fullRecord().encoded(), as: UTF8.self))
    #expect(json["version"] == 2)
    #expect(json.at("namespace", "id") == 7)
  }

  /// A change of one field.
  struct Change: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let apply: @Sendable (inout AttachmentRecord) -> Void
    init(_ name: String, _ apply: @escaping @Sendable (inout AttachmentRecord) -> Void) {
      testDescription = name
      self.apply = apply
    }
  }

  @Test(
    "no field is lost on the way",
    arguments: [
      Change("phase") { $0.phase = .deleting },
      Change("configuration") { $0.configuration.append(0x0A) },
      Change("no configuration") { $0.configuration = [] },
      Change("environment") { $0.environment["CNI_X"] = "\u{1}\"\\" },
      Change("no environment") { $0.environment = [:] },
      Change("origin") { $0.origin = "ovn" },
      Change("request id") { $0.requestID = "" },
      Change("stamp's boot") { $0.stamp = Stamp(bootID: "other", nanoseconds: .max) },
      Change("stamp's time") { $0.stamp = Stamp(bootID: "b00t-id", nanoseconds: 0) },
      Change("cookie") { $0.namespace = NamespaceIdentity(cookie: 1, id: 7) },
      Change("namespace id") { $0.namespace = NamespaceIdentity(cookie: .max, id: .max) },
      Change("no namespace id") { $0.namespace = NamespaceIdentity(cookie: .max) },
      Change("no namespace") { $0.namespace = nil },
      Change("plan") { $0.plan.removeLast() },
      Change("no plan") { $0.plan = [] },
      Change("a plan's kind") { $0.plan[1] = PlannedResource("port", []) },
      Change("a plan's value") { $0.plan[2] = PlannedResource("link", [("name", "eth2")]) },
      Change("result") { $0.result?.ips.removeLast() },
      Change("empty result") { $0.result = CNIResult() },
      Change("no result") { $0.result = nil },
      Change("parent") {
        $0.parent = AttachmentKey(
          network: "n", containerID: "c", ifName: "i", plugin: "delegate", place: "0.1")
      },
      Change("names") { $0.names = [OutsideName(kind: "k", scope: "", value: "v")] },
      Change("duties") { $0.duties = [Duty(kind: "report", due: .max)] },
      Change("notes") { $0.notes = JSONObject([("a", [1])]) },
    ])
  func field(change: Change) throws {
    let before = try fullRecord()
    var changed = before
    change.apply(&changed)
    #expect(changed != before)
    #expect(try AttachmentRecord(parsing: changed.encoded()) == changed)
  }

  @Test(
    "no part of the key is lost on the way",
    arguments: [
      AttachmentKey(network: "other", containerID: "c", ifName: "i", plugin: "p"),
      AttachmentKey(network: "n", containerID: "other", ifName: "i", plugin: "p"),
      AttachmentKey(network: "n", containerID: "c", ifName: "ö☃", plugin: "p"),
      AttachmentKey(network: "n", containerID: "c", ifName: "i", plugin: "other/p"),
      AttachmentKey(network: "n", containerID: "c", ifName: "i", plugin: "p", place: "net.0"),
    ])
  func keys(key: AttachmentKey) throws {
    let record = AttachmentRecord(
      key: key, configuration: [], environment: [:], origin: "cni", requestID: "",
      stamp: Stamp(bootID: "b", nanoseconds: 1))
    #expect(try AttachmentRecord(parsing: record.encoded()).key == key)
  }

  @Test("a plan's entries are found by kind, in order, with their texts")
  func planned() throws {
    let record = try fullRecord()
    #expect(record.planned("link").map { $0.string("name") } == ["eth0", "eth1"])
    #expect(record.planned("lease").first?.string("name") == nil)
    #expect(record.planned("link").first?.string("index") == nil)
    #expect(record.planned("port").isEmpty)
  }

  @Test("a key is printed with all its parts")
  func description() {
    let key = AttachmentKey(network: "n", containerID: "c", ifName: "i", plugin: "p")
    #expect("\(key)" == "c/i (n, p)")
    let part = AttachmentKey(
      network: "n", containerID: "c", ifName: "i", plugin: "p", place: "net.0")
    #expect("\(part)" == "c/i (n, p, net.0)")
  }
}

@Suite("AttachmentRecord: files of other programs, and damaged ones")
struct ForeignRecordTests {
  @Test("members that this program does not know are kept as they are")
  func unknownMembers() throws {
    let bytes = try file("later", ["a": JSONValue(text: "1.50")])
    #expect(try AttachmentRecord(parsing: bytes).encoded() == bytes)
  }

  @Test(
    "a newer record says so, whatever else is in it",
    arguments: [(#"{"version":3}"#, 3), (#"{"phase":7,"version":9000}"#, 9000)])
  func newer(text: String, version: Int) {
    let error = fault(Array(text.utf8))
    #expect(error?.reason == .newer(version))
    #expect(error?.description == "record of version \(version), this program knows 2")
  }

  /// What is wrong with a file, and what the error names.
  struct Damage: Sendable, CustomTestStringConvertible {
    let key: String
    let value: JSONValue?
    init(_ key: String, _ value: JSONValue?) {
      self.key = key
      self.value = value
    }
    var testDescription: String {
      "\(key): \(value.map { String(decoding: $0.bytes, as: UTF8.self) } ?? "missing")"
    }
  }

  @Test(
    "a missing member, another type and a senseless value are damage that names the member",
    arguments: [
      Damage("version", nil), Damage("version", "1"), Damage("version", -1),
      Damage("version", JSONValue(text: "1.5")), Damage("version", JSONValue(text: "1e99")),
      Damage("readableFrom", nil), Damage("readableFrom", "2"),
      Damage("phase", nil), Damage("phase", "gone"), Damage("phase", 1),
      Damage("network", nil), Damage("network", .null),
      Damage("containerID", nil), Damage("containerID", 1), Damage("ifName", nil),
      Damage("ifName", []), Damage("plugin", nil), Damage("plugin", [:]),
      Damage("configuration", nil), Damage("configuration", "?"), Damage("configuration", "YQ"),
      Damage("configuration", ["a": 1]), Damage("environment", nil), Damage("environment", "A=b"),
      Damage("environment", ["A": 1]), Damage("origin", nil), Damage("origin", true),
      Damage("requestID", nil), Damage("requestID", 1), Damage("stamp", nil),
      Damage("stamp", "boot"), Damage("stamp", "boot:-1"), Damage("stamp", 1),
      Damage("namespace", 1), Damage("namespace", [:]), Damage("namespace", ["cookie": -1]),
      Damage("namespace", ["cookie": "1"]),
      Damage("namespace", ["cookie": 1, "id": -1]), Damage("namespace", ["cookie": 1, "id": "1"]),
      Damage("namespace", ["cookie": 1, "id": 2_147_483_648]), Damage("namespace", ["id": 1]),
      Damage("plan", nil), Damage("plan", [:]),
      Damage("plan", [1]), Damage("plan", [["kind": "link"]]), Damage("plan", [["values": [:]]]),
      Damage("plan", [["kind": 1, "values": [:]]]), Damage("plan", [["kind": "a", "values": 1]]),
      Damage("result", 1), Damage("result", ["ips": [["address": "nonsense"]]]),
      Damage("result", ["cniVersion": "9.9.9"]), Damage("place", 1),
      Damage("parent", 1), Damage("parent", ["network": "n"]), Damage("names", [:]),
      Damage("names", [["kind": "k", "scope": "s"]]), Damage("duties", 1),
      Damage("duties", [["kind": "k", "due": -1, "values": [:]]]),
      Damage("duties", [["kind": "k", "due": 1]]), Damage("notes", []),
    ])
  func damaged(damage: Damage) throws {
    let error = try #require(fault(file(damage.key, damage.value)))
    guard case .damaged(let what) = error.reason else {
      Issue.record("\(error)")
      return
    }
    #expect(what.hasPrefix(damage.key))
    #expect("\(error)" == "damaged record: \(what)")
  }

  @Test(
    "what is no JSON object is damage",
    arguments: ["", " ", "null", "[]", "1", "\"a\"", "{", "{}x", "\u{0}"])
  func noObject(text: String) {
    #expect(fault(Array(text.utf8))?.description.hasPrefix("damaged record: ") == true)
  }

  @Test("a file cut off anywhere is damage")
  func cut() throws {
    let bytes = try fullRecord().encoded()
    let read = bytes.indices.filter { fault(Array(bytes[..<$0])) == nil }
    #expect(read.isEmpty)
  }
}
