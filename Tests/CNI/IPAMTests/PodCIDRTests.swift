import Addresses
import CNI
import JSON
import TestSupport
import Testing

@testable import IPAM
@_spi(Journal) import Linux

@Suite("pod-cidr leases from the node's pod network")
struct PodCIDRTests {
  private let leases: Leases

  init() throws { leases = try Leases() }

  private func driver(
    _ podCIDR: String?, _ members: String = "", container: String = "c1"
  ) throws -> IPAMDriver {
    var call = try leases.call(
      leases.configuration(#"{"type":"pod-cidr"\#(members)}"#), container)
    call.podCIDR = podCIDR.flatMap { IPNetwork($0) }
    return try #require(IPAMDriver(for: call))
  }

  @Test("An address is the next one of the network, with its gateway and the routes that are asked")
  func leased() throws {
    let routes = #","routes":[{"dst":"0.0.0.0/0"}]"#
    let result = try driver("10.1.2.0/24", routes).add(Permit())
    #expect(result.ips.map { "\($0.address)" } == ["10.1.2.2/24"])
    #expect(result.ips.first?.gateway == IPAddress("10.1.2.1"))
    #expect(result.routes.count == 1)
    #expect(leases.leases == ["10.1.2.2"])
    try driver("10.1.2.0/24").check()
  }

  @Test("Until the network is known an ADD is tried again, STATUS says no, and nothing is leased")
  func unknown() throws {
    let text =
      "cnid does not know the node's pod network that ipam.type \"pod-cidr\" leases from: set "
      + "podCIDR in cnid.json"
    #expect(throws: CNIError(.tryAgainLater, text)) { try driver(nil).prepare() }
    #expect(throws: CNIError(.tryAgainLater, text)) { try driver(nil).add(Permit()) }
    #expect(throws: CNIError(.notAvailable, text)) { try driver(nil).status() }
    #expect(leases.leases == [])
  }

  @Test("DEL and CHECK of a lease do not need the network")
  func forgotten() throws {
    _ = try driver("10.1.2.0/24").add(Permit())
    try driver(nil).check()
    try driver(nil).delete(Permit())
    #expect(leases.leases == [])
    #expect(throws: CNIError.self) { try driver(nil).check() }
  }

  @Test("A range in the configuration does not count, and is an unknown key")
  func ranges() throws {
    let range = #","subnet":"10.9.9.0/24","ranges":[[{"subnet":"10.8.8.0/24"}]]"#
    #expect(
      try driver("10.1.2.0/24", range).add(Permit()).ips.map { "\($0.address)" }
        == ["10.1.2.2/24"])
    let configuration = try leases.configuration(#"{"type":"pod-cidr"\#(range)}"#)
    let keys = IPAMDriver.keys(for: configuration)
    #expect(configuration.unknownKeys(plugin: KeyTable([]), ipam: keys).count == 2)
  }

  @Test("A check by hand finds what is wrong, whatever the network is")
  func inspected() throws {
    try IPAMDriver.inspect(leases.configuration(#"{"type":"pod-cidr"}"#))
    #expect(throws: CNIError.self) {
      try IPAMDriver.inspect(leases.configuration(#"{"type":"pod-cidr","routes":[{"dst":"x"}]}"#))
    }
  }
}
