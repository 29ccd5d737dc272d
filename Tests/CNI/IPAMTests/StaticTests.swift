import Addresses
import CNI
import JSON
import TestSupport
import Testing

@testable import IPAM
@_spi(Journal) import Linux

@Suite("static returns what was named")
struct StaticTests {
  static let addresses = """
    {"addresses":[{"address":"10.10.0.1/24","gateway":"10.10.0.254"},{"address":"3ffe:ffff:0:1ff::1/64",
     "gateway":"3ffe:ffff:0::1"}],
     "routes":[{"dst":"0.0.0.0/0"},{"dst":"192.168.0.0/16","gw":"10.10.5.1","mtu":1400},
               {"dst":"3ffe:ffff:0:1ff::1/64"}],
     "dns":{"nameservers":["8.8.8.8"],"domain":"example.com","search":["a"],"options":["b"]}}
    """

  private static func call(
    _ ipam: String, more: String = "{}", arguments: String = "", version: String = "1.1.0"
  ) throws -> IPAMCall {
    var object: JSONValue = ["cniVersion": .string(version), "name": "net", "type": "macvlan"]
    object = object.setting("ipam", JSONValue(text: ipam).setting("type", "static"))
    for member in JSONValue(text: more).object?.members ?? [] {
      object = object.setting(member.key, member.value)
    }
    return IPAMCall(
      containerID: "dummy", ifName: "eth0", arguments: try CNIArguments(arguments),
      configuration: try NetworkConfiguration(object.bytes), deadline: .after(seconds: 30))
  }

  private static func ips(
    _ ipam: String, more: String = "{}", arguments: String = ""
  ) throws -> [String] {
    try StaticIPAM(call(ipam, more: more, arguments: arguments)).add().ips.map { ip in
      "\(ip.address)" + (ip.gateway.map { " via \($0)" } ?? "")
    }
  }

  @Test("The configuration's addresses, routes and name servers are the result")
  func configured() throws {
    let result = try StaticIPAM(Self.call(Self.addresses)).add()
    let expected = JSONValue(
      text: """
        {"ips":[{"address":"10.10.0.1/24","gateway":"10.10.0.254"},
                {"address":"3ffe:ffff:0:1ff::1/64","gateway":"3ffe:ffff::1"}],
         "routes":[{"dst":"0.0.0.0/0"},{"dst":"192.168.0.0/16","gw":"10.10.5.1","mtu":1400},
                   {"dst":"3ffe:ffff:0:1ff::1/64"}],
         "dns":{"nameservers":["8.8.8.8"],"domain":"example.com","search":["a"],"options":["b"]}}
        """)
    #expect(try result == CNIResult(expected, defaultVersion: .v110))
  }

  @Test("No address at all is code 103, which says who could name one")
  func none() {
    let error = #expect(throws: CNIError.self) { try Self.ips("{}") }
    #expect(error?.code == .ipam)
    #expect(error?.message.contains("neither ipam.addresses nor the pod's request") == true)
  }

