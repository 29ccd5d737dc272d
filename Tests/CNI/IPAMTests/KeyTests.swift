import CNI
import JSON
import Testing

@testable import IPAM

/// The tables of keys, and what is read.
@Suite("IPAM: every key of a table is read")
struct KeyTests {
  private func configuration(_ ipam: String) throws -> NetworkConfiguration {
    try NetworkConfiguration(Array(#"{"name":"net","ipam":\#(ipam)}"#.utf8))
  }

  /// What is said of a wrong type at a key of `ipam`.
  private func hostLocal(_ members: String) -> String? {
    failure {
      let configuration = try configuration(#"{"type":"host-local",\#(members)}"#)
      _ = try HostLocalConfiguration.directory(configuration, in: "/leases")
      _ = try HostLocalConfiguration(configuration, arguments: CNIArguments())
    }
  }

  private func fixed(_ members: String) -> String? {
    failure {
      let configuration = try configuration(#"{"type":"static",\#(members)}"#)
      _ = try StaticConfiguration(configuration, arguments: CNIArguments())
    }
  }

  private func failure(_ body: () throws -> Void) -> String? {
    do {
      try body()
      return nil
    } catch {
      return (error as? CNIError)?.message
    }
  }

  @Test("host-local", arguments: HostLocalConfiguration.keys.names)
  func hostLocalKeys(key: String) {
    // The network's name is what counts.
    if key == "name" { return }
    let subnet = key == "subnet" ? "" : #","subnet":"10.1.2.0/24""#
    #expect(hostLocal(#""\#(key)":[7]\#(subnet)"#)?.contains("ipam.\(key)") == true)
  }

  @Test("a range of host-local", arguments: ["subnet", "rangeStart", "rangeEnd", "gateway"])
  func rangeKeys(key: String) {
    #expect(HostLocalConfiguration.keys.inner("ranges")?.has(key) == true)
    let subnet = key == "subnet" ? "" : #","subnet":"10.1.2.0/24""#
    #expect(
      hostLocal(#""ranges":[[{"\#(key)":[7]\#(subnet)}]]"#)?.contains("ipam.ranges[0][0].\(key)")
        == true)
  }

  @Test("static", arguments: StaticConfiguration.keys.names)
  func staticKeys(key: String) {
    #expect(fixed(#""\#(key)":[7]"#)?.contains("ipam.\(key)") == true)
  }

  @Test("an address of static", arguments: ["address", "gateway"])
  func addressKeys(key: String) {
    #expect(StaticConfiguration.keys.inner("addresses")?.has(key) == true)
    let address = key == "address" ? "" : #","address":"10.1.2.3/24""#
    #expect(
      fixed(#""addresses":[{"\#(key)":[7]\#(address)}]"#)?.contains("ipam.addresses[0].\(key)")
        == true)
  }

  @Test("a route", arguments: CNIResult.Route.keys.names)
  func routeKeys(key: String) {
    let dst = key == "dst" ? "" : #","dst":"10.0.0.0/8""#
    #expect(
      fixed(#""routes":[{"\#(key)":[7]\#(dst)}]"#)?.contains("ipam.routes[0].\(key)") == true)
  }

  @Test("name servers", arguments: CNIResult.DNS.keys.names)
  func dnsKeys(key: String) {
    #expect(fixed(#""dns":{"\#(key)":7}"#)?.contains("ipam.dns.\(key)") == true)
  }

  @Test("Keys count in any case, so that no address lies outside of the operator's range")
  func anyCase() throws {
    let read = try HostLocalConfiguration(
      configuration(
        #"{"Type":"host-local","Ranges":[[{"Subnet":"10.1.2.0/24","rangestart":"10.1.2.9"}]]}"#),
      arguments: CNIArguments())
    #expect(read.sets.map(\.description) == ["10.1.2.9-10.1.2.254"])
  }

  @Test("The ends of a range say nothing without a subnet beside them")
  func flat() throws {
    let flat = try configuration(#"{"type":"host-local","subnet":"10.0.0.0/8","rangeStart":"x"}"#)
    #expect(IPAMDriver.keys(for: flat)?.has("rangeStart") == true)
    let lists = try configuration(#"{"type":"host-local","ranges":[],"rangeStart":"x"}"#)
    #expect(IPAMDriver.keys(for: lists)?.has("rangeStart") == false)
    #expect(IPAMDriver.keys(for: try configuration(#"{"type":"whereabouts"}"#)) == nil)
  }
}
