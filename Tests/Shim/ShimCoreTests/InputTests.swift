import CNI
import DaemonAPI
import JSON
import Linux
import ShimCore
import TestSupport
import Testing

/// A call that is refused before the daemon is asked, and with what.
struct Refusal: Sendable, CustomTestStringConvertible {
  let name: String
  let call: ShimCall
  let error: CNIError
  var testDescription: String { name }

  init(_ name: String, _ call: ShimCall, _ code: Int, _ message: String, _ details: String = "") {
    self.name = name
    self.call = call
    error = CNIError(CNIErrorCode(rawValue: code), message, details: details)
  }
}

private let unset: [String: String?] = [
  "CNI_CONTAINERID": nil, "CNI_NETNS": nil, "CNI_IFNAME": nil, "CNI_ARGS": nil, "CNI_PATH": nil,
]

private let allVersions =
  #"["0.1.0" "0.2.0" "0.3.0" "0.3.1" "0.4.0" "1.0.0" "1.1.0"]"#

private func missing(_ list: String) -> String { "required env variables [\(list)] missing" }

/// What is refused without a daemon.
private let refusals: [Refusal] = [
  Refusal(
    "No container id", ShimCall("ADD", ["CNI_CONTAINERID": nil]), 4, missing("CNI_CONTAINERID")),
  Refusal("No netns", ShimCall("ADD", ["CNI_NETNS": nil]), 4, missing("CNI_NETNS")),
  Refusal("No ifname", ShimCall("ADD", ["CNI_IFNAME": nil]), 4, missing("CNI_IFNAME")),
  Refusal("No path", ShimCall("ADD", ["CNI_PATH": nil]), 4, missing("CNI_PATH")),
  Refusal("empty is missing", ShimCall("ADD", ["CNI_NETNS": ""]), 4, missing("CNI_NETNS")),
  Refusal(
    "Three are missing",
    ShimCall("ADD", ["CNI_NETNS": nil, "CNI_IFNAME": nil, "CNI_PATH": nil]), 4,
    missing("CNI_NETNS,CNI_IFNAME,CNI_PATH")),
  Refusal(
    "everything is missing", ShimCall("CHECK", unset), 4,
    missing("CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH")),
  Refusal(
    "DEL needs no netns", ShimCall("DEL", unset), 4,
    missing("CNI_CONTAINERID,CNI_IFNAME,CNI_PATH")),
  Refusal(
    "UPDATE needs what ADD needs", ShimCall("UPDATE", unset), 4,
    missing("CNI_CONTAINERID,CNI_NETNS,CNI_IFNAME,CNI_PATH")),
  Refusal("GC needs the path", ShimCall("GC", unset), 4, missing("CNI_PATH")),
  Refusal("STATUS needs the path", ShimCall("STATUS", unset), 4, missing("CNI_PATH")),
  Refusal(
    "a bad id wins over later missing ones",
    ShimCall("ADD", ["CNI_CONTAINERID": "a b", "CNI_NETNS": nil, "CNI_PATH": nil]), 4,
    "invalid characters in containerID", "a b"),
  Refusal(
    "A bad id", ShimCall("ADD", ["CNI_CONTAINERID": "some-%%container-id"]), 4,
    "invalid characters in containerID", "some-%%container-id"),
  Refusal(
    "a bad id, DEL", ShimCall("DEL", ["CNI_CONTAINERID": "../x"]), 4,
    "invalid characters in containerID", "../x"),
  Refusal(
    "A long name", ShimCall("ADD", ["CNI_IFNAME": "1234567890123456"]), 4,
    "interface name is too long", "interface name should be less than 16 characters"),
  Refusal(".", ShimCall("ADD", ["CNI_IFNAME": "."]), 4, "interface name is . or .."),
  Refusal("..", ShimCall("ADD", ["CNI_IFNAME": ".."]), 4, "interface name is . or .."),
  Refusal("/", ShimCall("ADD", ["CNI_IFNAME": "test/test"]), 4, badName),
  Refusal(":", ShimCall("ADD", ["CNI_IFNAME": "test:test"]), 4, badName),
  Refusal("White space", ShimCall("ADD", ["CNI_IFNAME": "test test"]), 4, badName),
  Refusal("A no-break space", ShimCall("ADD", ["CNI_IFNAME": "test\u{A0}"]), 4, badName),
  Refusal(
    "An unknown version", ShimCall("ADD", [:], ["cniVersion": "9.8.7"]), 1,
    "incompatible CNI versions", "config is \"9.8.7\", plugin supports \(allVersions)"),
  Refusal(
    "a version that is no version, ADD", ShimCall("ADD", [:], ["cniVersion": "adsfsadf"]), 1,
    "incompatible CNI versions", "config is \"adsfsadf\", plugin supports \(allVersions)"),
  Refusal(
    "CHECK before 0.4.0", ShimCall("CHECK", [:], ["cniVersion": "0.3.0"]), 1,
    "CHECK needs cniVersion 0.4.0, the network says 0.3.0"),
  Refusal(
    "CHECK without a version", ShimCall("CHECK", [:], ["cniVersion": nil]), 1,
    "CHECK needs cniVersion 0.4.0, the network says 0.1.0"),
  Refusal(
    "GC before 1.1.0", ShimCall("GC", [:], ["cniVersion": "0.3.0"]), 1,
    "GC needs cniVersion 1.1.0, the network says 0.3.0"),
  Refusal(
    "STATUS before 1.1.0", ShimCall("STATUS", [:], ["cniVersion": "1.0.0"]), 1,
    "STATUS needs cniVersion 1.1.0, the network says 1.0.0"),
  Refusal(
    "CHECK beyond what is supported", ShimCall("CHECK", [:], ["cniVersion": "9.8.7"]), 1,
    "cniVersion 9.8.7 is not known, the newest is 1.1.0: no CHECK"),
  Refusal(
    "A bad network name", ShimCall("ADD", [:], ["name": "te%%st"]), 7,
    "invalid characters found in network name", "te%%st"),
  Refusal("No name", ShimCall("ADD", [:], ["name": nil]), 7, "missing network name"),
  Refusal("an empty name", ShimCall("ADD", [:], ["name": ""]), 7, "missing network name"),
  Refusal("An unknown verb", ShimCall("NOPE"), 4, "unknown CNI_COMMAND: NOPE"),
  Refusal("verbs are upper case", ShimCall("add"), 4, "unknown CNI_COMMAND: add"),
  Refusal(
    "the name is checked before the verb", ShimCall("NOPE", unset, ["name": nil]), 7,
    "missing network name"),
  Refusal(
    "a time that is none", ShimCall("ADD", [:], ["daemonTimeout": 0]), 7,
    "daemonTimeout: must be a whole number of seconds from 1 to 86400"),
  Refusal(
    "a time of another type", ShimCall("ADD", [:], ["daemonTimeout": "20"]), 7,
    "daemonTimeout: must be a whole number of seconds from 1 to 86400"),
  Refusal(
    "a time in another case, as Go reads it",
    ShimCall("ADD", [:], ["DAEMONTIMEOUT": 0, "daemonTimeout": nil]),
    7, "daemonTimeout: must be a whole number of seconds from 1 to 86400"),
  Refusal(
    "a directory with a zero byte", ShimCall("ADD", [:], ["daemonSocketDir": "/run\0/x"]), 7,
    "daemonSocketDir: the text has a zero byte"),
  Refusal(
    "a pattern of the kernel for a name", ShimCall("ADD", ["CNI_IFNAME": "eth%d"]), 4,
    "interface name contains %", "the kernel would take \"eth%d\" for a pattern"),
  Refusal(
    "a directory of another type", ShimCall("ADD", [:], ["daemonSocketDir": 1]), 7,
    "daemonSocketDir: must be a string"),
]

