import Addresses
import JSON
import Linux
import TestSupport
import Testing

/// VLANs, and what passes between pods.
@Suite(.daemonLog, .openVSwitch) struct PortTests {
  @Test("An access port has its tag")
  func access() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      try await here.node.add(pod, here.network(["vlan": 100]))
      let port = try #require(try await here.port(of: pod))
      #expect(port.text("tag") == "100" && port.text("vlan_mode") == "access")
    }
  }

  @Test("A trunk's VLANs are sorted and each is there once")
  func trunk() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let trunk: JSONValue = [
        ["minID": 17, "maxID": 18], ["id": 15], ["minID": 10, "maxID": 12], ["id": 11],
      ]
      try await here.node.add(pod, here.network(["trunk": trunk]))
      let port = try #require(try await here.port(of: pod))
      #expect(port.list("trunks") == ["10", "11", "12", "15", "17", "18"])
      #expect(port.text("vlan_mode") == "trunk" && port.text("tag") == nil)
    }
  }

  @Test(
    "Pods of one VLAN reach each other, those of another do not, and a trunk carries what it names")
  func separation() async throws {
    try await withOVSNode { here in
      let (one, two) = (try await TestPod("one"), try await TestPod("two"))
      let (stranger, trunk) = (try await TestPod("stranger"), try await TestPod("trunk"))
      let other = try await TestPod("other")
      try await here.node.add(one, here.network(["vlan": 10]))
      try await here.node.add(two, here.network(["vlan": 10]))
      try await here.node.add(stranger, here.network(["vlan": 20]))
      try await here.node.add(trunk, here.flat(["trunk": [["id": 10]]]))
      try await here.node.add(other, here.flat(["trunk": [["id": 30]]]))
      #expect(try await one.network.pings("10.1.2.3"))
      let counted = try await trunk.received()
      let notCounted = try await other.received()
      // The question for an address goes to every port of the VLAN.
      let run = try await one.network.run(["ping", "-c3", "-i0.2", "-W1", "10.1.2.4"])
      #expect(!run.succeeded)
      #expect(try await pollAsync { try await trunk.received() >= counted + 1 })
      #expect(try await other.received() == notCounted)
    }
  }

  @Test("100 MB pass over TCP from pod to pod")
  func transfer() async throws {
    try await withOVSNode { here in
      let (one, two) = (try await TestPod("one"), try await TestPod("two"))
      try await here.node.add(one, here.network())
      try await here.node.add(two, here.network())
      let bytes = 100_000_000
      let address = try #require(IPAddress("10.1.2.3"))
      let transfer = try await TCPTransfer.run(
        from: one.network, to: two.network, at: address, bytes: bytes)
      #expect(transfer.bytes == bytes)
      print("figure: two pods on one bridge, datapath \(OVSNode.datapath): \(transfer)")
    }
  }

  @Test("Restarts of both daemons of Open vSwitch keep the pods connected, and ADD and DEL go on")
  func restart() async throws {
    try await withOVSNode { here in
      let (one, two) = (try await TestPod("one"), try await TestPod("two"))
      try await here.node.add(one, here.network())
      try await here.node.add(two, here.network())
      #expect(try await one.network.pings("10.1.2.3"))
      try await here.ovs.stopDatabase()
      try await here.ovs.startDatabase()
      try await here.ovs.stopSwitch()
      try await here.ovs.startSwitch()
      #expect(try await one.network.pings("10.1.2.3"))
      let three = try await TestPod("three")
      try await here.node.add(three, here.network())
      #expect(try await three.network.pings("10.1.2.2"))
      for pod in [one, two, three] { try await here.node.delete(pod, here.network()) }
      #expect(try await here.ovs.ports("br0") == [])
    }
  }
}

extension TestPod {
  /// How many packets its interface has received.
  func received() async throws -> Int {
    let statistics = try await network.show("-statistics", "link", "show", "dev", "eth0")
    return statistics.first?.at("stats64", "rx", "packets")?.int ?? 0
  }
}
