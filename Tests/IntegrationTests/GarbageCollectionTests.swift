import JSON
import Linux
import TestSupport
import Testing

/// GC keeps what is listed and removes the rest of its network.
@Suite(.daemonLog) struct GarbageCollectionTests {
  @Test(
    "With gcLiving GC removes link, address and record of what is not listed, and nothing else",
    arguments: ["cni.dev/valid-attachments", "cni.dev/attachments"])
  func collects(key: String) async throws {
    try await withTestNode { node in
      let (kept, stale) = (try await TestPod("kept"), try await TestPod("stale"))
      let other = try await TestPod("other")
      let second = node.macvlan([
        "name": "second", "ipam": ["type": "host-local", "subnet": "10.3.0.0/24"],
      ])
      try await node.add(kept, node.macvlan())
      try await node.add(stale, node.macvlan())
      try await node.add(other, second)
      let list: JSONValue = [["containerID": .string(kept.containerID), "ifname": "eth0"]]
      let run = try await node.shim("GC", kept, node.macvlan([key: list, "gcLiving": true]))
      #expect(run.succeeded && run.output.isEmpty, "\(run)")
      #expect(try await kept.network.links() == ["eth0"])
      #expect(try await stale.network.links() == [])
      #expect(try await other.network.links() == ["eth0"])
      #expect(node.leases == ["pods/10.1.2.2", "second/10.3.0.2"])
      #expect(node.records.count == 2)
    }
  }

  @Test("GC without a list removes nothing and is refused")
  func noList() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      let run = try await node.shim("GC", pod, node.macvlan())
      #expect(run.status == .exited(1))
      #expect(run.code == 7, "\(run)")
      #expect(try await pod.network.links() == ["eth0"])
      #expect(node.leases == ["pods/10.1.2.2"])
    }
  }

  @Test("Of both keys the newer one counts")
  func bothKeys() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      let entry: JSONValue = ["containerID": .string(pod.containerID), "ifname": "eth0"]
      let configuration = node.macvlan([
        "cni.dev/valid-attachments": [entry], "cni.dev/attachments": [],
      ])
      let run = try await node.shim("GC", pod, configuration)
      #expect(run.succeeded, "\(run)")
      #expect(try await pod.network.links() == ["eth0"])
    }
  }

  @Test(
    "GC with no entry takes nothing from a living pod, recorded or not, and all of a dead one",
    arguments: [[], .null] as [JSONValue])
  func living(list: JSONValue) async throws {
    try await withTestNode { node in
      let (lives, lost) = (try await TestPod("lives"), try await TestPod("lost"))
      try await node.add(lost, node.macvlan())
      try await node.kill()
      for record in node.records {
        try Files.remove("\(node.stateDirectory)/attachments/\(record)")
      }
      try await node.start()
      try await node.add(lives, node.macvlan())
      // A pod that has ended without a DEL, and a lease that nothing tells of.
      var dead = Optional(try await TestPod("dead"))
      if let dead { try await node.add(dead, node.macvlan()) }
      dead = nil
      try Files.write(
        "\(node.dataDirectory)/pods/10.1.2.99", Array("long-gone\r\neth0".utf8),
        mode: [.write, .create])
      let expected = ["pods/10.1.2.2", "pods/10.1.2.3"]
      // The kernel takes a moment to end the dead pod's namespace.
      let left = try await settled(within: 10_000) {
        let network = node.macvlan(["cni.dev/valid-attachments": list])
        let run = try await node.shim("GC", lives, network)
        #expect(run.succeeded, "\(run)")
        return node.leases == expected ? [] : node.leases
      }
      #expect(left == [])
      for pod in [lives, lost] { #expect(try await pod.network.links() == ["eth0"]) }
    }
  }

  @Test("With gcLiving an empty list removes everything of the network, unrecorded leases too")
  func emptyList() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      try Files.write(
        "\(node.dataDirectory)/pods/10.1.2.99", Array("long-gone\r\neth0".utf8),
        mode: [.write, .create])
      let run = try await node.shim(
        "GC", pod, node.macvlan(["cni.dev/valid-attachments": [], "gcLiving": true]))
      #expect(run.succeeded, "\(run)")
      #expect(try await pod.network.links() == [])
      #expect(node.leases == [] && node.records == [])
    }
  }

  @Test("STATUS succeeds on a node that works")
  func status() async throws {
    try await withTestNode { node in
      let run = try await node.shim("STATUS", try await TestPod(), node.macvlan())
      #expect(run.succeeded && run.output.isEmpty, "\(run)")
    }
  }
}
