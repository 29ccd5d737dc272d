import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// ADD with an agent that is away, slow or odd.
@Suite(.daemonLog) struct AgentFaultTests {
  /// A node, a pod and what there was before.
  private func withPod(
    _ interfaces: [AgentInterface] = Fixture.one,
    _ body: (VRouterNode, TestPod, VRouterNode.State) async throws -> Void
  ) async throws {
    try await withVRouterNode { here in
      here.agent.change { $0.configure(Fixture.name, uuid: Fixture.podUID, interfaces) }
      let pod = try await TestPod(containerID: Fixture.c1)
      try await body(here, pod, try await here.state([pod]))
    }
  }

  private func expectWired(_ here: VRouterNode, _ pod: TestPod) async throws {
    #expect(try await pod.network.addresses("eth0") == ["10.47.255.231/12"])
    #expect(try await pod.network.link("eth0")?["address"] == "02:0b:6d:9c:52:8e")
    #expect(
      try await pod.network.routes().filter { $0.hasPrefix("default") }
        == ["default via 10.47.255.254 dev eth0"])
    #expect(here.agent.requests("POST").count == 1)
    #expect(here.agent.violations == [])
  }

  @Test("A pod that the agent does not know is named as the agent should, with the cluster-name")
  func clusterName() async throws {
    try await withPod { here, pod, before in
      let network = here.network([
        "cluster-name": "k9s", "poll-timeout": JSONValue(text: "0.1"),
      ])
      let run = try await here.shim("ADD", pod, network)
      let name = Fixture.name.replacing("k8s__", with: "k9s__")
      #expect(
        run.code == 11
          && run.message == "the vRouter agent at 127.0.0.1:9091 knows no pod \"\(name)\" "
            + "(cluster-name \"k9s\"); asked 3 times",
        "\(run)")
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("Without an agent ADD gives up after its polls, with code 11")
  func agentDown() async throws {
    try await withPod { here, pod, before in
      here.agent.stop()
      let run = try await here.shim("ADD", pod)
      #expect(run.isFailure && run.code == 11, "\(run)")
      #expect(run.message?.contains("refused") == true)
      #expect(run.milliseconds >= 2000 && run.milliseconds <= 4000 * Program.patience)
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("ADD waits for an agent that starts")
  func agentComesUp() async throws {
    try await withPod { here, pod, _ in
      here.agent.stop()
      let agent = here.agent
      async let started: Void = onThread {
        Clock.pause(milliseconds: 1500)
        try agent.start()
      }
      try await here.add(pod, here.network(["poll-retries": 20]))
      try await started
      #expect(here.story == ["CFG", "POST VMI0", "P2 VMI0"])
      try await expectWired(here, pod)
    }
  }

  @Test("A list that is not whole yet is asked for again after a while")
  func partialThenComplete() async throws {
    try await withPod(Fixture.two) { here, pod, _ in
      here.agent.script("GET", "/vm-cfg", [.list([Fixture.cfg(Fixture.vmi0, 0, of: 2)]), .memory])
      try await here.add(pod)
      #expect(here.gaps("GET", "/vm-cfg").allSatisfy { $0 >= 1000 })
      #expect(here.agent.requests("GET", "/vm-cfg").count == 2)
      #expect(try await pod.network.links() == ["eth0", "eth1"])
    }
  }

  @Test("A list that never gets whole is asked for as often as configured, not more quickly")
  func partialForEver() async throws {
    try await withPod(Fixture.two) { here, pod, before in
      here.agent.script("GET", "/vm-cfg", [.list([Fixture.cfg(Fixture.vmi0, 0, of: 2)])])
      let run = try await here.shim("ADD", pod)
      #expect(run.isFailure && run.code == 11, "\(run)")
      #expect(run.message?.contains("2") == true && run.message?.contains("got 1") == true)
      #expect(here.story == ["CFG", "CFG", "CFG"])
      #expect(here.gaps("GET", "/vm-cfg").allSatisfy { $0 >= 1000 })
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("An empty list is no answer yet")
  func emptyList() async throws {
    try await withPod { here, pod, _ in
      here.agent.script("GET", "/vm-cfg", [.list([]), .memory])
      try await here.add(pod)
      #expect(here.story == ["CFG", "CFG", "POST VMI0", "P2 VMI0"])
      try await expectWired(here, pod)
    }
  }

  @Test("Annotations that no one understands do no harm")
  func oddAnnotations() async throws {
    try await withPod { here, pod, _ in
      here.agent.change { memory in
        memory.interfaces[Fixture.vmi0]?.annotations?.removeAll { $0 == "{network:default}" }
        memory.interfaces[Fixture.vmi0]?.annotations? += [
          "{flag}", "{url:http://x:80/}", "{q:a\"b}", "{}", "{network:default}",
        ]
      }
      try await here.add(pod)
      #expect(here.story == ["CFG", "POST VMI0", "P2 VMI0"])
      try await expectWired(here, pod)
    }
  }

  @Test("Missing annotations are no answer yet")
  func missingAnnotations() async throws {
    try await withPod { here, pod, _ in
      var bare = Fixture.interface(Fixture.vmi0)
      bare.annotations = nil
      here.agent.script(
        "GET", "/vm-cfg", [.list([bare.configuration(vm: Fixture.podUID)]), .memory])
      try await here.add(pod)
      #expect(here.story == ["CFG", "CFG", "POST VMI0", "P2 VMI0"])
    }
  }

  @Test("What the agent refuses fails with its own words, and is taken back")
  func refused() async throws {
    try await withPod { here, pod, before in
      let text = "{ Invalid Json string ==>  }"
      here.agent.script("POST", "/vm", [.error(500, text)])
      let run = try await here.shim("ADD", pod)
      #expect(run.isFailure && run.code == 102, "\(run)")
      #expect("\(run.message ?? "") \(run.details ?? "")".contains("Invalid Json string ==>"))
      #expect(here.agent.requests("POST").count == 1)
      #expect(here.story.count { $0 == "DEL" } <= 1)
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("An answer that lacks the port is no answer yet")
  func portMissing() async throws {
    try await withPod { here, pod, _ in
      here.agent.script("GET", "/vm/", [.list([Fixture.vm(Fixture.vmi1)]), .memory])
      try await here.add(pod)
      #expect(here.story == ["CFG", "POST VMI0", "P2 VMI0", "P2 VMI0"])
      #expect(here.gaps("GET", "/vm/").allSatisfy { $0 >= 1000 })
      try await expectWired(here, pod)
    }
  }

  /// VMI0 with IPv6 and without IPv4.
  private var onlyIPv6: AgentInterface {
    var interface = Fixture.interface(Fixture.vmi0)
    interface.ipv6 = .init("fd00:1::5", 64, gateway: "fd00:1::1", nameServer: "fd00:1::2")
    interface.ipv4 = nil
    return interface
  }

  @Test("An IPv4 address that comes after the IPv6 one is waited for")
  func addressLater() async throws {
    try await withPod { here, pod, _ in
      here.agent.script(
        "GET", "/vm/",
        [.list([onlyIPv6.port(vm: Fixture.podUID, hostLink: "tapeth0-5f0c7a")]), .memory])
      let result = try await here.add(pod)
      #expect(here.story == ["CFG", "POST VMI0", "P2 VMI0", "P2 VMI0"])
      #expect(result.at("ips", 0, "address") == "10.47.255.231/12")
      try await expectWired(here, pod)
    }
  }

  @Test("A pod that has IPv6 only gets that")
  func onlyIPv6Address() async throws {
    try await withPod { here, pod, before in
      here.agent.change { $0.interfaces[Fixture.vmi0] = onlyIPv6 }
      let network = here.network(top: ["cniVersion": "1.0.0"])
      let result = try await here.add(pod, network)
      #expect(result["ips"]?.array?.count == 1)
      #expect(result.at("ips", 0, "address") == "fd00:1::5/64")
      #expect(result.at("ips", 0, "gateway") == "fd00:1::1")
      #expect(try await pod.network.addresses("eth0") == ["fd00:1::5/64"])
      let routes = try await pod.network.routes("-6")
      #expect(routes.contains { $0.hasPrefix("default via fd00:1::1 dev eth0") })
      try await here.delete(pod, network)
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("A port without a hardware address, or of another pod, is no answer yet")
  func zeroMAC() async throws {
    try await withPod { here, pod, _ in
      let good = Fixture.vm(Fixture.vmi0)
      here.agent.script(
        "GET", "/vm/",
        [
          .list([good.setting("mac-address", "00:00:00:00:00:00")]),
          .list([good.setting("instance-id", "d1f1802e-3b52-4d68-9a41-0c2b7de91f34")]), .memory,
        ])
      try await here.add(pod)
      #expect(here.story == ["CFG", "POST VMI0", "P2 VMI0", "P2 VMI0", "P2 VMI0"])
      try await expectWired(here, pod)
    }
  }

  @Test("No request goes through a proxy")
  func proxy() async throws {
    var options = TestNode.Options()
    let names = ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
    for name in names { options.environment[name] = "http://127.0.0.1:3128" }
    try await withVRouterNode(options) { here in
      let proxy = FakeAgent(namespace: here.node.network.path, port: 3128)
      try proxy.start()
      try await here.node.network.ip("address add 10.10.10.2/32 dev lo")
      let pod = try await TestPod(containerID: Fixture.c1)
      let network = here.network(["vrouter-ip": "10.10.10.2"])
      var changes: [String: String?] = [:]
      for name in names { changes[name] = "http://127.0.0.1:3128" }
      try await here.add(pod, network, environment: changes)
      try await here.delete(pod, network, environment: changes)
      #expect(proxy.connections == 0)
      #expect(here.story == ["CFG", "POST VMI0", "P2 VMI0", "DEL"])
    }
  }

  @Test("The previous incarnation of a pod of the same name is no answer yet")
  func staleUUID() async throws {
    try await withPod { here, pod, before in
      let old = "d1f1802e-3b52-4d68-9a41-0c2b7de91f34"
      let stale = Fixture.interface(Fixture.vmi1).configuration(vm: old)
      here.agent.script("GET", "/vm-cfg", [.list([stale]), .memory])
      try await here.add(pod)
      #expect(here.story == ["CFG", "CFG", "POST VMI0", "P2 VMI0"])
      try await expectWired(here, pod)
      try await here.delete(pod)
      #expect(try await here.leftovers(since: before, [pod]) == [])
      // A static pod's uid is no uuid: it is not compared.
      here.agent.script("GET", "/vm-cfg", [])
      let fixed = PodIdentity("default", "web-0", "5f0c7a1e3b524d689a410c2b7de91f34")
      try await here.add(pod, as: fixed)
      try await here.delete(pod, as: fixed)
    }
  }
}
