import Addresses
import CNI
import JSON
import TestSupport
import Testing

@Suite("Results of all versions")
struct CNIResultTests {
  /// A result with a link, an address and a route of each family.
  static let example = #"""
    {"cniVersion":"1.1.0",
     "interfaces":[{"name":"eth0","mac":"c2:11:22:33:44:55","mtu":1500,"sandbox":"/ns/a"}],
     "ips":[{"interface":0,"address":"1.2.3.30/24","gateway":"1.2.3.1"},
            {"interface":0,"address":"abcd:1234:ffff::cdde/64"}],
     "routes":[{"dst":"15.5.6.0/24","gw":"15.5.6.8","mtu":1400,"advmss":1360,"priority":5,
                "table":0,"scope":253},
               {"dst":"1111:dddd::/80","gw":"1111:dddd::aaaa"}],
     "dns":{}}
    """#

  @Test(
    "One result is printed in the form of each version, interface 0 included",
    arguments: [
      (.v110, "sorted"), (.v100, "sorted"), (.v040, "lists"), (.v031, "lists"), (.v030, "lists"),
      (.v020, "families"), (.v010, "families"),
    ] as [(CNIVersion, String)])
  func printing(version: CNIVersion, form: String) throws {
    let result = try CNIResult(parse(Self.example), defaultVersion: .v010)
    let expected =
      switch form {
      case "sorted": Self.sorted
      case "lists": Self.lists
      default: Self.families
      }
    let printed = String(decoding: try result.printed(as: version), as: UTF8.self)
    #expect(printed == expected.replacing("VERSION", with: version.description))
  }

  @Test(
    "A result without addresses has no form before 0.3.0",
    arguments: [.v010, .v020] as [CNIVersion])
  func noAddresses(version: CNIVersion) {
    let result = CNIResult(interfaces: [CNIResult.Interface(name: "eth0")])
    #expect(
      failure { () throws(CNIError) in try result.json(as: version) }
        == CNIError(.internal, "cannot convert: no valid IP addresses"))
  }

  @Test("An empty result keeps its dns before 1.0.0 and leaves it out after")
  func emptyResult() throws {
    #expect(text(try CNIResult().json(as: .v110)) == #"{"cniVersion":"1.1.0"}"#)
    #expect(text(try CNIResult().json(as: .v040)) == #"{"cniVersion":"0.4.0","dns":{}}"#)
  }

  @Test(
    "A result of any version is printed as it was read",
    arguments: [
      #"{"cniVersion":"0.2.0","ip4":{"ip":"1.2.3.30/24","gateway":"1.2.3.1","routes":[{"dst":"15.5.6.0/24","gw":"15.5.6.8"},{"dst":"16.0.0.0/8"}]},"ip6":{"ip":"abcd:1234:ffff::cdde/64","gateway":"abcd:1234:ffff::1","routes":[{"dst":"1111:dddd::/80"}]},"dns":{"nameservers":["1.2.3.4","1::cafe"],"domain":"acompany.com","search":["somedomain.com"],"options":["foo"]}}"#,
      #"{"cniVersion":"0.1.0","ip6":{"ip":"::1/128"},"dns":{}}"#,
      #"{"cniVersion":"0.3.0","interfaces":[{"name":"a"},{"name":"b","mac":"x","sandbox":"/s"}],"ips":[{"version":"4","interface":1,"address":"1.2.3.4/24","gateway":"1.2.3.1"}],"routes":[{"dst":"0.0.0.0/0","gw":"1.2.3.1"}],"dns":{"search":["s"]}}"#,
      #"{"cniVersion":"0.4.0","ips":[{"version":"6","address":"::2/64"}],"dns":{}}"#,
      #"{"cniVersion":"1.0.0","ips":[{"interface":0,"address":"10.1.2.3/24"}],"dns":{"options":["o"]}}"#,
      #"{"cniVersion":"1.1.0","interfaces":[{"name":"a","mac":"m","mtu":9000,"sandbox":"s","socketPath":"/p","pciID":"0000:00:1f.6"}],"routes":[{"dst":"10.0.0.0/8","mtu":1,"advmss":2,"priority":3,"table":4294967295,"scope":255},{"dst":"::/0","gw":"::1","table":0,"scope":0}]}"#,
    ])
  func roundTrip(json: String) throws {
    let value = try parse(json)
    let version = try #require(value["cniVersion"]?.string.flatMap { CNIVersion($0) })
    let result = try CNIResult(value, defaultVersion: .v110)
    #expect(text(try result.json(as: version)) == json)
  }

  @Test("Addresses and routes of 0.2.0 become lists without interfaces, IPv4's routes first")
  func upConversion() throws {
    let json = #"""
      {"ip6":{"ip":"abcd::1/64","routes":[{"dst":"::/0","gw":"abcd::2"}]},
       "ip4":{"ip":"1.2.3.4/24","gateway":"1.2.3.1","routes":[{"dst":"10.0.0.0/8","mtu":1}]},
       "interfaces":[{"name":"ignored"}],"dns":{"domain":"d"}}
      """#
    let result = try CNIResult(parse(json), defaultVersion: .v020)
    #expect(
      text(try result.json(as: .v110))
        == #"{"cniVersion":"1.1.0","ips":[{"address":"1.2.3.4/24","gateway":"1.2.3.1"},{"address":"abcd::1/64"}],"routes":[{"dst":"10.0.0.0/8"},{"dst":"::/0","gw":"abcd::2"}],"dns":{"domain":"d"}}"#
    )
  }

  @Test("Before 0.3.0 only the first address of a family and routes of a printed family remain")
  func downConversion() throws {
    let json = #"""
      {"ips":[{"address":"2.0.0.1/8"},{"address":"1.0.0.1/8"}],
       "routes":[{"dst":"::/0"},{"dst":"3.0.0.0/8"}]}
      """#
    let result = try CNIResult(parse(json), defaultVersion: .v110)
    #expect(
      text(try result.json(as: .v020))
        == #"{"cniVersion":"0.2.0","ip4":{"ip":"2.0.0.1/8","routes":[{"dst":"3.0.0.0/8"}]},"dns":{}}"#
    )
  }

  @Test("Members that a version does not have count as unknown")
  func unknownMembers() throws {
    let json = #"""
      {"cniVersion":"0.4.0","x":1,"ip4":5,
       "interfaces":[{"name":"a","mtu":"text","pciID":7,"socketPath":[]}],
       "routes":[{"dst":"1.0.0.0/8","mtu":-1,"scope":"x"}]}
      """#
    let result = try CNIResult(parse(json), defaultVersion: .v110)
    let dst = try #require(IPNetwork("1.0.0.0/8"))
    #expect(result.interfaces == [CNIResult.Interface(name: "a")])
    #expect(result.routes == [CNIResult.Route(dst: dst)])
  }

  @Test("Null, empty and zero members count as absent")
  func absentMembers() throws {
    let json = #"""
      {"cniVersion":"","interfaces":null,"dns":null,
       "ips":[{"interface":null,"address":"1.2.3.4/8","gateway":""}],
       "routes":[{"dst":"1.0.0.0/8","gw":null,"mtu":0,"advmss":0,"priority":0,"table":null}]}
      """#
    let result = try CNIResult(parse(json), defaultVersion: .v110)
    #expect(
      text(try result.json(as: .v110))
        == #"{"cniVersion":"1.1.0","ips":[{"address":"1.2.3.4/8"}],"routes":[{"dst":"1.0.0.0/8"}]}"#
    )
  }

  @Test(
    "What cannot be read is code 6 and names its place",
    arguments: [
      ("[]", "array found where an object belongs"),
      (#"{"cniVersion":1}"#, "cniVersion: number found where a string belongs"),
      (#"{"ips":{}}"#, "ips: object found where an array belongs"),
      (#"{"ips":[null]}"#, "ips[0]: null found where an object belongs"),
      (#"{"ips":[{}]}"#, "ips[0].address is missing"),
      (#"{"ips":[{"address":"1.2.3.4"}]}"#, "ips[0].address: invalid CIDR address: 1.2.3.4"),
      (
        #"{"ips":[{"address":"1.2.3.4/8","gateway":"x"}]}"#,
        "ips[0].gateway: invalid IP address: x"
      ),
      (
        #"{"ips":[{"address":"1.2.3.4/8","interface":-1}]}"#,
        "ips[0].interface: number found where a whole number from 0 to 2147483647 belongs"
      ),
      (
        #"{"ips":[{"address":"1.2.3.4/8","interface":9223372036854775807}]}"#,
        "ips[0].interface: number found where a whole number from 0 to 2147483647 belongs"
      ),
      (
        #"{"ips":[{"address":"1.2.3.4/8","interface":1.5}]}"#,
        "ips[0].interface: number found where a whole number from 0 to 2147483647 belongs"
      ),
      (#"{"routes":[{"dst":"0.0.0.0/0"},{}]}"#, "routes[1].dst is missing"),
      (
        #"{"routes":[{"dst":"0.0.0.0/0","scope":256}]}"#,
        "routes[0].scope: number found where a whole number from 0 to 255 belongs"
      ),
      (
        #"{"routes":[{"dst":"0.0.0.0/0","mtu":4294967296}]}"#,
        "routes[0].mtu: number found where a whole number from 0 to 4294967295 belongs"
      ),
      (#"{"dns":[]}"#, "dns: array found where an object belongs"),
      (#"{"interfaces":[{"name":7}]}"#, "interfaces[0].name: number found where a string belongs"),
      (#"{"cniVersion":"0.2.0","ip4":{}}"#, "ip4.ip is missing"),
    ])
  func refusing(json: String, reason: String) throws {
    let value = try parse(json)
    #expect(
      failure { () throws(CNIError) in try CNIResult(value, defaultVersion: .v110) }
        == CNIError(.decodingFailure, "error unmarshall result: " + reason))
  }

  @Test("A version that is not supported is code 1, and text that is no JSON code 6")
  func refusingText() throws {
    let value = try parse(#"{"cniVersion":"9.8.7"}"#)
    #expect(
      failure { () throws(CNIError) in try CNIResult(value, defaultVersion: .v110) }
        == CNIError(.incompatibleVersion, #"unsupported CNI result version "9.8.7""#))
    let error = failure { () throws(CNIError) in
      try CNIResult(bytes: Array("potato".utf8), defaultVersion: .v110)
    }
    #expect(error?.code == .decodingFailure)
    #expect(error?.message.hasPrefix("error unmarshall result: ") == true)
  }
}

@Suite("Chained results")
struct ChainedResultTests {
  @Test("The previous entries come first and the own interface indexes move behind them")
  func appending() throws {
    let previous = try CNIResult(
      parse(
        #"{"interfaces":[{"name":"a"},{"name":"b"}],"ips":[{"interface":1,"address":"1.0.0.1/8"}],"routes":[{"dst":"1.0.0.0/8"}],"dns":{"domain":"p"}}"#
      ), defaultVersion: .v110)
    let own = try CNIResult(
      parse(
        #"{"interfaces":[{"name":"c"}],"ips":[{"interface":0,"address":"2.0.0.1/8"},{"address":"3.0.0.1/8"}],"routes":[{"dst":"2.0.0.0/8"}]}"#
      ), defaultVersion: .v110)
    let result = own.appended(to: previous)
    #expect(
      text(try result.json(as: .v110))
        == #"{"cniVersion":"1.1.0","interfaces":[{"name":"a"},{"name":"b"},{"name":"c"}],"ips":[{"interface":1,"address":"1.0.0.1/8"},{"interface":2,"address":"2.0.0.1/8"},{"address":"3.0.0.1/8"}],"routes":[{"dst":"1.0.0.0/8"},{"dst":"2.0.0.0/8"}],"dns":{"domain":"p"}}"#
    )
    #expect(result.interface(of: result.ips[1])?.name == "c")
    #expect(result.interface(of: result.ips[2]) == nil)
    #expect(own.appended(to: CNIResult()) == own)
    #expect(CNIResult().appended(to: previous) == previous)
  }

  @Test("An index that names no interface is looked up and moved without harm")
  func wildIndex() throws {
    let address = try #require(IPNetwork("1.0.0.1/8"))
    let previous = CNIResult(interfaces: [CNIResult.Interface(name: "a")])
    for index in [Int.max, 7, -1] {
      let own = CNIResult(ips: [CNIResult.IP(interface: index, address: address)])
      #expect(own.interface(of: own.ips[0]) == nil)
      #expect(own.appended(to: previous).ips.count == 1)
    }
  }

  @Test("The own name servers win over the previous ones")
  func dns() {
    let own = CNIResult(dns: CNIResult.DNS(domain: "own"))
    let previous = CNIResult(dns: CNIResult.DNS(nameservers: ["1.1.1.1"]))
    #expect(own.appended(to: previous).dns == own.dns)
  }
}

extension CNIResultTests {
  static let sorted = #"""
    {
        "cniVersion": "VERSION",
        "interfaces": [
            {
                "mac": "c2:11:22:33:44:55",
                "mtu": 1500,
                "name": "eth0",
                "sandbox": "/ns/a"
            }
        ],
        "ips": [
            {
                "address": "1.2.3.30/24",
                "gateway": "1.2.3.1",
                "interface": 0
            },
            {
                "address": "abcd:1234:ffff::cdde/64",
                "interface": 0
            }
        ],
        "routes": [
            {
                "advmss": 1360,
                "dst": "15.5.6.0/24",
                "gw": "15.5.6.8",
                "mtu": 1400,
                "priority": 5,
                "scope": 253,
                "table": 0
            },
            {
                "dst": "1111:dddd::/80",
                "gw": "1111:dddd::aaaa"
            }
        ]
    }
    """#

  static let lists = #"""
    {
        "cniVersion": "VERSION",
        "interfaces": [
            {
                "name": "eth0",
                "mac": "c2:11:22:33:44:55",
                "sandbox": "/ns/a"
            }
        ],
        "ips": [
            {
                "version": "4",
                "interface": 0,
                "address": "1.2.3.30/24",
                "gateway": "1.2.3.1"
            },
            {
                "version": "6",
                "interface": 0,
                "address": "abcd:1234:ffff::cdde/64"
            }
        ],
        "routes": [
            {
                "dst": "15.5.6.0/24",
                "gw": "15.5.6.8"
            },
            {
                "dst": "1111:dddd::/80",
                "gw": "1111:dddd::aaaa"
            }
        ],
        "dns": {}
    }
    """#

  static let families = #"""
    {
        "cniVersion": "VERSION",
        "ip4": {
            "ip": "1.2.3.30/24",
            "gateway": "1.2.3.1",
            "routes": [
                {
                    "dst": "15.5.6.0/24",
                    "gw": "15.5.6.8"
                }
            ]
        },
        "ip6": {
            "ip": "abcd:1234:ffff::cdde/64",
            "routes": [
                {
                    "dst": "1111:dddd::/80",
                    "gw": "1111:dddd::aaaa"
                }
            ]
        },
        "dns": {}
    }
    """#
}
