import Addresses
import CNI
import JSON
import TestSupport
import Testing

@testable import IPAM
@_spi(Journal) import Linux

/// A configuration and what is wrong with it.
struct BadConfiguration: Sendable, CustomTestStringConvertible {
  let ipam: String
  let message: String
  var more = "{}"
  var arguments = ""
  var version = "1.1.0"
  var code = CNIErrorCode.invalidConfiguration

  init(
    _ ipam: String, _ message: String, more: String = "{}", arguments: String = "",
    version: String = "1.1.0", code: CNIErrorCode = .invalidConfiguration
  ) {
    self.ipam = ipam
    self.message = message
    self.more = more
    self.arguments = arguments
    self.version = version
    self.code = code
  }

  var testDescription: String { message }
}

@Suite("host-local's configuration")
struct HostLocalConfigurationTests {
  private static func set(_ ranges: String) -> String { #"{"ranges":[[\#(ranges)]]}"# }

  /// The reference's texts.
  static let bad: [BadConfiguration] = [
    BadConfiguration("{}", "no IP ranges specified: ipam has no subnet, in ranges or by itself"),
    BadConfiguration(
      #"{"ranges":[]}"#, "no IP ranges specified: ipam has no subnet, in ranges or by itself"),
    BadConfiguration(#"{"ranges":[[]]}"#, "invalid range set 0: empty range set"),
    BadConfiguration(
      set(#"{"subnet":"10.1.2.0/31"}"#),
      "invalid range set 0: Network 10.1.2.0/31 too small to allocate from"),
    BadConfiguration(
      set(#"{"subnet":"10.1.2.1/32"}"#),
      "invalid range set 0: Network 10.1.2.1/32 too small to allocate from"),
    BadConfiguration(
      set(#"{"subnet":"2001:db8::/127"}"#),
      "invalid range set 0: Network 2001:db8::/127 too small to allocate from"),
    BadConfiguration(
      set(#"{"subnet":"192.168.127.0/23"}"#),
      "invalid range set 0: Network has host bits set. For a subnet mask of length 23 the network "
        + "address is 192.168.126.0"),
    BadConfiguration(
      set(#"{"subnet":"10.1.2.0/24","rangeStart":"10.1.3.1"}"#),
      "invalid range set 0: RangeStart 10.1.3.1 not in network 10.1.2.0/24"),
    BadConfiguration(
      set(#"{"subnet":"10.1.2.0/24","rangeStart":"2001:db8::1"}"#),
      "invalid range set 0: RangeStart 2001:db8::1 not in network 10.1.2.0/24"),
    BadConfiguration(
      set(#"{"subnet":"10.1.2.0/24","rangeEnd":"10.1.4.255"}"#),
      "invalid range set 0: RangeEnd 10.1.4.255 not in network 10.1.2.0/24"),
    BadConfiguration(
      set(#"{"subnet":"10.1.2.0/24","rangeStart":"10.1.2.9","rangeEnd":"10.1.2.3"}"#),
      "invalid range set 0: rangeStart 10.1.2.9 is behind rangeEnd 10.1.2.3"),
    BadConfiguration(
      set(#"{"subnet":"10.1.2.0/24","rangeEnd":"10.1.2.0"}"#),
      "invalid range set 0: the first address 10.1.2.1 is behind rangeEnd 10.1.2.0"),
    BadConfiguration(
      set(#"{"subnet":"10.1.2.0/24","gateway":"fd00::1"}"#),
      "invalid range set 0: gateway fd00::1 is an IPv6 address, 10.1.2.0/24 is IPv4"),
    BadConfiguration(
      set(#"{"subnet":"fd00::/64","gateway":"10.1.2.1"}"#),
      "invalid range set 0: gateway 10.1.2.1 is an IPv4 address, fd00::/64 is IPv6"),
    BadConfiguration(
      #"{"rangeStart":"10.1.2.5"}"#, "error unmarshall network config: ipam.subnet is missing",
      code: .decodingFailure),
    BadConfiguration(
      set(#"{"subnet":"10.1.2.0/24"},{"subnet":"2001:db8::/64"}"#),
      "invalid range set 0: mixed address families"),
    BadConfiguration(
      set(#"{"subnet":"10.1.0.0/22"},{"subnet":"10.1.2.0/24"}"#),
      "invalid range set 0: subnets 10.1.0.1-10.1.3.254 and 10.1.2.1-10.1.2.254 overlap"),
    BadConfiguration(
      #"{"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.1.2.0/31"}]]}"#,
      "invalid range set 1: Network 10.1.2.0/31 too small to allocate from"),
    BadConfiguration(
      #"{"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.1.2.0/25"}]]}"#,
      "range set 0 overlaps with 1"),
    BadConfiguration(
      """
      {"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.2.2.0/24"}],[{"subnet":"10.3.2.0/24"}],
       [{"subnet":"10.9.0.0/16"},{"subnet":"10.2.0.0/16"}]]}
      """, "range set 1 overlaps with 3"),
    BadConfiguration(
      #"{"subnet":"10.1.2.0/24","ranges":[[{"subnet":"10.1.0.0/16"}]]}"#,
      "range set 0 overlaps with 1"),
    BadConfiguration(
      #"{"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.2.2.0/24"}]]}"#,
      "CNI version 0.2.0 does not support more than 1 address per family", version: "0.2.0"),
    BadConfiguration(
      #"{"ranges":[[{"subnet":"2001:db8::/64"}],[{"subnet":"2001:db9::/64"}]]}"#,
      "CNI version 0.1.0 does not support more than 1 address per family", version: ""),
    BadConfiguration(
      set(#"{"subnet":"10.1.2.0"}"#),
      "error unmarshall network config: ipam.ranges[0][0].subnet: invalid CIDR address: 10.1.2.0",
      code: .decodingFailure),
    BadConfiguration(
      set(#"{"rangeStart":"10.1.2.9"}"#),
      "error unmarshall network config: ipam.ranges[0][0].subnet is missing",
      code: .decodingFailure),
    BadConfiguration(
      set(#"{"subnet":"10.1.2.0/24","gateway":"potato"}"#),
      "error unmarshall network config: ipam.ranges[0][0].gateway: invalid IP address: potato",
      code: .decodingFailure),
    BadConfiguration(
      #"{"ranges":"potato"}"#,
      "error unmarshall network config: ipam.ranges: string found where an array belongs",
      code: .decodingFailure),
    BadConfiguration(
      #"{"ranges":[{"subnet":"10.1.2.0/24"}]}"#,
      "error unmarshall network config: ipam.ranges is a list of lists: [[{…}]]",
      code: .decodingFailure),
    BadConfiguration(
      #"{"ranges":[[7]]}"#,
      "error unmarshall network config: ipam.ranges[0][0]: number found where an object belongs",
      code: .decodingFailure),
    BadConfiguration(
      #"{"subnet":"10.1.2.0/24"}"#,
      "error unmarshall network config: runtimeConfig.ipRanges: object found where an array belongs",
      more: #"{"runtimeConfig":{"ipRanges":{}}}"#, code: .decodingFailure),
    BadConfiguration(
      #"{"subnet":"10.1.2.0/24","routes":[{"gw":"10.1.2.9"}]}"#,
      "error unmarshall network config: ipam.routes[0].dst is missing",
      code: .decodingFailure),
    BadConfiguration(
      #"{"subnet":"10.1.2.0/24"}"#, "invalid IP address zz",
      more: #"{"args":{"cni":{"ips":["10.1.2.4/24","zz"]}}}"#),
    BadConfiguration(
      #"{"subnet":"10.1.2.0/24"}"#, "invalid IP address 10.1.2.4/240",
      more: #"{"runtimeConfig":{"ips":["10.1.2.4/240"]}}"#),
    BadConfiguration(
      #"{"subnet":"10.1.2.0/24"}"#,
      #"ARGS: error parsing value of pair "IP=10.1.2.300": invalid IP address 10.1.2.300"#,
      arguments: "IP=10.1.2.300", code: .invalidEnvironment),
    BadConfiguration(
      #"{"subnet":"10.1.2.0/24"}"#, #"ARGS: unknown args ["MAC=aa" "Unk=nown"]"#,
      arguments: "IP=10.1.2.3;MAC=aa;Unk=nown", code: .invalidEnvironment),
    BadConfiguration(
      #"{"ranges":[\#(Array(repeating: "[]", count: 10_000).joined(separator: ","))]}"#,
      "10000 range sets: at most 256 can be used in one network"),
    BadConfiguration(
      set(Array(repeating: #"{"subnet":"10.1.2.0/24"}"#, count: 300).joined(separator: ",")),
      "300 ranges in a set: at most 256 can be used in one network"),
    BadConfiguration(
      #"{"subnet":"10.1.2.0/24"}"#,
      "257 requested addresses: at most 256 can be used in one network",
      more: #"""
        {"runtimeConfig":{"ips":
        [\#(Array(repeating: #""10.1.2.9""#, count: 257).joined(separator: ","))]}}
        """#),
    BadConfiguration(
      #"{"subnet":"10.1.2.0/24","dataDir":"relative"}"#, "ipam.dataDir must be an absolute path"),
    BadConfiguration(
      #"{"subnet":"10.1.2.0/24","dataDir":"/tmp/a\u0000b"}"#,
      "error unmarshall network config: ipam.dataDir: the text has a zero byte"),
    BadConfiguration(
      #"{"subnet":"10.1.2.0/24","resolvConf":"resolv.conf"}"#,
      "ipam.resolvConf must be an absolute path"),
    BadConfiguration(
      #"{"subnet":"10.1.2.0/24","resolvConf":"/etc/no-such"}"#,
      "open /etc/no-such: No such file or directory (ENOENT)", code: .ioFailure),
  ]

  @Test("What is wrong is told in the reference's words", arguments: bad)
  func texts(bad: BadConfiguration) throws {
    let leases = try Leases()
    let error = try leases.failure(
      bad.ipam, more: bad.more, arguments: bad.arguments, version: bad.version)
    #expect(error?.message == bad.message)
    #expect(error?.code == bad.code)
    #expect(TemporaryDirectory.files(below: leases.directory.path) == [])
  }

  @Test("A configuration without ipam says so")
  func noIPAM() throws {
    let leases = try Leases()
    let configuration = try NetworkConfiguration(
      Array(#"{"cniVersion":"1.1.0","name":"net","type":"x"}"#.utf8))
    #expect(throws: CNIError(.invalidConfiguration, "IPAM config missing 'ipam' key")) {
      try HostLocal(leases.call(configuration)).add(Permit())
    }
  }

  @Test("Range sets come from runtimeConfig, the old flat form and ranges, in that order")
  func order() throws {
    let leases = try Leases()
    let configuration = try leases.configuration(
      """
      {"subnet":"10.2.0.0/24","rangeStart":"10.2.0.9","rangeEnd":"10.2.0.20","gateway":"10.2.0.254",
       "ranges":[[{"subnet":"10.3.0.0/24"},{"subnet":"10.4.0.0/24"}]]}
      """,
      more: """
        {"runtimeConfig":{"ipRanges":[[{"subnet":"10.1.0.0/24"}],[{"subnet":"fd00::/64"}]]}}
        """)
    let read = try HostLocalConfiguration(configuration, arguments: CNIArguments())
    #expect(
      read.sets.map(\.description) == [
        "10.1.0.1-10.1.0.254", "fd00::1-fd00::ffff:ffff:ffff:ffff", "10.2.0.9-10.2.0.20",
        "10.3.0.1-10.3.0.254,10.4.0.1-10.4.0.254",
      ])
    #expect(
      read.sets.flatMap(\.ranges).map { "\($0.gateway)" } == [
        "10.1.0.1", "fd00::1", "10.2.0.254", "10.3.0.1", "10.4.0.1",
      ])
  }

  @Test("Before 0.3.0 one address of each family is allowed")
  func oldVersion() throws {
    let leases = try Leases()
    let result = try leases.add(
      #"{"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"fd00::/64"}]]}"#, version: "0.2.0")
    #expect(result.ips.count == 2)
  }

  @Test("A gateway of an other subnet is passed on, and null members count as absent")
  func leniency() throws {
    let leases = try Leases()
    let result = try leases.add(
      """
      {"ranges":[[{"subnet":"10.1.2.0/24","gateway":"192.0.2.1","rangeStart":null,"rangeEnd":""}]],
       "routes":null,"resolvConf":"","subnet":null}
      """)
    #expect(result.ips.map { "\($0.address)" } == ["10.1.2.1/24"])
    #expect(result.ips.first?.gateway?.description == "192.0.2.1")
  }

  @Test("Keys of CNI_ARGS that the network plugin knows, and any with IgnoreUnknown, are accepted")
  func knownArguments() throws {
    let leases = try Leases()
    let configuration = try leases.configuration(#"{"subnet":"10.1.2.0/24"}"#)
    var call = try leases.call(configuration, arguments: "MAC=aa;IP=;K8S_POD_UID=u")
    #expect(throws: CNIError.self) { try HostLocal(call).add(Permit()) }
    call.knownArguments = ["MAC"]
    _ = try HostLocal(call).add(Permit())
    call.knownArguments = []
    call.containerID = "other"
    call.arguments = try CNIArguments("MAC=aa;IgnoreUnknown=1")
    _ = try HostLocal(call).add(Permit())
  }

  @Test("A network's directory is a child of the data directory, whatever its name")
  func directories() throws {
    let leases = try Leases()
    for name in ["a", "a..b", "a-b_c.d", "0"] {
      let configuration = try leases.configuration("{}", more: #"{"name":"\#(name)"}"#)
      #expect(
        try HostLocalConfiguration.directory(configuration, in: "/x")
          == "\(leases.directory.path)/\(name)")
    }
    for name in ["..", ".", "../x", "a/b", "/a", "", "a\\u0000b"] {
      #expect(throws: CNIError.self) {
        _ = try leases.configuration("{}", more: #"{"name":"\#(name)"}"#)
      }
    }
  }

  @Test("Without dataDir the caller's directory is used, and a slash at its end does no harm")
  func dataDirectory() throws {
    let configuration = try NetworkConfiguration(
      Array(#"{"name":"net","ipam":{"type":"host-local","dataDir":""}}"#.utf8))
    #expect(
      try HostLocalConfiguration.directory(configuration, in: "/var/lib/cni/networks/")
        == "/var/lib/cni/networks/net")
    #expect(IPAMCall.defaultDataDirectory == "/var/lib/cni/networks")
  }

  @Test("resolv.conf: comments, blanks, tabs, repeated lines and a missing last line end")
  func resolvConf() {
    let text = """
      # comment
      ; nameserver 9.9.9.9
      \u{20}\tnameserver\t192.0.2.1  trailing
      nameserver 2001:db8::53
      nameserver
      domain old.example
      domain example.com
      search a.example b.example
      search c.example
      options ndots:5\tedns0
      sortlist 1.2.3.4
      options timeout:1
      """
    #expect(
      ResolverConfiguration.parse(Array(text.utf8))
        == CNIResult.DNS(
          nameservers: ["192.0.2.1", "2001:db8::53"], domain: "example.com",
          search: ["a.example", "b.example", "c.example"],
          options: ["ndots:5", "edns0", "timeout:1"]))
  }
}
