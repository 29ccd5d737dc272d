import JSON
import Linux
import TestSupport
import Testing

/// One result in the forms of all seven versions of the specification, through the whole chain.
@Suite(.daemonLog) struct ResultVersionTests {
  /// The addresses and routes of the specification's own conversion examples.
  static let ipam: JSONValue = [
    "type": "static",
    "addresses": [
      ["address": "1.2.3.30/24", "gateway": "1.2.3.1"],
      ["address": "abcd:1234:ffff::cdde/64", "gateway": "abcd:1234:ffff::1"],
    ],
    "routes": [
      ["dst": "15.5.6.0/24", "gw": "1.2.3.8"],
      ["dst": "1111:dddd::/80", "gw": "abcd:1234:ffff::aaaa"],
    ],
  ]

  private func result(_ version: JSONValue?, _ node: TestNode) async throws -> JSONValue {
    let pod = try await TestPod()
    return try await node.add(
      pod, node.macvlan(["cniVersion": version, "ipam": Self.ipam, "dad": "skip"]))
  }

  @Test(
    "0.3 and 0.4 have the family with each address", arguments: ["0.3.0", "0.3.1", "0.4.0"])
  func middle(version: String) async throws {
    try await withTestNode { node in
      let result = try await result(.string(version), node)
      #expect(result["cniVersion"]?.string == version)
      #expect(result.at("ips", 0, "version") == "4")
      #expect(result.at("ips", 0, "interface") == 0)
      #expect(result.at("ips", 0, "address") == "1.2.3.30/24")
      #expect(result.at("ips", 0, "gateway") == "1.2.3.1")
      #expect(result.at("ips", 1, "version") == "6")
      #expect(result.at("ips", 1, "interface") == 0)
      #expect(result.at("ips", 1, "address") == "abcd:1234:ffff::cdde/64")
      #expect(result["routes"]?.array?.count == 2)
      #expect(result["dns"] == [:])
    }
  }

  @Test(
    "0.1 and 0.2, also unsaid, have one address of each family",
    arguments: ["0.1.0", "0.2.0", nil])
  func old(version: String?) async throws {
    try await withTestNode { node in
      let result = try await result(version.map { .string($0) }, node)
      #expect(result["cniVersion"]?.string == version ?? "0.1.0")
      #expect(result["interfaces"] == nil && result["ips"] == nil)
      #expect(
        result["ip4"] == [
          "ip": "1.2.3.30/24", "gateway": "1.2.3.1",
          "routes": [["dst": "15.5.6.0/24", "gw": "1.2.3.8"]],
        ])
      #expect(
        result["ip6"] == [
          "ip": "abcd:1234:ffff::cdde/64", "gateway": "abcd:1234:ffff::1",
          "routes": [["dst": "1111:dddd::/80", "gw": "abcd:1234:ffff::aaaa"]],
        ])
    }
  }

  @Test("1.x prints interface 0 and no family", arguments: ["1.0.0", "1.1.0"])
  func new(version: String) async throws {
    try await withTestNode { node in
      let result = try await result(.string(version), node)
      #expect(result["cniVersion"]?.string == version)
      #expect(result.at("ips", 0, "interface") == 0)
      #expect(result.at("ips", 0, "version") == nil)
    }
  }

  @Test("A result without addresses has no form in 0.2.0, and nothing is left of the ADD")
  func noAddress() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let before = try await node.snapshot([pod])
      let run = try await node.shim(
        "ADD", pod, node.macvlan(["cniVersion": "0.2.0", "ipam": [:]]))
      #expect(run.status == .exited(1))
      #expect(run.message?.contains("cannot convert: no valid IP addresses") == true, "\(run)")
      let left = try await node.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("A previous result of an old version comes out in that version")
  func oldPreviousResult() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let configuration = node.macvlan(["cniVersion": "0.3.1"])
      let added = try await node.add(pod, configuration)
      try await node.delete(pod, configuration.setting("prevResult", added))
      #expect(node.leases == [])
    }
  }
}