private let badName = "interface name contains / or : or whitespace characters"

@Suite("The shim checks its input")
struct InputTests {
  @Test("A wrong call is refused with the skeleton's code and text", arguments: refusals)
  func refused(_ refusal: Refusal) async throws {
    let outcome = try await refusal.call.run()
    #expect(outcome.status == 1)
    #expect(outcome.error == refusal.error)
  }

  @Test(
    "A version that cannot be read is code 6 for CHECK, GC and STATUS",
    arguments: [
      "CHECK", "GC", "STATUS",
    ])
  func unreadableVersion(verb: String) async throws {
    let outcome = try await ShimCall(verb, [:], ["cniVersion": "adsfsadf"]).run()
    #expect(outcome.error?.code == .decodingFailure)
  }

  @Test(
    "Stdin that is no network configuration is code 6 and is not repeated",
    arguments: [
      "", " ", "secret", "{\"name\":\"secret\"", "[\"secret\"]", "\"secret\"", "1",
      "{\"cniVersion\":[\"secret\"],\"name\":\"a\"}",
      "{\"cniVersion\":\"1.1.0\",\"name\":{\"secret\":1}}",
      "{\"name\":\"a\"} secret", "{\"name\":\"\u{1}secret\"}",
    ])
  func notAConfiguration(text: String) async throws {
    var call = ShimCall()
    call.input = .bytes(Array(text.utf8))
    let outcome = try await call.run()
    #expect(outcome.error?.code == .decodingFailure)
    #expect(outcome.error?.message.hasPrefix("error unmarshall network config: ") == true)
    #expect(!outcome.text.contains("secret"))
    #expect(!outcome.errorText.contains("secret"))
  }

