import CNI
import DaemonAPI
import JSON
import Linux
import TestSupport
import Testing

private let stamp = Stamp(bootID: "0f1e2d3c-aaaa-bbbb", nanoseconds: 12_345_678)
private let request = Request(
  env: ["CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_ARGS": "A=\u{e9}\n\""],
  config: Array("{ \"name\":\"n\", \"n\":1e400 }\n".utf8) + [0, 0xFF])

private func members(_ changes: [String: JSONValue?]) throws -> [UInt8] {
  let entry = try #require(SpoolEntry(request, requestID: "a-1", stamp: stamp))
  var object = try #require(try JSONValue.parse(entry.encoded()).object)
  for (key, value) in changes { object[key] = value }
  return JSONValue.object(object).encoded()
}

@Suite("Spool entries")
struct SpoolEntryTests {
  @Test("What was written is read as it was, the configuration byte for byte")
  func roundTrip() throws {
    let requests = [
      request, Request(env: [:], config: []),
      Request(
        env: ["A": ""], config: [1],
        interfaceAttributes: DelegateInterfaceAttributes(ips: ["10.0.0.1/8"], mac: "c2:11")),
    ]
    for request in requests {
      let entry = try #require(
        SpoolEntry(request, requestID: try RequestID.random(), stamp: .now))
      #expect(try SpoolEntry(parsing: entry.encoded()) == entry)
    }
  }

  @Test("It is a request's JSON with three members more")
  func json() throws {
    let value = try JSONValue.parse(try members([:]))
    #expect(value["version"] == 1)
    #expect(value["requestID"] == "a-1")
    #expect(value["stamp"] == "0f1e2d3c-aaaa-bbbb:12345678")
    #expect(try Request(parsing: value.encoded()) == request)
  }

  @Test("The file's name is made of the stamp and the id, so names sort by stamp")
  func names() throws {
    let entry = try #require(SpoolEntry(request, requestID: "a.b-1", stamp: stamp))
    #expect(entry.fileName == "00000000000012345678-a.b-1.json")
    #expect(SpoolEntry.isFileName(entry.fileName))
    let late = Stamp(bootID: "b", nanoseconds: .max)
    let last = try #require(SpoolEntry(request, requestID: "0", stamp: late))
    #expect(last.fileName == "18446744073709551615-0.json")
    #expect(entry.fileName < last.fileName)
  }

  @Test("A temporary file's name tells when its writing began")
  func temporaryNames() throws {
    let entry = try #require(SpoolEntry(request, requestID: "a", stamp: stamp))
    let before = KernelClock.boot
    let name = entry.temporaryName
    let time = try #require(SpoolEntry.temporaryNanoseconds(name))
    #expect((before...KernelClock.boot).contains(time))
    #expect(!SpoolEntry.isFileName(name))
    #expect(SpoolEntry.temporaryNanoseconds(entry.fileName) == nil)
  }

  @Test(
    "Other names are no entry's",
    arguments: [
      "", ".json", "00000000000012345678.json", "00000000000012345678-.json", "README",
      "0000000000012345678-a.json", "00000000000012345678-a.json/tmp",
      "00000000000012345678-a.json.damaged", "000000000000123456780-a.json",
      "+0000000000012345678-a.json", "00000000000012345678-\u{e9}.json",
      "99999999999999999999-a.json", "00000000000012345678_a.json",
      "00000000000012345678-a/b.json", "00000000000012345678-a.JSON",
    ])
  func otherNames(name: String) {
    #expect(!SpoolEntry.isFileName(name))
    #expect(SpoolEntry.temporaryNanoseconds(name) == nil)
  }

  @Test(
    "An id that cannot be part of a name makes no entry", arguments: ["", "../x", "a/b", "a\0"])
  func badID(id: String) {
    #expect(SpoolEntry(request, requestID: id, stamp: stamp) == nil)
  }

  @Test(
    "A damaged entry is an error that says what is wrong and nothing of the entry",
    arguments: [
      (["version": nil], "version"), (["version": -1], "version"), (["version": "1"], "version"),
      (["requestID": nil], "requestID"), (["requestID": "../secret"], "requestID"),
      (["requestID": 7], "requestID"), (["stamp": nil], "stamp"), (["stamp": "secret"], "stamp"),
      (["stamp": 5], "stamp"), (["env": ["A": 1]], "env"), (["env": "secret"], "env"),
      (["config": "secret!"], "config"), (["config": 1], "config"),
    ] as [([String: JSONValue?], String)])
  func damaged(changes: [String: JSONValue?], name: String) throws {
    let bytes = try members(changes)
    let error = #expect(throws: CNIError.self) { try SpoolEntry(parsing: bytes) }
    #expect(error?.code == .decodingFailure)
    #expect(error?.message.hasPrefix(name) == true)
    #expect(error?.message.contains("secret") == false)
  }

  @Test("What is no object is an error", arguments: ["", "null", "[]", "7", "{", "{}x"])
  func noObject(text: String) {
    #expect(throws: CNIError.self) { try SpoolEntry(parsing: Array(text.utf8)) }
  }

  @Test("The directory is `spool` beside the socket")
  func directory() {
    #expect(SpoolEntry.directory() == "/run/cnid/spool")
    #expect(SpoolEntry.directory(socketDirectory: "/a/b/") == "/a/b/spool")
    #expect(SpoolEntry.directory(socketDirectory: "/") == "/spool")
    #expect(SpoolEntry.directory(socketDirectory: "") == "spool")
  }

  // What stands here never changes: a new version gets one more.
  /// Entries as shims have written them.
  static let golden = [
    // Version 0, from before the first release; made by hand.
    #"{"version":0,"requestID":"a-1","bootID":"0f1e2d3c-aaaa-bbbb","nanoseconds":12345678,"#
      + #""env":{"CNI_COMMAND":"DEL","CNI_CONTAINERID":"c1","CNI_IFNAME":"eth0"},"#
      + #""config":"eyAibmFtZSI6Im4iLCAibiI6MWU0MDAgfQoA/w=="}"#,
    #"{"version":1,"requestID":"a-1","stamp":"0f1e2d3c-aaaa-bbbb:12345678","#
      + #""env":{"CNI_COMMAND":"DEL","CNI_CONTAINERID":"c1","CNI_IFNAME":"eth0"},"#
      + #""config":"eyAibmFtZSI6Im4iLCAibiI6MWU0MDAgfQoA/w=="}"#,
  ]

  @Test("An entry of every version is read, and the newest is written as it stands here")
  func versions() throws {
    let plain = Request(
      env: ["CNI_COMMAND": "DEL", "CNI_CONTAINERID": "c1", "CNI_IFNAME": "eth0"],
      config: request.config)
    let entry = try #require(SpoolEntry(plain, requestID: "a-1", stamp: stamp))
    #expect(SpoolEntry.history.current == Self.golden.count - 1)
    for text in Self.golden { #expect(try SpoolEntry(parsing: Array(text.utf8)) == entry) }
    #expect(String(decoding: entry.encoded(), as: UTF8.self) == Self.golden.last)
  }

  @Test("A newer entry is an error of its own, unless it says that it can be read")
  func newer() throws {
    let bytes = try members(["version": 2])
    let error = #expect(throws: CNIError.self) { try SpoolEntry(parsing: bytes) }
    #expect(error?.code == .incompatibleVersion)
    #expect(error?.message == "spool entry of version 2, this program knows 1")
    let readable = try members(["version": 2, "readableFrom": 1, "later": []])
    #expect(try SpoolEntry(parsing: readable).request == request)
  }
}
