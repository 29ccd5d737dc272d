import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// A meta-plugin calls once for each network of a pod.
@Suite(.daemonLog) struct MetaTests {
  /// How the plugin learns that a meta-plugin calls.
  enum Way: CaseIterable {
    case thin, thick, explicit
    var parent: String? {
      switch self {
      case .thin: "multus"
      case .thick: "multus-daemon"
      case .explicit: nil
      }
    }
    func network(_ here: VRouterNode, _ name: String = "contrail-k8s-cni") -> JSONValue {
      here.network(
        ["meta-mode": self == .explicit ? true : nil], top: ["name": .string(name)])
    }
  }

  /// A pod with two interfaces, one call for each.
  private func attach(_ here: VRouterNode, _ pod: TestPod, _ way: Way) async throws -> [JSONValue] {
    here.agent.change { $0.configure(Fixture.name, uuid: Fixture.podUID, Fixture.two) }
    return [
      try await here.add(pod, way.network(here), parent: way.parent),
      try await here.add(pod, way.network(here, "net-a"), ifname: "net1", parent: way.parent),
    ]
  }

  @Test("Each call attaches the interface of its network", arguments: Way.allCases)
  func pair(way: Way) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let results = try await attach(here, pod, way)
      #expect(
        here.story == ["CFG", "POST VMI0", "P2 VMI0", "CFG", "POST VMI1", "P2 VMI1"])
      #expect(here.agent.lines.contains("GET /vm/\(Fixture.podUID)/\(Fixture.vmi1)"))
      #expect(
        here.agent.requests("POST").map(\.port) == [
          here.port(Fixture.vmi0, "eth0", "tapeth0-5f0c7a", pod),
          here.port(Fixture.vmi1, "net1", "tapnet1-5f0c7a", pod),
        ])
      #expect(results[0].hasPrimary("eth0", "02:0b:6d:9c:52:8e"))
      #expect(results[0]["routes"] == [["dst": "0.0.0.0/0", "gw": "10.47.255.254"]])
      #expect(results[1].hasPrimary("net1", "02:0b:6d:9c:53:8e"))
      #expect(results[1].at("ips", 0, "address") == "20.1.1.3/24")
      #expect(results[1]["ips"]?.array?.count == 1)
      #expect((results[1]["routes"]?.array ?? []) == [])
      #expect(try await pod.network.links() == ["eth0", "net1"])
      #expect(try await pod.network.addresses("net1") == ["20.1.1.3/24"])
      #expect(
        try await pod.network.routes().filter { $0.hasPrefix("default") }
          == ["default via 10.47.255.254 dev eth0"])
      #expect(here.agent.violations == [])
    }
  }

  @Test(
    "DEL of one network leaves the others, and the agent hears of the last",
    arguments: Way.allCases, [false, true])
  func deletePair(way: Way, isForgotten: Bool) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      _ = try await attach(here, pod, way)
      if isForgotten { try await here.loseRecords() }
      here.agent.forgetRequests()
      try await here.delete(pod, way.network(here, "net-a"), ifname: "net1", parent: way.parent)
      #expect(try await here.taps() == ["tapeth0-5f0c7a"])
      #expect(try await pod.network.links() == ["eth0"])
      #expect(try await pod.network.addresses("eth0") == ["10.47.255.231/12"])
      #expect(here.portFile(Fixture.vmi1) == nil)
      #expect(
        here.portFile(Fixture.vmi0).map { JSONValue.port($0) }
          == here.port(Fixture.vmi0, "eth0", "tapeth0-5f0c7a", pod))
      #expect(here.agent.requests.isEmpty)
      try await here.delete(pod, way.network(here), parent: way.parent)
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      #expect(here.story == ["DEL"])
    }
  }

  @Test("In the other order too")
  func deleteDefaultFirst() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      _ = try await attach(here, pod, .thin)
      here.agent.forgetRequests()
      try await here.delete(pod, Way.thin.network(here), parent: "multus")
      #expect(here.agent.requests.isEmpty && here.portFile(Fixture.vmi1) != nil)
      #expect(try await here.taps() == ["tapnet1-5f0c7a"])
      try await here.delete(pod, Way.thin.network(here, "net-a"), ifname: "net1", parent: "multus")
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      #expect(here.story == ["DEL"])
    }
  }

  @Test(
    "A network attached again under another name gets the link that the agent knows",
    arguments: [false, true])
  func attachedAgain(agentEnds: Bool) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      _ = try await attach(here, pod, .thin)
      let network = Way.thin.network(here, "net-a")
      try await here.delete(pod, network, ifname: "net1", parent: "multus")
      try await here.add(pod, network, ifname: "net2", parent: "multus")
      // The agent keeps the first link of an interface until it forgets the pod.
      let post = try #require(here.agent.requests("POST").last)
      #expect(post.text("host-ifname") == "tapnet1-5f0c7a" && post.text("vm-ifname") == "net2")
      #expect(here.agent.memory.hostLinks[Fixture.vmi1] == "tapnet1-5f0c7a")
      #expect(try await here.taps() == ["tapeth0-5f0c7a", "tapnet1-5f0c7a"])
      #expect(try await pod.network.addresses("net2") == ["20.1.1.3/24"])
      if agentEnds { here.agent.stop() }
      try await here.delete(pod, network, ifname: "net2", parent: "multus")
      try await here.delete(pod, Way.thin.network(here), parent: "multus")
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("A network that the agent has no interface for is named in the error")
  func unknownNetwork() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      here.agent.change { $0.configure(Fixture.name, uuid: Fixture.podUID, Fixture.two) }
      for parent in ["multus", nil] {
        let run = try await here.shim(
          "ADD", pod, Way.thin.network(here, "net-zzz"), ifname: "net1", parent: parent)
        #expect(run.isFailure && run.message?.contains("net-zzz") == true, "\(run)")
      }
      #expect(here.agent.requests("POST").isEmpty)
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("Two attachments to the same network get one interface each")
  func sameNetworkTwice() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      here.agent.change {
        $0.configure(
          Fixture.name, uuid: Fixture.podUID,
          [
            Fixture.interface(Fixture.vmi0, 0, of: 3),
            Fixture.interface(Fixture.vmi1, 1, of: 3, "net-a"),
            Fixture.interface(Fixture.vmi2, 2, of: 3, "net-a"),
          ])
      }
      let network = Way.thin.network(here, "net-a")
      var addresses: [String?] = []
      for ifname in ["net1", "net2"] {
        let result = try await here.add(pod, network, ifname: ifname, parent: "multus")
        addresses.append(result.at("ips", 0, "address")?.string)
      }
      #expect(Set(addresses) == ["20.1.1.3/24", "20.1.1.4/24"])
      let posts = here.agent.requests("POST")
      #expect(posts.map { $0.text("vm-ifname") } == ["net1", "net2"])
      #expect(Set(posts.map { $0.text("vmi-uuid") }) == [Fixture.vmi1, Fixture.vmi2])
      let polled = here.agent.requests("GET", "/vm/").map { $0.path.split(separator: "/").last }
      #expect(polled.map { $0.map(String.init) } == posts.map { $0.text("vmi-uuid") })
      #expect(
        here.portFile(Fixture.vmi1) != nil && here.portFile(Fixture.vmi2) != nil
          && here.portFile(Fixture.vmi0) == nil)
      for ifname in ["net2", "net1"] {
        try await here.delete(pod, network, ifname: ifname, parent: "multus")
      }
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      #expect(here.story.count { $0 == "DEL" } == 1)
    }
  }

  @Test("A call that is of no meta-plugin by name, but for another network, is for that one")
  func byTheNetwork() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      here.agent.change { $0.configure(Fixture.name, uuid: Fixture.podUID, Fixture.two) }
      try await here.add(pod, here.network(top: ["name": "net-a"]), ifname: "net1")
      #expect(here.story == ["CFG", "POST VMI1", "P2 VMI1"])
      #expect(try await pod.network.links() == ["net1"])
    }
  }
}
