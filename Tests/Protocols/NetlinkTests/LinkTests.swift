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

  @Test("A veth pair spans two namespaces, with name, address and MTU of each end, in one message")
  func veth() async throws {
    let (node, pod) = (try await TestNamespace(), try await TestNamespace())
    let mac = try #require(MACAddress("c2:00:00:00:00:01"))
    let other = try #require(MACAddress("c2:00:00:00:00:02"))
    let here = try await node.netlink { socket in
      let target = try pod.opened()
      let peer = NewLink.Peer(
        name: "eth0", mac: other, mtu: 1400, namespace: target.descriptor.rawValue)
      try socket.apply(
        .createLink(
          NewLink(name: "port", kind: .veth(peer: peer), mac: mac, mtu: 1300, isUp: true)))
      return try socket.existing("port")
    }
    let there = try await pod.netlink { try $0.existing("eth0") }
    #expect(here.kind == "veth" && here.mac == mac && here.flags.contains(.up))
    #expect(there.mac == other && there.parent == here.index && here.parent == there.index)
    #expect(here.mtu == 1300 && there.mtu == 1400)
  }

  @Test("A VLAN link has its tag, and carries a macvlan link into a pod", .fullKernel("8021q"))
  func vlan() async throws {
    let (node, pod) = (try await TestNamespace(), try await TestNamespace())
    let seen = try await node.netlink { socket in
      let parent = try socket.cable()
      try socket.apply(
        .createLink(
          NewLink(name: "v101", kind: .vlan(parent: parent.index, id: 101), mtu: 1450, isUp: true)))
      let vlan = try socket.existing("v101")
      let target = try pod.opened()
      try socket.apply(
        .createLink(
          NewLink(
            name: "eth0", kind: .macvlan(parent: vlan.index, mode: .vepa),
            namespace: target.descriptor.rawValue)))
      return (parent, vlan)
    }
    #expect(seen.1.kind == "vlan" && seen.1.vlanID == 101 && seen.1.mtu == 1450)
    #expect(seen.1.parent == seen.0.index && seen.1.parentNamespaceID == nil)
    let link = try await pod.netlink { try $0.existing("eth0") }
    #expect(link.parent == seen.1.index && link.macvlan?.mode == .vepa && link.mtu == 1450)
  }

  @Test(
    "A tag beyond 4095 is refused, and so is every tag on a kernel without VLANs; no link is left")
  func noVLAN() async throws {
    let node = try await TestNamespace()
    let seen = try await node.netlink { socket in
      let parent = try socket.cable()
      var seen: [String] = []
      for id in [UInt16(4096), 101] {
        do throws(NetlinkError) {
          try socket.apply(
            .createLink(NewLink(name: "v\(id)", kind: .vlan(parent: parent.index, id: id))))
          seen.append("made")
        } catch {
          seen.append(error.errno.name)
        }
      }
      return seen + (try socket.links(deadline: soon).map(\.name).filter { $0.hasPrefix("v") })
    }
    #expect(
      seen == (Program.hasFullKernel ? ["ERANGE", "made", "v101"] : ["EOPNOTSUPP", "EOPNOTSUPP"]))
  }

  @Test("A link is found by an alternative name, and no name is too long to be nobody's")
  func alternativeNames() async throws {
    let node = try await TestNamespace()
    _ = try await node.netlink { _ = try $0.cable() }
    let names = [
      "short-one", String(repeating: "n", count: 16), String(repeating: "n", count: 127),
    ]
    for name in names { try await node.ip("link property add dev uplink altname \(name)") }
    let found = try await node.netlink { socket in
      try names.map { try socket.link(named: $0, deadline: soon)?.name }
    }
    #expect(found == ["uplink", "uplink", "uplink"])
    let none = [
      "", "n", String(repeating: "m", count: 16), String(repeating: "n", count: 128), "uplink\0x",
    ]
    let missing = try await node.netlink { socket in
      try none.map { try socket.link(named: $0, deadline: soon)?.name }
    }
    #expect(missing == [nil, nil, nil, nil, nil])
  }

  @Test("A bridge takes a port and lets it go")
  func bridge() async throws {
    let node = try await TestNamespace()
    let seen = try await node.netlink { socket in
      let port = try socket.cable()
      try socket.apply(.createLink(NewLink(name: "br0", kind: .bridge)))
      let bridge = try socket.existing("br0")
      var settings = LinkSettings()
      settings.bridge = bridge.index
      try socket.apply(.changeLink(index: port.index, settings))
      let joined = try socket.existing("uplink").bridge == bridge.index
      settings.bridge = 0
      try socket.apply(.changeLink(index: port.index, settings))
      return (bridge.kind, joined, try socket.existing("uplink").bridge)
    }
    #expect(seen.0 == "bridge" && seen.1 && seen.2 == nil)
  }

  @Test("Name, alias, address, MTU, mode and state change in one message")
  func change() async throws {
    let node = try await TestNamespace()
    let mac = try #require(MACAddress("c2:00:00:00:00:07"))
    let link = try await node.netlink { socket in
      let parent = try socket.cable()
      try socket.apply(
        .createLink(NewLink(name: "m0", kind: .macvlan(parent: parent.index, mode: .bridge))))
      var settings = LinkSettings()
      settings.name = "m1"
      settings.alias = "cnid:container/eth0"
      settings.mac = mac
      settings.mtu = 1280
      settings.macvlanMode = .vepa
      settings.isUp = true
      settings.ipv4 = [(.arpNotify, 1)]
      try socket.apply(.changeLink(index: try socket.existing("m0").index, settings))
      return try socket.existing("m1")
    }
    #expect(link.alias == "cnid:container/eth0" && link.mac == mac && link.mtu == 1280)
    #expect(link.macvlan?.mode == .vepa && link.flags.contains(.up))
    let notify = try await node.run(["cat", "/proc/sys/net/ipv4/conf/m1/arp_notify"])
    #expect(notify.text == "1\n")
  }

  @Test("An alias has up to 255 bytes")
  func alias() async throws {
    let node = try await TestNamespace()
    let aliases = try await node.netlink { socket in
      try socket.apply(.createLink(NewLink(name: "br0", kind: .bridge)))
      let index = try socket.existing("br0").index
      var settings = LinkSettings()
      var seen: [String] = []
      for count in [255, 256] {
        settings.alias = String(repeating: "a", count: count)
        do throws(NetlinkError) {
          try socket.apply(.changeLink(index: index, settings))
          seen.append(try socket.link(index: index, deadline: soon)?.alias ?? "")
        } catch {
          seen.append(error.errno.name)
        }
      }
      return seen
    }
    #expect(aliases == [String(repeating: "a", count: 255), "ERANGE"])
  }

  @Test("A missing link is nil by name and by number; a taken name is EEXIST; a missing one ENODEV")
  func missing() async throws {
    let node = try await TestNamespace()
    let seen = try await node.netlink { socket in
      var seen: [String] = []
      if try socket.link(named: "nope", deadline: soon) == nil { seen.append("nil") }
      if try socket.link(index: 4711, deadline: soon) == nil { seen.append("nil") }
      try socket.apply(.createLink(NewLink(name: "br0", kind: .bridge)))
      for change in [
        NetlinkChange.createLink(NewLink(name: "br0", kind: .bridge)),
        .deleteLink(index: 4711, name: "nope"),
      ] {
        do throws(NetlinkError) {
          try socket.apply(change)
        } catch {
          seen.append(error.description)
        }
      }
      return seen
    }
    #expect(
      seen == [
        "nil", "nil", "create link br0: File exists (EEXIST)",
        "delete link nope: No such device (ENODEV)",
      ])
  }

  @Test("Another namespace gets an id, once, and keeps it")
  func namespaceIDs() async throws {
    let (node, pod) = (try await TestNamespace(), try await TestNamespace())
    let seen = try await node.netlink { socket in
      let other = try pod.opened()
      let before = try socket.namespaceID(of: other, deadline: soon)
      try socket.apply(.assignNamespaceID(to: other))
      let id = try socket.namespaceID(of: other, deadline: soon)
      let again = try socket.attempt(
        [.assignNamespaceID(to: other)], Permit(), deadline: soon)
      let cookie = try other.cookie()
      return (before, id, again.first??.errno, cookie != (try socket.namespaceCookie()))
    }
    #expect(seen.0 == nil && seen.1 == 0 && seen.2 == .exists && seen.3)
  }
}
