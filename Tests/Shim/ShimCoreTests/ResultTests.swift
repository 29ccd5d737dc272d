import CNI
import JSON
import ShimCore
import TestSupport
import Testing

/// A result in the newest version, as a Multus daemon gives it.
private let multus = """
  {"cniVersion":"1.1.0","interfaces":[{"name":"eth0","mac":"00:11:22:33:44:55","sandbox":"/x"}],\
  "ips":[{"interface":0,"address":"1.2.3.30/24","gateway":"1.2.3.1"},\
  {"interface":0,"address":"abcd:1234:ffff::cdde/64"}],\
  "routes":[{"dst":"15.5.6.0/24","gw":"15.5.6.8"},{"dst":"1111:dddd::/80","gw":"1111:dddd::aaaa"}],\
  "dns":{}}
  """

@Suite("The shim converts what other daemons answer")
struct ResultTests {
  private func printed(_ result: String, for version: String?) async throws -> ShimOutcome {
    let call = ShimCall("ADD", [:], ["cniVersion": version.map { .string($0) }])
    return try await FakeNode([added(result)]).run(call)
  }

  @Test("For 0.3.1 with the family of each address and interface 0")
  func threeOne() async throws {
    let result = try #require(try await printed(multus, for: "0.3.1").json)
    #expect(result["cniVersion"] == "0.3.1")
    let ips = try #require(result["ips"]?.array)
    #expect(ips.map { $0["version"] } == ["4", "6"])
    #expect(ips.map { $0["interface"] } == [0, 0])
  }

  @Test(
    "For 0.1.0, also when no version is given, by family and without interfaces",
    arguments: [
      "0.1.0", "0.2.0", nil,
    ] as [String?])
  func oldest(version: String?) async throws {
    let result = try #require(try await printed(multus, for: version).json)
    #expect(result["cniVersion"]?.string == version ?? "0.1.0")
    #expect(
      result["ip4"]
        == [
          "ip": "1.2.3.30/24", "gateway": "1.2.3.1",
          "routes": [["dst": "15.5.6.0/24", "gw": "15.5.6.8"]],
        ])
    #expect(
      result["ip6"]
        == [
          "ip": "abcd:1234:ffff::cdde/64",
          "routes": [["dst": "1111:dddd::/80", "gw": "1111:dddd::aaaa"]],
        ])
    #expect(result["interfaces"] == nil)
  }

  @Test("Without an address there is no form before 0.3.0")
  func noAddress() async throws {
    let outcome = try await printed(#"{"cniVersion":"1.1.0","dns":{}}"#, for: "0.2.0")
    #expect(outcome.status == 1)
    #expect(outcome.error?.message == "cannot convert: no valid IP addresses")
  }

  @Test("Interface 0 is printed, also in the newest forms", arguments: ["0.4.0", "1.0.0"])
  func interfaceZero(version: String) async throws {
    let outcome = try await printed(multus, for: version)
    #expect(outcome.text.contains("\"interface\": 0"))
    #expect(outcome.json?["cniVersion"]?.string == version)
  }

  @Test("An old result is converted up")
  func up() async throws {
    let old = #"{"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/24"}}"#
    let result = try #require(try await printed(old, for: "1.1.0").json)
    #expect(result["cniVersion"] == "1.1.0")
    #expect(result["ips"] == [["address": "10.0.0.2/24"]])
  }

  @Test("A result without a version has the configuration's", arguments: ["0.2.0", "1.0.0"])
  func noVersion(version: String) async throws {
    let form =
      version == "0.2.0"
      ? #"{"ip4":{"ip":"10.0.0.2/24"}}"# : #"{"ips":[{"address":"10.0.0.2/24"}]}"#
    let outcome = try await printed(form, for: version)
    #expect(outcome.json?["cniVersion"]?.string == version)
    #expect(outcome.text.contains("10.0.0.2/24"))
  }

  @Test(
    "A result that cannot be converted is an error",
    arguments: [
      #"{"cniVersion":"7.0.0"}"#, #"{"cniVersion":"1.0.0","ips":[{"address":"nonsense"}]}"#,
    ])
  func unconvertible(result: String) async throws {
    let outcome = try await printed(result, for: "0.4.0")
    #expect(outcome.status == 1)
    #expect(outcome.error != nil)
  }
}
