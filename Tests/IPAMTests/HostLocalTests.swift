import CNI
import JSON
import TestSupport
import Testing

@testable import IPAM
@_spi(Journal) import Linux

@Suite("host-local gives, keeps and takes back addresses")
struct HostLocalTests {
  static let subnet = #"{"ranges":[[{"subnet":"10.1.2.0/24"}]]}"#

  @Test("T74: two sets give an address each, in the reference's files, and DEL takes them back")
  func twoSets() throws {
    let leases = try Leases()
    let resolv = leases.directory("resolv.conf")
    try Files.write(resolv, Array("nameserver 192.0.2.3\n".utf8), mode: [.write, .create])
    let ipam = """
      {"ranges":[[{"subnet":"10.1.2.0/24"},{"subnet":"10.2.2.0/24"}],[{"subnet":"2001:db8:1::/64"}]],
       "routes":[{"dst":"0.0.0.0/0"},{"dst":"2001:db8:2::/64","gw":"2001:db8:3::1"}],
       "resolvConf":"\(resolv)"}
      """
    let result = try leases.add(ipam)
    let expected = JSONValue(
      text: """
        {"dns":{"nameservers":["192.0.2.3"]},
         "ips":[{"address":"10.1.2.2/24","gateway":"10.1.2.1"},
                {"address":"2001:db8:1::2/64","gateway":"2001:db8:1::1"}],
         "routes":[{"dst":"0.0.0.0/0"},{"dst":"2001:db8:2::/64","gw":"2001:db8:3::1"}]}
        """)
    #expect(try result == CNIResult(expected, defaultVersion: .v100))
    #expect(leases.content("10.1.2.2") == "dummy\r\neth0")
    #expect(leases.content("2001:db8:1::2") == "dummy\r\neth0")
    #expect(leases.content("last_reserved_ip.0") == "10.1.2.2")
    #expect(leases.content("last_reserved_ip.1") == "2001:db8:1::2")

    try leases.delete(ipam)
    #expect(leases.leases == [])
    #expect(leases.content("last_reserved_ip.0") == "10.1.2.2")
    #expect(leases.content("last_reserved_ip.1") == "2001:db8:1::2")
  }
}
