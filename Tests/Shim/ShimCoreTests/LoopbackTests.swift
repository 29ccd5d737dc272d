import CNI
import JSON
import Linux
import ShimCore
import TestSupport
import Testing

extension ShimCall {
  /// A call of the shim as `loopback` in a namespace; its daemon's directory does not exist.
  fileprivate init(
    loopback command: String, in netns: String, _ members: [String: JSONValue?] = [:]
  ) {
    self.init(command, ["CNI_NETNS": netns], members)
    set(["type": "loopback", "daemonSocketDir": "/no/such/directory"])
    name = "loopback"
  }
}

@Suite("The plugin loopback, without a daemon")
struct LoopbackTests {
  private let netns: TestNamespace
  init() async throws { netns = try await TestNamespace() }

  private func run(
    _ command: String, _ members: [String: JSONValue?] = [:]
  ) async throws -> ShimOutcome {
    try await ShimCall(loopback: command, in: netns.path, members).run()
  }

  private func isUp() async throws -> Bool {
    try await netns.link("lo")?["flags"]?.array?.contains("UP") ?? false
  }

  private var sandbox: JSONValue { .string(netns.path) }

  @Test("ADD sets lo up and prints it in the form of the version", arguments: CNIVersion.allCases)
  func add(version: CNIVersion) async throws {
    #expect(try await !isUp())
    let outcome = try await run("ADD", ["cniVersion": .string(version.description)])
    #expect(outcome.status == 0 && outcome.errorOutput.isEmpty, "\(outcome.text)")
    #expect(try await isUp())
    let interfaces: JSONValue = [
      ["name": "lo", "mac": "00:00:00:00:00:00", "sandbox": sandbox]
    ]
    var expected: JSONValue = ["cniVersion": .string(version.description)]
    switch version {
    case .v010, .v020:
      expected = expected.setting("ip4", ["ip": "127.0.0.1/8"])
        .setting("ip6", ["ip": "::1/128"]).setting("dns", [:])
    case .v030, .v031, .v040:
      expected = expected.setting("interfaces", interfaces)
        .setting(
          "ips",
          [
            ["version": "4", "interface": 0, "address": "127.0.0.1/8"],
            ["version": "6", "interface": 0, "address": "::1/128"],
          ]
        ).setting("dns", [:])
    case .v100, .v110:
      expected = expected.setting("interfaces", interfaces)
        .setting(
          "ips",
          [
            ["interface": 0, "address": "127.0.0.1/8"], ["interface": 0, "address": "::1/128"],
          ])
    }
    #expect(outcome.output == expected.encoded(.indented(sorted: version >= .v100)))
  }

  @Test("CNI_IFNAME is not looked at, and ADD and UPDATE may come again")
  func again() async throws {
    let first = try await run("ADD")
    #expect(first.status == 0)
    #expect(try await run("ADD") == first)
    #expect(try await run("UPDATE") == first)
    #expect(try await netns.links() == [])
  }

  @Test("DEL sets lo down, and may come again")
  func delete() async throws {
    #expect(try await run("ADD").status == 0)
    #expect(try await run("DEL") == ShimOutcome())
    #expect(try await !isUp())
    #expect(try await run("DEL") == ShimOutcome())
  }

  @Test("DEL of a namespace that is gone succeeds; ADD and CHECK say what is missing")
  func gone() async throws {
    let directory = try TemporaryDirectory()
    try Files.write(directory("plain"), [], mode: [.write, .create])
    let paths = [directory("none"), directory("plain"), directory("plain/x"), "/proc/self/ns/mnt"]
    for path in paths {
      #expect(try await ShimCall(loopback: "DEL", in: path).run() == ShimOutcome())
      for command in ["ADD", "CHECK"] {
        let error = try await ShimCall(loopback: command, in: path).run().error
        #expect(error?.code == .ioFailure)
        #expect(error?.message == "failed to open netns \"\(path)\"")
      }
    }
    #expect(try await ShimCall(loopback: "DEL", in: "").run() == ShimOutcome())
  }

  @Test("An address that is not the machine's own is refused, as the reference does")
  func foreignAddress() async throws {
    for address in ["10.1.1.1/24", "fd00::1/64"] {
      try await netns.ip("link set lo up", "address add \(address) dev lo")
      let error = try await run("ADD").error
      let shown = address.prefix { $0 != "/" }
      let message = "loopback interface found with non-loopback address \"\(shown)\""
      #expect(error == CNIError(.internal, message))
      try await netns.ip("address del \(address) dev lo")
    }
    // A second one of its own is none.
    try await netns.ip("address add 127.0.0.2/8 dev lo")
    let outcome = try await run("ADD")
    #expect(outcome.json?.at("ips", 0, "address") == "127.0.0.1/8", "\(outcome.text)")
    #expect(outcome.json?["ips"]?.array?.count == 2)
  }

