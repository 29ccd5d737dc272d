import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// What the specification's section 5 wants to be better than in the original,
/// beyond its test cases.
@Suite(.daemonLog) struct TargetTests {
  private static let old = "d1f1802e-3b52-4d68-9a41-0c2b7de91f34"

  @Test("W2: a file of the pod's earlier life hinders no ADD and no DEL, and its port is forgotten")
  func staleFile() async throws {
    try await withVRouterNode { here in
      let before = try await here.state()
      // An earlier life, whose DEL never came: its link went with the node's restart.
      let earlier = PodIdentity("default", "web-0", Self.old)
      here.agent.change {
        $0.configure(Fixture.name, uuid: Self.old, [Fixture.interface(Fixture.vmi1)])
      }
      let first = try await TestPod(containerID: Fixture.c1)
      try await here.add(first, as: earlier)
      try await here.node.network.ip("link delete tapeth0-d1f180")
      try await here.loseRecords()
      here.agent.change { $0.configure(Fixture.name, uuid: Fixture.podUID, Fixture.one) }
      here.agent.forgetRequests()

      let pod = try await TestPod(containerID: Fixture.c2)
      try await here.add(pod)
      #expect(here.portFile(Fixture.vmi1) == nil && here.portFile(Fixture.vmi0) != nil)
      #expect(here.agent.lines.count { $0 == "DELETE /vm/\(Self.old)" } == 1)
      #expect(here.agent.subscriptions.map(\.interface) == [Fixture.vmi0])
      try await here.delete(pod)
      #expect(try await here.leftovers(since: before) == [])
    }
  }

  @Test(
    "W15: a link that another pod has by now is not taken for what an earlier sandbox has left",
    arguments: [false, true])
  func linkOfAnother(isDamaged: Bool) async throws {
    try await withVRouterNode { here in
      let first = try await TestPod(containerID: Fixture.c1)
      try await here.add(first)
      try await here.loseRecords()
      try await here.node.network.ip("link delete tapeth0-5f0c7a")
      // Its uuid begins like the first one's, so its link has the same name.
      let other = PodIdentity("default", "web-1", "5f0c7a00-3b52-4d68-9a41-0c2b7de91f34")
      here.agent.change {
        $0.configure("k8s__default__web-1", uuid: other.uid, [Fixture.interface(Fixture.vmi1)])
      }
      let living = try await TestPod("living")
      try await here.add(living, as: other)

      let file = "\(here.portFiles)/\(Fixture.name)/\(Fixture.vmi0)"
      if isDamaged { try Files.write(file, [], mode: [.write, .truncate]) }

      let again = try await TestPod(containerID: Fixture.c2)
      let run = try await here.shim("ADD", again)
      #expect(run.isFailure && run.code == 100, "\(run)")
      #expect(try await living.network.addresses("eth0") == ["20.1.1.3/24"])
      try await here.delete(living, as: other)
      try await here.add(again)
      #expect(try await again.network.addresses("eth0") == ["10.47.255.231/12"])
    }
  }

