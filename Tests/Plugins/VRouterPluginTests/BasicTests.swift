import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// ADD, DEL and VERSION with an agent that works.
@Suite(.daemonLog) struct BasicTests {
  @Test("ADD makes a veth pair, tells the agent, and gives the pod what the agent says")
  func add() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let result = try await here.add(pod)
      let expected = here.port(Fixture.vmi0, "eth0", "tapeth0-5f0c7a", pod)

      #expect(here.story == ["CFG", "POST VMI0", "P2 VMI0"])
      let post = try #require(here.agent.requests("POST").first)
      #expect(post.port == expected)
      #expect(post.header("content-type") == "application/json")
      #expect(here.agent.violations == [])

      let file = "\(here.portFiles)/\(Fixture.name)/\(Fixture.vmi0)"
      #expect(here.portFile(Fixture.vmi0).map { JSONValue.port($0) } == expected)
      #expect(try Files.status(file).permissions & 0o600 == 0o600)
      #expect(
        TemporaryDirectory.files(below: here.ports) == ["vm/\(Fixture.name)/\(Fixture.vmi0)"])
      #expect(try Files.list(here.portFiles) == [Fixture.name])

      let near = try #require(try await here.node.network.link("tapeth0-5f0c7a"))
      let far = try #require(try await pod.network.link("eth0"))
      for link in [near, far] {
        #expect(link.at("linkinfo", "info_kind") == "veth" && link["mtu"] == 1500)
        #expect(link["flags"]?.array?.contains("LOWER_UP") == true)
      }
      #expect(near["link_index"] == far["ifindex"] && far["link_index"] == near["ifindex"])
      let knob = "/proc/sys/net/ipv6/conf/tapeth0-5f0c7a/accept_ra"
      #expect(try await here.node.network.run(["cat", knob]).text == "0\n")
      #expect(try await here.node.network.addresses("tapeth0-5f0c7a") == [])
      #expect(try await here.taps() == ["tapeth0-5f0c7a"])

      #expect(far["address"] == "02:0b:6d:9c:52:8e")
      #expect(try await pod.network.links() == ["eth0"])
      #expect(try await pod.network.addresses("eth0") == ["10.47.255.231/12"])
      #expect(
        try await pod.network.routes().filter { $0.hasPrefix("default") }
          == ["default via 10.47.255.254 dev eth0"])
      let local = try await here.linkLocal("eth0", in: pod.network)
      #expect(Set(local).isSubset(of: ["fe80::b:6dff:fe9c:528e"]))

      #expect(result["ips"]?.array?.count == 1 && result.at("ips", 0, "version") == "4")
      #expect(result.at("ips", 0, "address") == "10.47.255.231/12")
      #expect(result.at("ips", 0, "gateway") == "10.47.255.254")
      #expect(result["routes"] == [["dst": "0.0.0.0/0", "gw": "10.47.255.254"]])
      #expect(result.at("dns", "nameservers") == ["10.47.255.253"])
      #expect(result.hasPrimary("eth0", "02:0b:6d:9c:52:8e"))
    }
  }

  @Test("An agent that is not ready yet is asked again, a poll-timeout after its answer")
  func notReadyYet() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      here.agent.script("GET", "/vm-cfg", [.notFound, .notFound, .memory])
      here.agent.script("GET", "/vm/", [.notFound, .memory])
      try await here.add(pod)
      #expect(here.story == ["CFG", "CFG", "CFG", "POST VMI0", "P2 VMI0", "P2 VMI0"])
      let gaps = here.gaps("GET", "/vm-cfg") + here.gaps("GET", "/vm/")
      #expect(gaps.count == 3 && gaps.allSatisfy { $0 >= 1000 })
      #expect(gaps.allSatisfy { $0 < 2000 * Program.patience }, "\(gaps)")
    }
  }

  @Test("DEL takes everything away and tells the agent once")
  func delete() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      here.agent.forgetRequests()
      try await here.delete(pod, environment: ["CNI_NETNS": ""])
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      #expect(here.story == ["DEL"])
      let request = try #require(here.agent.requests.first)
      #expect(request.text("vm-id") == Fixture.c1 && request.text("vm-uuid") == Fixture.podUID)
      #expect(request.json?.object?.keys == AgentRequest.keys)
      let others = AgentRequest.keys.filter { !["time", "vm-id", "vm-uuid"].contains($0) }
      #expect(others.allSatisfy { request.text($0) == "" })
    }
  }

  @Test("DEL of a pod that nobody knows does nothing", arguments: ["", "/run/netns/gone"])
  func deleteUnknown(netns: String) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      for _ in 1...2 { try await here.delete(pod, environment: ["CNI_NETNS": netns]) }
      #expect(here.agent.requests.isEmpty)
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("VERSION asks nobody")
  func version() async throws {
    try await withVRouterNode { here in
      let run = try await here.node.network.run(
        [Program.shim], environment: ["CNI_COMMAND": "VERSION"])
      let versions = run.json?["supportedVersions"]?.array?.compactMap(\.string) ?? []
      #expect(run.succeeded)
      #expect(
        Set(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]).isSubset(of: versions))
      #expect(here.agent.requests.isEmpty)
      #expect(TemporaryDirectory.files(below: here.ports) == [])
    }
  }

  @Test("A pod gets all of its interfaces, and the result is about the first")
  func several() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      here.agent.change { $0.configure(Fixture.name, uuid: Fixture.podUID, Fixture.two) }
      here.agent.script(
        "GET", "/vm-cfg",
        [
          .list([Fixture.cfg(Fixture.vmi1, 1, of: 2, "net-a"), Fixture.cfg(Fixture.vmi0, 0, of: 2)])
        ]
      )
      let result = try await here.add(pod)

      #expect(here.story.first == "CFG" && Set(here.story[1...2]) == ["POST VMI0", "POST VMI1"])
      #expect(here.story.dropFirst(3).allSatisfy { $0.hasPrefix("P2") })
      let ports = [
        here.port(Fixture.vmi0, "eth0", "tapeth0-5f0c7a", pod),
        here.port(Fixture.vmi1, "eth1", "tapeth1-5f0c7a", pod),
      ]
      let posts = here.agent.requests("POST").map(\.port)
      #expect(posts.count == 2 && ports.allSatisfy { posts.contains($0) })
      #expect(here.portFile(Fixture.vmi0).map { JSONValue.port($0) } == ports[0])
      #expect(here.portFile(Fixture.vmi1).map { JSONValue.port($0) } == ports[1])

      #expect(try await pod.network.links() == ["eth0", "eth1"])
      #expect(try await pod.network.addresses("eth0") == ["10.47.255.231/12"])
      #expect(try await pod.network.addresses("eth1") == ["20.1.1.3/24"])
      #expect(try await pod.network.link("eth1")?["address"] == "02:0b:6d:9c:53:8e")
      #expect(
        try await pod.network.routes().filter { $0.hasPrefix("default") }
          == ["default via 10.47.255.254 dev eth0"])
      #expect(result["ips"]?.array?.count == 1)
      #expect(result.at("ips", 0, "address") == "10.47.255.231/12")

      here.agent.forgetRequests()
      try await here.delete(pod)
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      #expect(here.story == ["DEL"])
    }
  }

  @Test("An interface has the name that its annotation asks for")
  func named() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      here.agent.change {
        $0.configure(
          Fixture.name, uuid: Fixture.podUID,
          [
            Fixture.interface(Fixture.vmi0, 0, of: 2),
            Fixture.interface(Fixture.vmi1, 1, of: 2, "net-a", named: "ens3"),
          ])
      }
      try await here.add(pod)
      #expect(try await pod.network.links() == ["ens3", "eth0"])
      #expect(try await here.taps() == ["tapens3-5f0c7a", "tapeth0-5f0c7a"])
      let port = here.port(Fixture.vmi1, "ens3", "tapens3-5f0c7a", pod)
      #expect(here.agent.requests("POST").map(\.port).contains(port))
      #expect(here.portFile(Fixture.vmi1).map { JSONValue.port($0) } == port)
    }
  }

  @Test("The version on stdin alone decides the result's form", arguments: ["0.2.0", nil])
  func oldVersion(version: String?) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let result = try await here.add(
        pod, here.network(top: ["cniVersion": version.map { .string($0) }]))
      #expect(
        result["ip4"] == [
          "ip": "10.47.255.231/12", "gateway": "10.47.255.254",
          "routes": [["dst": "0.0.0.0/0", "gw": "10.47.255.254"]],
        ])
      #expect(result["dns"] == ["nameservers": ["10.47.255.253"]])
      #expect(result["ips"] == nil && result["interfaces"] == nil)
    }
  }

  @Test("The pod's name is asked for byte for byte, also without a cluster")
  func names() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      here.agent.change { $0.configure("__a-b__x.y-0", uuid: Fixture.podUID, Fixture.one) }
      let identity = PodIdentity("a-b", "x.y-0", Fixture.podUID)
      try await here.add(pod, here.network(["cluster-name": ""]), as: identity)
      #expect(here.agent.lines.first == "GET /vm-cfg/__a-b__x.y-0")
      #expect(here.agent.requests("POST").first?.text("vm-name") == "__a-b__x.y-0")
      #expect(try Files.list(here.portFiles) == ["__a-b__x.y-0"])
      #expect(here.portFile(Fixture.vmi0, name: "__a-b__x.y-0") != nil)
    }
  }
}
