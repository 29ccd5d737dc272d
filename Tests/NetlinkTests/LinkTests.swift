import Addresses
@_spi(Journal) import Linux
import Netlink
import TestSupport
import Testing

@Suite("Links of the real kernel")
struct LinkTests {
  @Test(
    "A macvlan link appears in another namespace as it was described",
    arguments: MacvlanMode.allCases)
  func macvlan(mode: MacvlanMode) async throws {
    let (node, pod) = (try await TestNamespace(), try await TestNamespace())
    let mac = try #require(MACAddress("c2:11:22:33:44:55"))
    let parent = try await node.netlink { socket in
      let parent = try socket.cable()
      let target = try pod.opened()
      try socket.apply(
        .createLink(
          NewLink(
            name: "eth0",
            kind: .macvlan(parent: parent.index, mode: mode, broadcastQueueLength: 77), mac: mac,
            mtu: 1400, namespace: target.descriptor.rawValue)))
      return parent
    }
    let link = try await pod.netlink { try $0.existing("eth0") }
    #expect(link.kind == "macvlan" && link.mtu == 1400)
    #expect(link.macvlan?.mode == mode && link.macvlan?.broadcastQueueLength ?? 77 >= 77)
    // In passthru mode the kernel gives the link its parent's address.
    #expect(link.mac == (mode == .passthru ? parent.mac : mac))
    #expect(link.parent == parent.index && link.parentNamespaceID != nil)
    #expect(!link.flags.contains(.up))
    let names = try await node.links()
    #expect(names == ["uplink", "wire"])
  }
}