  @Test("W2: a file of another container, whose link is there, does not hinder this one's DEL")
  func foreignFile() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      try await here.add(pod)
      try await here.node.network.ip("link add tapeth0-d1f180 type veth peer name other")
      let foreign = here.port(Fixture.vmi1, "eth0", "tapeth0-d1f180", pod, uuid: Self.old)
        .setting("vm-id", .string(Fixture.c2)).setting("time", "now")
      let file = "\(here.portFiles)/\(Fixture.name)/\(Fixture.vmi1)"
      try Files.write(file, foreign.bytes, mode: [.write, .create])
      here.agent.forgetRequests()
      try await here.delete(pod)
      #expect(here.portFile(Fixture.vmi0) == nil && here.portFile(Fixture.vmi1) == foreign)
      #expect(try await here.taps() == ["tapeth0-d1f180"])
      #expect(here.story == ["DEL"])
    }
  }

  @Test("W5: DEL of the old sandbox and ADD of the new one, at once, end with the new one's port")
  func overlapping() async throws {
    try await withVRouterNode { here in
      for round in 0..<Program.rounds(10) {
        let (pod, next) = (
          try await TestPod(containerID: Fixture.c1), try await TestPod(containerID: Fixture.c2)
        )
        here.agent.script("DELETE", "/vm", [])
        try await here.add(pod)
        // The agent takes its time with the old one.
        here.agent.script("DELETE", "/vm", [.memory.after(milliseconds: 100 + round % 3 * 50)])
        async let deleted: Void = here.delete(pod)
        if round % 2 == 0 { await onThread { Clock.pause(milliseconds: round * 5) } }
        try await here.add(next)
        try await deleted
        #expect(here.agent.subscriptions.map(\.interface) == [Fixture.vmi0], "round \(round)")
        #expect(here.portFile(Fixture.vmi0)?["vm-id"]?.string == Fixture.c2)
        let near = try await here.node.network.link("tapeth0-5f0c7a")
        let far = try await next.network.link("eth0")
        #expect(near != nil && near?["link_index"] == far?["ifindex"])
        try await here.delete(next)
        #expect(here.agent.subscriptions == [])
      }
    }
  }

  @Test("W11: without a name to go by, an interface that is not the primary's is one network's")
  func otherInterface() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      here.agent.change { $0.configure(Fixture.name, uuid: Fixture.podUID, Fixture.two) }
      let network = here.network(top: ["name": "net-a"])
      try here.clearDisk()
      try await here.add(pod, network, ifname: "net1")
      #expect(try await pod.network.links() == ["net1"])
      #expect(try await pod.network.addresses("net1") == ["20.1.1.3/24"])
    }
  }

  @Test("W23: an agent that does not know the path of one interface is asked for all of them")
  func oldAgent() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      here.agent.change { $0.configure(Fixture.name, uuid: Fixture.podUID, Fixture.two) }
      here.agent.script("GET", "/vm/\(Fixture.podUID)/", [.unknownRequest])
      try await here.add(pod)
      #expect(here.agent.lines.contains("GET /vm/\(Fixture.podUID)"))
      #expect(try await pod.network.addresses("eth0") == ["10.47.255.231/12"])
      #expect(try await pod.network.addresses("eth1") == ["20.1.1.3/24"])
    }
  }

  @Test("W24: a pod that has both families gets both")
  func bothFamilies() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      here.agent.change {
        $0.interfaces[Fixture.vmi0]?.ipv6 = .init(
          "fd00:1::5", 64, gateway: "fd00:1::1", nameServer: "fd00:1::2")
      }
      let network = here.network(["v6-prefix-length": 112], top: ["cniVersion": "1.0.0"])
      let result = try await here.add(pod, network)
      #expect(
        result["ips"]?.array?.compactMap { $0["address"]?.string } == [
          "10.47.255.231/12", "fd00:1::5/112",
        ])
      #expect(result.at("dns", "nameservers") == ["10.47.255.253", "fd00:1::2"])
      #expect(
        try await pod.network.addresses("eth0") == ["10.47.255.231/12", "fd00:1::5/112"])
      #expect(
        try await pod.network.routes("-6").contains { $0.hasPrefix("default via fd00:1::1") })
    }
  }

  @Test("W25: a gateway that is none gives no route and is not reported")
  func noGateway() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      here.agent.change { $0.interfaces[Fixture.vmi0]?.ipv4?.gateway = "0.0.0.0" }
      let result = try await here.add(pod)
      #expect(result.at("ips", 0, "gateway") == nil && result["routes"]?.array ?? [] == [])
      #expect(try await pod.network.routes().allSatisfy { !$0.hasPrefix("default") })
    }
  }

  @Test("W26: the result has its version, the sandbox, and says which interface an address is of")
  func wholeResult() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let result = try await here.add(pod, here.network(top: ["cniVersion": "1.1.0"]))
      #expect(result["cniVersion"] == "1.1.0")
      #expect(
        result["interfaces"]?.array?.compactMap { $0["name"]?.string } == [
          "tapeth0-5f0c7a", "eth0",
        ])
      #expect(result.at("interfaces", 0, "sandbox") == nil)
      #expect(result.at("interfaces", 1, "sandbox")?.string == pod.netns)
      #expect(result.at("ips", 0, "interface") == 1)
    }
  }

  @Test("W27: the pod's link never has an address that its first hardware address gave")
  func linkLocal() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      try await here.add(pod)
      let only = try await eventuallyOne {
        try await here.linkLocal("eth0", in: pod.network)
      }
      #expect(only == ["fe80::b:6dff:fe9c:528e"])
    }
  }

  /// Waits until there is something.
  private func eventuallyOne(_ look: () async throws -> [String]) async throws -> [String] {
    var seen: [String] = []
    for _ in 0..<100 * Program.patience where seen.isEmpty {
      seen = try await look()
      if seen.isEmpty { await onThread { Clock.pause(milliseconds: 50) } }
    }
    return seen
  }

  @Test("The agent's name of a network does not leave the directory of port files")
  func escapingName() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      for cluster in ["../../x", "a/b", "/"] {
        let run = try await here.shim("ADD", pod, here.network(["cluster-name": .string(cluster)]))
        #expect(run.isFailure, "\(run)")
        try await here.delete(pod, here.network(["cluster-name": .string(cluster)]))
      }
      #expect(here.agent.connections == 0)
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }
}
