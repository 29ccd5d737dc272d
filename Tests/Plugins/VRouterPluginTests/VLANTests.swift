import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// A nested cluster: the agent gives each interface a VLAN of the virtual machine's card.
@Suite(.daemonLog) struct VLANTests {
  private static let vlan = "vlaneth0-5f0c7a"
  private static let alias = "contrail-k8s-cni-vlan-101"
  private static let poll = "GET /vm/\(VRouterFixture.podUID)/\(VRouterFixture.vmi0)"
  private static let configuration = "GET /vm-cfg/\(VRouterFixture.name)"

  /// A node in a virtual machine; the interface has a VLAN.
  private func withNode(
    vlan: Int = 101, _ body: (VRouterNode, JSONValue) async throws -> Void
  ) async throws {
    try await withVRouterNode { here in
      var interface = VRouterFixture.interface(VRouterFixture.vmi0)
      interface.vlan = vlan
      let given = interface
      here.agent.change { memory in
        memory.isNested = true
        memory.configure(VRouterFixture.name, uuid: VRouterFixture.podUID, [given])
      }
      let contrail: [String: JSONValue?] = [
        "vif-type": "macvlan", "parent-interface": "uplink", "mtu": 1450,
      ]
      try await body(here, here.network(contrail))
    }
  }

  @Test(
    "ADD puts a macvlan link on a VLAN of the parent into the pod and posts no port",
    .fullKernel("8021q"))
  func add() async throws {
    try await withNode { here, network in
      let pod = try await TestPod()
      let run = try await here.shim("ADD", pod, network)
      #expect(run.succeeded, "\(run)")
      #expect(here.agent.lines == [Self.configuration, Self.poll] && here.agent.violations == [])

      let parent = try #require(try await here.node.network.link("uplink"))
      let vlan = try #require(try await here.node.network.link(Self.vlan))
      #expect(vlan.at("linkinfo", "info_kind") == "vlan")
      #expect(vlan.at("linkinfo", "info_data", "id") == 101)
      #expect(vlan["link"] == parent["ifname"] && vlan["mtu"] == 1450)
      #expect(vlan["ifalias"]?.string == Self.alias)
      #expect(vlan["flags"]?.array?.contains("UP") == true)

      let link = try #require(try await pod.network.link("eth0"))
      #expect(try await pod.network.links() == ["eth0"])
      #expect(link.at("linkinfo", "info_kind") == "macvlan")
      #expect(link.at("linkinfo", "info_data", "mode") == "vepa")
      #expect(link["link_index"] == vlan["ifindex"] && link["mtu"] == 1450)
      #expect(link["address"] == "02:0b:6d:9c:52:8e")
      #expect(link["flags"]?.array?.contains("LOWER_UP") == true)
      #expect(try await pod.network.addresses("eth0") == ["10.47.255.231/12"])
      let routes = try await pod.network.routes().filter { $0.hasPrefix("default") }
      #expect(routes == ["default via 10.47.255.254 dev eth0"])

      let file = try #require(here.portFile(VRouterFixture.vmi0))
      #expect(file["host-ifname"] == "uplink" && file["vm-ifname"] == "eth0")
      #expect(file["vm-id"]?.string == pod.containerID)
      // Nothing but the result on standard output.
      let address = run.json.flatMap { $0.at("ips", 0, "address") }
      #expect(address == "10.47.255.231/12" && run.output.first == UInt8(ascii: "{"))
    }
  }

  @Test("CHECK finds all of it, and UPDATE brings in another address", .fullKernel("8021q"))
  func checkAndUpdate() async throws {
    try await withNode { here, network in
      let pod = try await TestPod()
      let network = network.setting("cniVersion", "1.1.0")
      let result = try await here.add(pod, network)
      let check = network.setting("prevResult", result)
      let good = try await here.shim("CHECK", pod, check)
      #expect(good.succeeded, "\(good)")
      here.agent.change { $0.interfaces[VRouterFixture.vmi0]?.ipv4?.address = "10.47.255.230" }
      let stale = try await here.shim("CHECK", pod, check)
      #expect(stale.code == 102, "\(stale)")
      let update = try await here.shim("UPDATE", pod, network)
      #expect(update.succeeded, "\(update)")
      #expect(try await pod.network.addresses("eth0") == ["10.47.255.230/12"])
      try await here.node.network.ip("link delete \(Self.vlan)")
      let gone = try await here.shim("CHECK", pod, check)
      #expect(!gone.succeeded && gone.code != 999, "\(gone)")
      try await here.delete(pod, network)
    }
  }