  @Test("stdin that cannot be read is code 5", arguments: [ShimCall.Input.closed, .directory])
  func unreadable(input: ShimCall.Input) async throws {
    var call = ShimCall()
    call.input = input
    let outcome = try await call.run()
    #expect(outcome.error?.code == .ioFailure)
    #expect(outcome.error?.message.hasPrefix("error reading from stdin: ") == true)
  }

  @Test("VERSION does not touch stdin and needs nothing else")
  func version() async throws {
    var call = ShimCall("VERSION", unset)
    call.input = .closed
    let outcome = try await call.run()
    #expect(outcome.status == 0)
    #expect(
      outcome.text == "{\"cniVersion\":\"1.1.0\",\"supportedVersions\":"
        + "[\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\",\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n")
    #expect(outcome.errorOutput.isEmpty)
  }

  @Test(
    "Without a verb it says what it is, on stderr, and touches nothing",
    arguments: [
      nil, "",
    ] as [String?])
  func about(verb: String?) async throws {
    var call = ShimCall("ADD", ["CNI_COMMAND": verb])
    call.input = .closed
    let outcome = try await call.run()
    #expect(outcome.status == 0)
    #expect(outcome.output.isEmpty)
    let versions =
      "CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"
    #expect(outcome.errorText.split(separator: "\n").last.map(String.init) == versions)
  }

  @Test("An error carries the configuration's version once that is known to be one")
  func errorVersion() async throws {
    let older = try await ShimCall("ADD", [:], ["cniVersion": "0.3.1", "daemonTimeout": -1]).run()
    #expect(older.json?["cniVersion"] == "1.1.0")
    let unknown = try await ShimCall("CHECK", [:], ["cniVersion": "0.3.1"]).run()
    #expect(unknown.json?["cniVersion"] == "0.3.1")
    let wrong = try await ShimCall("ADD", [:], ["cniVersion": "9.8.7"]).run()
    #expect(wrong.json?["cniVersion"] == "1.1.0")
  }

  @Test("An error is printed indented, in the specification's order")
  func errorForm() async throws {
    let outcome = try await ShimCall("ADD", ["CNI_CONTAINERID": "a b"]).run()
    #expect(
      outcome.text == """
        {
            "cniVersion": "1.1.0",
            "code": 4,
            "msg": "invalid characters in containerID",
            "details": "a b"
        }

        """)
  }

  @Test(
    "Code 8: the shim's own namespace is refused before the daemon is asked",
    arguments: [
      "ADD", "UPDATE", "DEL",
    ])
  func ownNamespace(verb: String) async throws {
    let node = try FakeNode([.response(200, [])])
    let call = ShimCall(verb, ["CNI_NETNS": "/proc/self/ns/net"])
    let outcome = try await node.run(call)
    #expect(
      outcome.error
        == CNIError(
          .invalidNamespace, "plugin's netns and netns from CNI_NETNS should not be the same"))
    #expect(node.daemon.requests.isEmpty && node.daemon.probes.isEmpty)
  }

  @Test(
    "CNI_NETNS_OVERRIDE allows the shim's own namespace",
    arguments: [
      ("1", true), ("true", true), ("TRUE", true), ("True", true), ("0", false), ("yes", false),
    ])
  func override(value: String, isAllowed: Bool) async throws {
    let node = try FakeNode([added("{\"cniVersion\":\"1.1.0\"}")])
    let call = ShimCall(
      "ADD", ["CNI_NETNS": "/proc/self/ns/net", "CNI_NETNS_OVERRIDE": value])
    let outcome = try await node.run(call)
    #expect((outcome.status == 0) == isAllowed)
  }

  @Test(
    "A namespace that is not there, or is none, does not stop DEL",
    arguments: [
      "/nowhere", "/etc/passwd", "relative", "",
    ])
  func missingNamespace(path: String) async throws {
    let (outcome, node) = try await FakeNode.run(
      ShimCall("DEL", ["CNI_NETNS": path]), [.response(200, [])])
    #expect(outcome.status == 0)
    #expect(node.daemon.requests.count == 1)
  }

  @Test(
    "What a verb does not need may be missing",
    arguments: [
      ShimCall("ADD", ["CNI_ARGS": nil]), ShimCall("DEL", ["CNI_NETNS": nil, "CNI_ARGS": nil]),
      ShimCall(
        "GC", ["CNI_CONTAINERID": nil, "CNI_NETNS": nil, "CNI_IFNAME": nil, "CNI_ARGS": nil]),
      ShimCall("STATUS", ["CNI_CONTAINERID": nil, "CNI_NETNS": nil, "CNI_IFNAME": nil]),
      ShimCall("GC", ["CNI_CONTAINERID": "not checked %", "CNI_IFNAME": "nor/this"]),
    ])
  func notNeeded(call: ShimCall) async throws {
    let (outcome, node) = try await FakeNode.run(
      call, [added("{\"cniVersion\":\"1.1.0\"}")])
    #expect(outcome.status == 0, "\(outcome.text)")
    #expect(node.daemon.requests.count == 1)
  }

  @Test(
    "What an ADD refuses does not stop a DEL",
    arguments: [
      ShimCall("DEL", ["CNI_IFNAME": "eth%d"]), ShimCall("DEL", [:], ["cniVersion": "9.9.9"]),
    ])
  func deleteOfRefused(call: ShimCall) async throws {
    let (outcome, node) = try await FakeNode.run(call, [.response(200, [])])
    #expect(outcome.status == 0, "\(outcome.text)")
    #expect(node.daemon.requests.count == 1)
  }

  @Test("Wrong keys of its own do not stop a DEL")
  func deleteWithWrongKeys() async throws {
    let call = ShimCall("DEL", [:], ["daemonTimeout": "soon", "logToStderr": 7])
    let (outcome, node) = try await FakeNode.run(call, [.response(200, [])])
    #expect(outcome.status == 0)
    #expect(node.daemon.requests.count == 1)
  }
}