  @Test("CHECK wants lo up, and the addresses that the result gives it")
  func check() async throws {
    let down = CNIError(.internal, "loopback interface is down")
    #expect(try await run("CHECK").error == down)
    let result = try await run("ADD").json
    #expect(try await run("CHECK") == ShimOutcome())
    #expect(try await run("CHECK", ["prevResult": result]) == ShimOutcome())
    try await netns.ip("address del ::1/128 dev lo")
    #expect(
      try await run("CHECK", ["prevResult": result]).error?.message
        == "loopback interface lacks the address ::1/128")
    // What other plugins made is theirs to look at.
    let others: JSONValue = [
      "cniVersion": "1.1.0", "interfaces": [["name": "eth0"]],
      "ips": [["interface": 0, "address": "10.1.2.3/24"], ["address": "10.1.2.4/24"]],
    ]
    #expect(try await run("CHECK", ["prevResult": others]) == ShimOutcome())
    try await netns.ip("link set lo down")
    #expect(try await run("CHECK").error == down)
  }

  @Test("A previous result is passed on as it is, and converted only to another version")
  func previousResult() async throws {
    let previous: JSONValue = [
      "cniVersion": "1.1.0", "unknown": 7, "interfaces": [["name": "eth0"]],
      "ips": [["interface": 0, "address": "10.1.2.3/24"]],
    ]
    let same = try await run("ADD", ["prevResult": previous])
    #expect(same.output == previous.encoded(.indented()))
    #expect(try await isUp())
    let older = try await run("ADD", ["cniVersion": "0.4.0", "prevResult": previous])
    #expect(older.json?["cniVersion"] == "0.4.0" && older.json?["unknown"] == nil)
    #expect(older.json?.at("ips", 0, "version") == "4", "\(older.text)")
    let none = try await run("ADD", ["prevResult": .null])
    #expect(none.json?.at("interfaces", 0, "name") == "lo")
  }

  @Test("A previous result that cannot be read is refused before anything is done")
  func badPreviousResult() async throws {
    let bad: [(JSONValue, CNIErrorCode)] = [
      (["cniVersion": "9.9.9"], .incompatibleVersion),
      (["ips": [["address": "x"]]], .decodingFailure), ("text", .decodingFailure),
    ]
    for (value, code) in bad {
      let outcome = try await run("ADD", ["prevResult": value])
      #expect(outcome.error?.code == code, "\(outcome.text)")
    }
    #expect(try await !isUp())
  }

  @Test("STATUS and GC succeed, and nothing asks for a daemon")
  func withoutNamespace() async throws {
    for command in ["STATUS", "GC"] { #expect(try await run(command) == ShimOutcome()) }
    let version = try await run("VERSION")
    #expect(version.json?["cniVersion"] == "1.1.0")
    var about = ShimCall(loopback: "ADD", in: "/x")
    about.environment["CNI_COMMAND"] = nil
    #expect(try await about.run().errorText.contains("as loopback"))
  }

  @Test("Input is checked as for every other call")
  func refusals() async throws {
    var call = ShimCall(loopback: "ADD", in: netns.path)
    call.environment["CNI_PATH"] = nil
    #expect(try await call.run().error?.message == "required env variables [CNI_PATH] missing")
    call = ShimCall(loopback: "ADD", in: netns.path, ["name": nil])
    #expect(try await call.run().error?.message == "missing network name")
    call = ShimCall(loopback: "ADD", in: netns.path, ["cniVersion": "9.9.9"])
    #expect(try await call.run().error?.message == "incompatible CNI versions")
    call = ShimCall(loopback: "FROB", in: netns.path)
    #expect(try await call.run().error?.message == "unknown CNI_COMMAND: FROB")
    call = ShimCall(loopback: "ADD", in: "/proc/self/ns/net")
    #expect(try await call.run().error?.code == .invalidNamespace)
    call = ShimCall(loopback: "DEL", in: "/proc/self/ns/net")
    #expect(try await call.run().error?.code == .invalidNamespace)
    #expect(try await !isUp())
  }
}