  @Test(
    "DEL removes the VLAN link, the pod's link with it and the file, and asks the agent nothing",
    .fullKernel("8021q"), arguments: [true, false])
  func delete(hasRecord: Bool) async throws {
    try await withNode { here, network in
      let pod = try await TestPod()
      let before = try await here.state([pod])
      try await here.add(pod, network)
      if !hasRecord {
        try await here.node.kill()
        TemporaryDirectory.removeTree(here.node.stateDirectory)
        try await here.node.start()
      }
      here.agent.forgetRequests()
      try await here.delete(pod, network, environment: ["CNI_NETNS": ""])
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      #expect(here.agent.requests.isEmpty, "\(here.agent.lines)")
      try await here.delete(pod, network)
      #expect(here.agent.requests.isEmpty)
    }
  }

  @Test(
    "A VLAN that a missed DEL has left is taken away first, whoever made it",
    .fullKernel("8021q"), arguments: [true, false])
  func missed(isOwn: Bool) async throws {
    try await withNode { here, network in
      let (first, second) = (try await TestPod(), try await TestPod())
      let before = try await here.state([second])
      if isOwn {
        try await here.add(first, network)
      } else {
        // As the plugin on disk leaves it.
        try await here.node.network.ip(
          "link add link uplink name vlaneth0-d1f180 type vlan id 101",
          "link set vlaneth0-d1f180 alias \(Self.alias)")
      }
      let other = PodIdentity("default", "web-1", "d1f1802e-3b52-4d68-9a41-0c2b7de91f34")
      var interface = VRouterFixture.interface(VRouterFixture.vmi1)
      interface.vlan = 101
      let given = interface
      here.agent.change { $0.configure("k8s__default__web-1", uuid: other.uid, [given]) }
      try await here.add(second, network, as: other)
      let vlans = try await here.node.network.links().filter { $0.hasPrefix("vlan") }
      #expect(vlans == ["vlaneth0-d1f180"])
      #expect(try await second.network.addresses("eth0") == ["20.1.1.3/24"])
      #expect(try await first.network.links() == [])
      // The late DEL of the first leaves the second alone.
      try await here.delete(first, network)
      #expect(try await second.network.links() == ["eth0"])
      try await here.delete(second, network, as: other)
      let left = try await here.leftovers(since: before, [second])
      #expect(left == [])
    }
  }

  @Test(
    "A VLAN that is none is refused by its number, and no link is left",
    arguments: [65535, 0, 5000])
  func noVLAN(vlan: Int) async throws {
    try await withNode(vlan: vlan) { here, network in
      let pod = try await TestPod()
      let before = try await here.state([pod])
      let run = try await here.shim("ADD", pod, network)
      #expect(run.code == 102, "\(run)")
      #expect(run.message?.contains(vlan == 65535 ? "VLAN none" : "VLAN \(vlan)") == true, "\(run)")
      #expect(here.agent.lines == [Self.configuration])
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test(
    "A kernel without VLANs is an error that names them, and nothing is left",
    .enabled(if: !Program.hasFullKernel))
  func noModule() async throws {
    try await withNode { here, network in
      let pod = try await TestPod()
      let before = try await here.state([pod])
      let run = try await here.shim("ADD", pod, network)
      #expect(run.code == 100, "\(run)")
      #expect(run.message?.contains("failed to create VLAN 101 on \"uplink\"") == true, "\(run)")
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      #expect(here.agent.lines == [Self.configuration])
    }
  }

  @Test("Without the parent nothing is made")
  func noParent() async throws {
    try await withNode { here, network in
      let pod = try await TestPod()
      let before = try await here.state([pod])
      let network = here.network(["vif-type": "macvlan", "parent-interface": "nope"])
      let run = try await here.shim("ADD", pod, network)
      #expect(run.code == 7 && run.message?.contains("\"nope\"") == true, "\(run)")
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      let status = try await here.shim(
        "STATUS", pod, network.setting("cniVersion", "1.1.0"))
      #expect(status.code == 50, "\(status)")
    }
  }
}
