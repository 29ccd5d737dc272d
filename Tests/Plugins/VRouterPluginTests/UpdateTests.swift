import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// UPDATE brings a running pod in line with what the agent says by now.
@Suite(.daemonLog) struct UpdateTests {
  private func network(_ here: VRouterNode, _ contrail: [String: JSONValue?] = [:]) -> JSONValue {
    here.network(contrail, top: ["cniVersion": "1.1.0"])
  }

  @Test(
    "an address, a gateway and a MAC that are others by now are changed without taking the link down"
  )
  func addresses() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod, network(here))
      let link = try #require(try await pod.network.link("eth0"))
      here.agent.change {
        $0.interfaces[Fixture.vmi0]?.ipv4 = .init(
          "10.47.0.7", 12, gateway: "10.47.255.253", nameServer: "10.47.255.252")
        $0.interfaces[Fixture.vmi0]?.mac = "02:0b:6d:00:00:07"
      }
      here.agent.forgetRequests()
      let run = try await here.shim("UPDATE", pod, network(here))
      #expect(run.succeeded, "\(run)")
      #expect(run.json?["ips"]?.array?.count == 1)
      #expect(run.json?.at("ips", 0, "address") == "10.47.0.7/12")
      #expect(run.json?.at("ips", 0, "gateway") == "10.47.255.253")
      #expect(run.json?.at("dns", "nameservers") == ["10.47.255.252"])
      #expect(run.json?.hasPrimary("eth0", "02:0b:6d:00:00:07") == true)
      #expect(here.story == ["P2 VMI0"])

      let now = try #require(try await pod.network.link("eth0"))
      #expect(now["ifindex"] == link["ifindex"] && now["address"] == "02:0b:6d:00:00:07")
      #expect(try await pod.network.addresses("eth0") == ["10.47.0.7/12"])
      #expect(
        try await pod.network.routes().filter { $0.hasPrefix("default") }
          == ["default via 10.47.255.253 dev eth0"])
      let changes = "/sys/class/net/eth0/carrier_down_count"
      #expect(try await pod.network.run(["cat", changes]).text == "1\n")

      let check = try #require(run.json)
      #expect(
        try await here.shim("CHECK", pod, network(here).setting("prevResult", check)).succeeded)
      try await here.delete(pod, network(here))
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("what is the same is not touched: not a packet is lost, and nothing is written")
  func same() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      try await here.add(pod, network(here))
      try await here.node.network.ip("address add 10.47.255.254/12 dev tapeth0-5f0c7a")
      async let pings = pod.network.run(["ping", "-c20", "-i0.05", "-W10", "10.47.255.254"])
      for _ in 0..<3 { #expect(try await here.shim("UPDATE", pod, network(here)).succeeded) }
      let pinged = try await pings
      #expect(pinged.succeeded && pinged.text.contains(" 0% packet loss"), "\(pinged)")
      #expect(here.agent.requests("POST").count == 1)
    }
  }

  @Test("an interface that is in another virtual network by now is announced again")
  func otherNetwork() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod, network(here))
      here.agent.change { $0.interfaces[Fixture.vmi0]?.network = Fixture.vn1 }
      for _ in 0..<2 { #expect(try await here.shim("UPDATE", pod, network(here)).succeeded) }
      #expect(here.agent.requests("POST").map { $0.text("vn-uuid") } == [Fixture.vn0, Fixture.vn1])
      #expect(here.portFile(Fixture.vmi0)?["vn-uuid"]?.string == Fixture.vn1)
      try await here.delete(pod, network(here))
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("the MTU of both ends follows the configuration, and stays after a restart")
  func mtu() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      try await here.add(pod, network(here))
      let run = try await here.shim("UPDATE", pod, network(here, ["mtu": 1400]))
      #expect(run.json?.at("interfaces", 1, "mtu") == 1400, "\(run)")
      #expect(try await pod.network.link("eth0")?["mtu"] == 1400)
      #expect(try await here.node.network.link("tapeth0-5f0c7a")?["mtu"] == 1400)
    }
  }

  @Test("one that the kernel refuses leaves everything as it was")
  func refused() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      try await here.add(pod, network(here))
      // No way leads to that gateway.
      here.agent.change {
        $0.interfaces[Fixture.vmi0]?.ipv4 = .init(
          "10.47.0.7", 24, gateway: "192.0.2.1", nameServer: "192.0.2.2")
        $0.interfaces[Fixture.vmi0]?.mac = "02:0b:6d:00:00:07"
      }
      let run = try await here.shim("UPDATE", pod, network(here, ["mtu": 1400]))
      #expect(run.code == 100, "\(run)")
      #expect(try await pod.network.addresses("eth0") == ["10.47.255.231/12"])
      #expect(
        try await pod.network.routes().filter { $0.hasPrefix("default") }
          == ["default via 10.47.255.254 dev eth0"])
      let link = try await pod.network.link("eth0")
      #expect(link?["address"] == "02:0b:6d:9c:52:8e" && link?["mtu"] == 1500)
      #expect(try await here.node.network.link("tapeth0-5f0c7a")?["mtu"] == 1500)
    }
  }

  @Test(
    "without an attachment, or with an agent that is not there, it is refused and changes nothing")
  func impossible() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let unknown = try await here.shim("UPDATE", pod, network(here))
      #expect(unknown.code == 4, "\(unknown)")
      try await here.add(pod, network(here))
      here.agent.stop()
      let run = try await here.shim("UPDATE", pod, network(here, ["poll-timeout": 0]))
      #expect(run.code == 11, "\(run)")
      #expect(try await pod.network.addresses("eth0") == ["10.47.255.231/12"])
    }
  }
}