  @Test("CNI_ARGS' addresses are appended, and its gateways are set on its own addresses only")
  func arguments() throws {
    #expect(
      try Self.ips(
        #"{"addresses":[{"address":"10.10.0.1/24"}]}"#,
        arguments: "IP=10.10.0.2/24, 11.11.0.1/24 ,fd00::2/64;GATEWAY=10.10.0.254, fd00::1"
      ) == [
        "10.10.0.1/24", "10.10.0.2/24 via 10.10.0.254", "11.11.0.1/24", "fd00::2/64 via fd00::1",
      ])
  }

  @Test("Of several gateways in one network the last one counts")
  func gateways() throws {
    #expect(
      try Self.ips("{}", arguments: "IP=10.0.0.2/24;GATEWAY=10.0.0.1,10.0.0.9")
        == ["10.0.0.2/24 via 10.0.0.9"])
  }

  @Test("args.cni.ips replaces configuration and CNI_ARGS, runtimeConfig.ips replaces all")
  func replacing() throws {
    let arguments = "IP=10.0.0.9/24;GATEWAY=10.0.0.1"
    let structured = #"{"args":{"cni":{"ips":["10.1.0.2/16","fd00::3/64"]}}}"#
    #expect(
      try Self.ips(Self.addresses, more: structured, arguments: arguments)
        == ["10.1.0.2/16", "fd00::3/64"])
    let both = """
      {"args":{"cni":{"ips":["10.1.0.2/16"]}},"runtimeConfig":{"ips":["10.2.0.2/16"]}}
      """
    #expect(try Self.ips(Self.addresses, more: both, arguments: arguments) == ["10.2.0.2/16"])
    let empty = #"{"args":{"cni":{"ips":[]}},"runtimeConfig":{"ips":[]}}"#
    #expect(try Self.ips(Self.addresses, more: empty).count == 2)
  }

  /// G.5's texts.
  static let bad: [BadConfiguration] = [
    BadConfiguration(
      "{}", "the 'ip' field is expected to be in CIDR notation, got: '10.0.0.1'",
      arguments: "IP=10.0.0.1", code: .invalidEnvironment),
    BadConfiguration(
      "{}", "the 'ip' field is expected to be in CIDR notation, got: ''",
      arguments: "IP=10.0.0.1/24,", code: .invalidEnvironment),
    BadConfiguration(
      "{}", "invalid gateway address: potato", arguments: "GATEWAY=potato",
      code: .invalidEnvironment),
    BadConfiguration(
      "{}", #"ARGS: unknown args ["Unk=nown"]"#, arguments: "Unk=nown", code: .invalidEnvironment),
    BadConfiguration(
      "{}", "an entry in the 'ips' field is NOT in CIDR notation, got: '10.0.0.1'",
      more: #"{"args":{"cni":{"ips":["10.0.0.1"]}}}"#),
    BadConfiguration(
      "{}", "an entry in the 'ips' field is NOT in CIDR notation, got: 'potato'",
      more: #"{"runtimeConfig":{"ips":["10.0.0.1/8","potato"]}}"#),
    BadConfiguration(
      #"{"addresses":[{"address":"10.0.0.1"}]}"#,
      "the 'address' field is expected to be in CIDR notation, got: '10.0.0.1'"),
    BadConfiguration(
      #"{"addresses":[{"gateway":"10.0.0.1"}]}"#,
      "the 'address' field is expected to be in CIDR notation, got: ''"),
    BadConfiguration(
      #"{"addresses":[{"address":"10.0.0.1/24"},{"address":"10.1.0.1/24"}]}"#,
      "CNI version 0.2.0 does not support more than 1 address per family", version: "0.2.0"),
    BadConfiguration(
      #"{"addresses":{"address":"10.0.0.1/24"}}"#,
      "error unmarshall network config: ipam.addresses: object found where an array belongs",
      code: .decodingFailure),
    BadConfiguration(
      #"{"addresses":[{"address":"10.0.0.1/24","gateway":"potato"}]}"#,
      "error unmarshall network config: ipam.addresses[0].gateway: invalid IP address: potato",
      code: .decodingFailure),
    BadConfiguration(
      #"{"dns":[]}"#,
      "error unmarshall network config: ipam.dns: array found where an object belongs",
      code: .decodingFailure),
  ]

  /// What the reference takes, and what would be dropped on the way.
  static let stricter: [BadConfiguration] = [
    BadConfiguration(
      #"{"addresses":[{"address":"10.0.0.2/24","gateway":"fd00::1"}]}"#,
      "gateway fd00::1 is an IPv6 address, 10.0.0.2/24 is IPv4"),
    BadConfiguration(
      #"{"addresses":[{"address":"0.0.0.0/0"}]}"#,
      "0.0.0.0/0 is no address that a link can have"),
    BadConfiguration(
      "{}", "::/64 is no address that a link can have",
      more: #"{"runtimeConfig":{"ips":["::/64"]}}"#),
    BadConfiguration(
      "{}", "224.0.0.1/24 is no address that a link can have", arguments: "IP=224.0.0.1/24"),
    BadConfiguration(
      "{}", "GATEWAY 10.9.0.1 of CNI_ARGS is in no network of its IP",
      arguments: "IP=10.0.0.2/24;GATEWAY=10.9.0.1", code: .invalidEnvironment),
  ]

  @Test("What is wrong is told in the reference's words", arguments: bad + stricter)
  func texts(bad: BadConfiguration) throws {
    let call = try Self.call(
      bad.ipam, more: bad.more, arguments: bad.arguments, version: bad.version)
    for verb in [{ _ = try StaticIPAM(call).add() }, { try StaticIPAM(call).status() }] {
      let error = try #require(throws: CNIError.self, performing: verb)
      #expect(error.message == bad.message)
      #expect(error.code == bad.code)
    }
  }

  @Test("A configuration without ipam says so")
  func noIPAM() throws {
    var call = try Self.call("{}")
    call.configuration = try NetworkConfiguration(Array(#"{"name":"net"}"#.utf8))
    #expect(throws: CNIError(.invalidConfiguration, "IPAM config missing 'ipam' key")) {
      try StaticIPAM(call).add()
    }
  }

  /// A previous result, and the error of CHECK against it.
  static let checks: [(ips: String?, message: String?)] = [
    (#"[{"address":"10.10.0.1/24","gateway":"10.10.0.254"}]"#, nil),
    (
      #"[{"address":"10.9.0.1/24"},{"address":"10.10.0.1/24","gateway":"10.10.0.254","interface":0}]"#,
      nil
    ),
    (
      #"[{"address":"10.10.0.1/24","gateway":"10.10.0.9"}]"#,
      "static: Failed to match addr 10.10.0.1 on interface eth0"
    ),
    (
      #"[{"address":"10.10.0.1/24"}]"#, "static: Failed to match addr 10.10.0.1 on interface eth0"
    ),
    (
      #"[{"address":"10.10.0.2/24"}]"#, "static: Failed to match addr 10.10.0.1 on interface eth0"
    ),
    ("[]", "static: Failed to match addr 10.10.0.1 on interface eth0"),
    (nil, "Required prevResult missing"),
  ]

  @Test("CHECK wants every address in the previous result, with its gateway", arguments: checks)
  func check(ips: String?, message: String?) throws {
    let more = ips.map { #"{"prevResult":{"cniVersion":"1.1.0","ips":\#($0)}}"# } ?? "{}"
    let call = try Self.call(
      #"{"addresses":[{"address":"10.10.0.1/24","gateway":"10.10.0.254"}]}"#, more: more)
    do {
      try StaticIPAM(call).check()
      #expect(message == nil)
    } catch {
      #expect(error.message == message)
    }
  }

  @Test("DEL and GC have nothing to do, whatever the configuration")
  func nothingToDo() throws {
    let driver = try #require(IPAMDriver(for: Self.call(#"{"addresses":"potato"}"#)))
    try driver.delete(Permit())
    try driver.collectGarbage(valid: [], Permit())
  }

  /// Calls that must come out the same here and in the reference.
  static let twins: [(ipam: String, more: String, arguments: String)] =
    bad.filter { $0.code != .decodingFailure && $0.version == "1.1.0" }
    .map { ($0.ipam, $0.more, $0.arguments) } + [
      (addresses, "{}", ""),
      (addresses, "{}", "IP=10.10.0.2/24,11.11.0.1/24;GATEWAY=10.10.0.254,11.11.0.9"),
      (addresses, #"{"args":{"cni":{"ips":["10.1.0.2/16"]}}}"#, "IP=10.10.0.2/24"),
      (addresses, #"{"runtimeConfig":{"ips":["10.1.0.2/16","fd00::1/64"]}}"#, "IP=1.2.3.4/5"),
    ]

  @Test("The reference says the same", arguments: twins)
  func sameAsReference(ipam: String, more: String, arguments: String) async throws {
    let program = try Reference.require("static")
    let call = try Self.call(
      ipam, more: more, arguments: arguments, version: Reference.version)
    let run = try await Program.run(
      [program],
      environment: [
        "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "dummy", "CNI_IFNAME": "eth0",
        "CNI_NETNS": "/no/such", "CNI_PATH": "/", "CNI_ARGS": arguments,
      ], input: call.configuration.bytes)
    do {
      let mine = try StaticIPAM(call).add()
      // Debian's plugin is older than these members of routes.
      let known = CNIResult(
        ips: mine.ips, routes: mine.routes.map { .init(dst: $0.dst, gw: $0.gw) }, dns: mine.dns)
      #expect(try known == CNIResult(bytes: run.output, defaultVersion: .v100))
    } catch {
      #expect(run.message == error.message)
    }
  }
}
