import Addresses
import CNI
import JSON
import Linux
import Netlink
import TestSupport
import Testing

@testable import MacvlanPlugin

@Suite("macvlan ADD")
struct AddTests {
  @Test(
    "A link of each mode appears with parent, address and lease, and DEL removes all",
    arguments: [
      ("", "bridge"), ("bridge", "bridge"), ("private", "private"), ("vepa", "vepa"),
      ("passthru", "passthru"),
    ])
  func modes(given: String, mode: String) async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration(["mode": .string(given)])
    let result = try await node.add(pod, configuration)
    #expect(result.ips.map(\.address) == [IPNetwork("10.1.2.2/24")])
    #expect(result.ips.first?.gateway == IPAddress("10.1.2.1") && result.ips.first?.interface == 0)
    let interface = try #require(result.interfaces.first)
    #expect(interface.name == "eth0" && interface.sandbox == pod.netns && interface.mtu == nil)

    let link = try #require(try await pod.network.link("eth0"))
    #expect(link.at("linkinfo", "info_kind")?.string == "macvlan")
    #expect(link.at("linkinfo", "info_data", "mode")?.string == mode)
    #expect(link["address"]?.string == interface.mac && link["mtu"]?.int == 1500)
    #expect(link["ifalias"]?.string == "cnid:\(pod.containerID)/eth0")
    #expect(link["flags"]?.array?.contains("UP") == true)
    let parent = try #require(try await node.network.link("uplink"))
    #expect(link["link_index"]?.int == parent["ifindex"]?.int)
    #expect(try await pod.network.addresses("eth0") == ["10.1.2.2/24"])
    #expect(node.leases == ["pods/10.1.2.2"])

    try await node.delete(pod, configuration)
    #expect(try await pod.network.links() == [])
    #expect(node.leases == [])
  }
}
