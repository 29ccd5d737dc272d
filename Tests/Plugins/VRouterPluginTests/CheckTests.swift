import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// What CHECK and STATUS find out.
@Suite(.daemonLog) struct CheckTests {
  /// What is wrong when CHECK comes, and what it says.
  enum Wrong: String, CaseIterable, Sendable {
    case podLink = "container interface name in prevResult: eth0 not found"
    case secondLink = "container interface name in prevResult: eth1 not found"
    case hostLink = "host interface \"tapeth0-5f0c7a\" not found"
    case owner = "host interface \"tapeth0-5f0c7a\" belongs to another attachment"
    case address = "Failed to match addr 10.47.255.231/12 on interface eth0"
    case route = "expected Route 0.0.0.0/0 not found in routing table"
    case mac = "interface eth0 Mac 02:0b:6d:9c:52:8e doesn't match container Mac: 02:00:00:00:00:01"
    case file = "the port file of interface 0b6d9c52-8e1f-11ee-9c2a-525400a1b2c3 is missing"
    case forgotten = "the vRouter agent refuses pod default/web-0: Not Found"
    case otherAddress = "the vRouter agent has address 10.47.255.230"

    var code: Int {
      switch self {
      case .podLink, .secondLink, .hostLink, .owner, .address, .route, .mac: 100
      case .file, .forgotten, .otherAddress: 102
      }
    }

    func make(_ here: VRouterNode, _ pod: TestPod) async throws {
      switch self {
      case .podLink: try await pod.network.ip("link set eth0 down", "link set eth0 name x")
      case .secondLink: try await pod.network.ip("link set eth1 down", "link set eth1 name x")
      case .hostLink:
        try await here.node.network.ip(
          "link set tapeth0-5f0c7a down", "link set tapeth0-5f0c7a name x")
      case .owner:
        try await here.node.network.ip("link set tapeth0-5f0c7a alias cnid:somebody/eth0")
      case .address:
        try await pod.network.ip(
          "address add 10.47.255.230/12 dev eth0", "address del 10.47.255.231/12 dev eth0")
      case .route: try await pod.network.ip("route del default")
      case .mac: try await pod.network.ip("link set eth0 address 02:00:00:00:00:01")
      case .file: try Files.remove("\(here.portFiles)/\(Fixture.name)/\(Fixture.vmi0)")
      case .forgotten:
        here.agent.change { $0.deleteConfiguration(Fixture.name, uuid: Fixture.podUID) }
      case .otherAddress:
        here.agent.change { $0.interfaces[Fixture.vmi0]?.ipv4?.address = "10.47.255.230" }
      }
    }
  }

  private func attached(
    _ here: VRouterNode, _ pod: TestPod
  ) async throws -> JSONValue {
    here.agent.change { $0.configure(Fixture.name, uuid: Fixture.podUID, Fixture.two) }
    let network = here.network(top: ["cniVersion": "1.0.0"])
    return network.setting("prevResult", try await here.add(pod, network))
  }

  @Test("CHECK is content with what ADD made, also after a restart of the daemon")
  func good() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let network = try await attached(here, pod)
      #expect(try await here.shim("CHECK", pod, network).succeeded)
      try await here.node.kill()
      try await here.node.start()
      #expect(try await here.shim("CHECK", pod, network).succeeded)
      try await here.loseRecords()
      #expect(try await here.shim("CHECK", pod, network).succeeded)
    }
  }

  @Test("CHECK says what is wrong", arguments: Wrong.allCases)
  func bad(wrong: Wrong) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let network = try await attached(here, pod)
      try await wrong.make(here, pod)
      let run = try await here.shim("CHECK", pod, network)
      #expect(run.code == wrong.code, "\(run)")
      #expect(run.message?.hasPrefix(wrong.rawValue) == true, "\(run)")
    }
  }

  @Test("While the agent is away CHECK looks at everything else, and warns")
  func noAgent() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let network = try await attached(here, pod)
      here.agent.stop()
      let run = try await here.shim("CHECK", pod, network)
      #expect(run.succeeded, "\(run)")
      #expect(here.node.log.contains("without its agent"))
      try await Wrong.route.make(here, pod)
      let wrong = try await here.shim("CHECK", pod, network)
      #expect(wrong.code == 100, "\(wrong)")
    }
  }

  @Test("STATUS is good while the agent answers, whatever it knows")
  func status() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let network = here.network(top: ["cniVersion": "1.1.0"])
      #expect(try await here.shim("STATUS", pod, network).succeeded)
      here.agent.script("GET", "/vm", [.error(500, "{ Operation Not Supported }")])
      let refused = try await here.shim("STATUS", pod, network)
      #expect(refused.code == 50, "\(refused)")
      here.agent.stop()
      let dead = try await here.shim("STATUS", pod, network)
      #expect(dead.code == 50 && dead.message == "the vRouter agent does not answer", "\(dead)")
      try here.agent.start()
      here.agent.script("GET", "/vm", [.memory])
      #expect(try await here.shim("STATUS", pod, network).succeeded)
    }
  }

  @Test("STATUS of an agent that hangs is 50 within its time, and names the parent that VLANs lack")
  func statusHangs() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let vlans = here.network(
        ["vif-type": "macvlan", "parent-interface": "nowhere"], top: ["cniVersion": "1.1.0"])
      let lacking = try await here.shim("STATUS", pod, vlans)
      #expect(lacking.code == 50 && lacking.message?.contains("\"nowhere\"") == true, "\(lacking)")
      here.agent.script("GET", "/vm", [.hang])
      let run = try await here.shim("STATUS", pod, here.network(top: ["cniVersion": "1.1.0"]))
      #expect(run.code == 50 && run.milliseconds < 15_000 * Program.patience, "\(run)")
    }
  }
}
