import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// Whose a port is when sandboxes come and go, and files are damaged.
@Suite(.daemonLog) struct IdentityTests {
  @Test(
    "A late DEL of an old sandbox does not touch the new one's port",
    arguments: [false, true])
  func lateDelete(isForgotten: Bool) async throws {
    try await withVRouterNode { here in
      var first: TestPod? = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state()
      if let first { try await here.add(first) }
      let old = first?.environment("DEL") ?? [:]
      first = nil
      let network = here.node.network
      #expect(try await eventuallyNone { try await network.link("tapeth0-5f0c7a") })
      let next = try await TestPod(containerID: Fixture.c2)
      try await here.add(next)
      if isForgotten { try await here.loseRecords() }
      here.agent.forgetRequests()

      let arguments = PodIdentity.web0.arguments(Fixture.c1)
      let late = try await here.node.network.run(
        [Program.shim], environment: old.merging(["CNI_ARGS": arguments]) { $1 },
        input: here.network().bytes)
      #expect(late.succeeded && late.output.isEmpty, "\(late)")
      #expect(here.agent.requests.isEmpty)
      #expect(try await here.taps() == ["tapeth0-5f0c7a"])
      #expect(
        here.portFile(Fixture.vmi0).map { JSONValue.port($0) }
          == here.port(Fixture.vmi0, "eth0", "tapeth0-5f0c7a", next))
      try await here.delete(next)
      let left = try await here.leftovers(since: before)
      #expect(left == [])
      #expect(here.story == ["DEL"])
    }
  }

  @Test(
    "A new sandbox takes the port over from one that still lives",
    arguments: [false, true])
  func takeOver(isForgotten: Bool) async throws {
    try await withVRouterNode { here in
      let (pod, next) = (
        try await TestPod(containerID: Fixture.c1), try await TestPod(containerID: Fixture.c2)
      )
      let before = try await here.state([pod, next])
      try await here.add(pod)
      if isForgotten { try await here.loseRecords() }
      here.agent.forgetRequests()
      try await here.add(next)
      let expected = here.port(Fixture.vmi0, "eth0", "tapeth0-5f0c7a", next)
      #expect(here.agent.requests("POST").map(\.port) == [expected])
      #expect(here.portFile(Fixture.vmi0).map { JSONValue.port($0) } == expected)
      #expect(try await here.taps() == ["tapeth0-5f0c7a"])
      let near = try await here.node.network.link("tapeth0-5f0c7a")
      let far = try await next.network.link("eth0")
      #expect(near != nil && near?["link_index"] == far?["ifindex"])
      #expect(try await pod.network.links() == [])
      #expect(try await next.network.addresses("eth0") == ["10.47.255.231/12"])

      here.agent.forgetRequests()
      try await here.delete(pod)
      #expect(here.agent.requests.isEmpty && here.agent.subscriptions.count == 1)
      #expect(try await here.taps() == ["tapeth0-5f0c7a"])
      #expect(here.portFile(Fixture.vmi0) != nil)
      try await here.delete(next)
      let left = try await here.leftovers(since: before, [pod, next])
      #expect(left == [])
      #expect(here.story == ["DEL"])
    }
  }

  enum Damage: CaseIterable { case empty, bare, lock, missing }

  @Test("Damaged files keep no DEL from its work", arguments: Damage.allCases, [false, true])
  func damaged(damage: Damage, isForgotten: Bool) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      let directory = "\(here.portFiles)/\(Fixture.name)"
      let file = "\(directory)/\(Fixture.vmi0)"
      switch damage {
      case .empty: try Files.write(file, [], mode: [.write, .truncate])
      case .bare:
        let bare: JSONValue = ["vm-id": .string(Fixture.c1), "vm-ifname": "eth0"]
        try Files.write(file, bare.bytes, mode: [.write, .truncate])
      case .lock: try Files.write("\(directory)/.lock", [], mode: [.write, .create])
      case .missing: try Files.remove(file)
      }
      if isForgotten { try await here.loseRecords() }
      here.agent.forgetRequests()
      try await here.delete(pod)
      #expect(try await here.taps() == [])
      #expect(here.portFile(Fixture.vmi0) == nil && (try? Files.status(file)) == nil)
      if damage == .lock { TemporaryDirectory.removeTree(directory) }
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      #expect(here.story == ["DEL"])
    }
  }

  @Test("A damaged file of another container's port is left alone")
  func othersDamaged() async throws {
    try await withVRouterNode { here in
      let (pod, other) = (
        try await TestPod(containerID: Fixture.c1), try await TestPod(containerID: Fixture.c2)
      )
      try await here.add(pod)
      let file = "\(here.portFiles)/\(Fixture.name)/\(Fixture.vmi0)"
      try Files.write(file, [], mode: [.write, .truncate])
      here.agent.forgetRequests()
      try await here.delete(other)
      #expect(try await here.taps() == ["tapeth0-5f0c7a"])
      #expect((try? Files.status(file)) != nil && here.agent.requests.isEmpty)
    }
  }

  @Test("A second ADD of the same attachment changes nothing")
  func repeated() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let first = try await here.add(pod)
      let file = here.portFile(Fixture.vmi0)
      let tap = try await here.node.network.link("tapeth0-5f0c7a")
      let run = try await here.shim("ADD", pod)
      #expect(run.isFailure || run.json == first, "\(run)")
      #expect(try await here.taps() == ["tapeth0-5f0c7a"])
      #expect(try await here.node.network.link("tapeth0-5f0c7a")?["ifindex"] == tap?["ifindex"])
      #expect(try await pod.network.addresses("eth0") == ["10.47.255.231/12"])
      #expect(here.portFile(Fixture.vmi0) == file)
      #expect(here.agent.subscriptions.count == 1 && !here.story.contains("DEL"))
    }
  }

  @Test("A namespace that has vanished fails ADD before the agent is asked")
  func vanishedNamespace() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      let run = try await here.shim(
        "ADD", pod, environment: ["CNI_NETNS": "/proc/999999/ns/net"])
      #expect(run.isFailure, "\(run)")
      #expect(here.agent.connections == 0)
      #expect(try await here.leftovers(since: before, [pod]) == [])
    }
  }

  @Test(
    "Long interface names of two pods give different links",
    arguments: ["mynetworkif", "eth0"])
  func longNames(ifname: String) async throws {
    try await withVRouterNode { here in
      let pods = [
        try await TestPod(containerID: Fixture.c1), try await TestPod(containerID: Fixture.c2),
      ]
      let identities = [
        PodIdentity.web0, PodIdentity("default", "web-1", "d1f1802e-3b52-4d68-9a41-0c2b7de91f34"),
      ]
      let names = identities.map { "k8s__default__\($0.name)" }
      let ids = [Fixture.vmi0, Fixture.vmi1]
      for index in 0..<2 {
        let interface = Fixture.interface(ids[index], named: "mynetworkif")
        here.agent.change { $0.configure(names[index], uuid: identities[index].uid, [interface]) }
      }
      for index in 0..<2 {
        try await here.add(pods[index], ifname: ifname, as: identities[index])
      }
      let posts = here.agent.requests("POST")
      let taps = posts.map { $0.text("host-ifname") ?? "" }
      #expect(Set(taps).count == 2 && taps.allSatisfy { $0.utf8.count <= 15 })
      #expect(try await here.taps() == taps.sorted())
      for index in 0..<2 {
        let file = here.portFile(ids[index], name: names[index])
        #expect(file?["host-ifname"]?.string == taps[index])
        // A runtime looks for the name that it gave, whatever the user asked for.
        #expect(posts[index].text("vm-ifname") == ifname)
        #expect(try await pods[index].network.links() == [ifname])
      }
      try await here.delete(pods[0], ifname: ifname, as: identities[0])
      #expect(try await here.taps() == [taps[1]])
      #expect(try await pods[1].network.addresses(ifname) == ["20.1.1.3/24"])
      #expect(here.agent.subscriptions.map(\.interface) == [Fixture.vmi1])
      try await here.delete(pods[1], ifname: ifname, as: identities[1])
      #expect(try await here.taps() == [])
    }
  }

  @Test("Two pods whose uuids begin alike get different links, and each keeps its own")
  func alike() async throws {
    try await withVRouterNode { here in
      let (pod, twin) = (
        try await TestPod(containerID: Fixture.c1), try await TestPod(containerID: Fixture.c2)
      )
      let before = try await here.state([pod, twin])
      let identity = PodIdentity("default", "twin", "5f0c7aff-3b52-4d68-9a41-0c2b7de91f34")
      var second = Fixture.interface(Fixture.vmi1)
      second.annotations = AgentInterface.annotations(0, of: 1, network: "default", pod: "twin")
      here.agent.change { [second] in
        $0.configure("k8s__default__twin", uuid: identity.uid, [second])
      }
      try await here.add(pod)
      try await here.add(twin, as: identity)
      let taps = try await here.taps()
      #expect(taps.count == 2 && taps.contains("tapeth0-5f0c7a"))
      let other = try #require(taps.first { $0 != "tapeth0-5f0c7a" })
      #expect(
        other.utf8.count == 14 && here.agent.requests("POST").last?.text("host-ifname") == other)
      #expect(
        here.portFile(Fixture.vmi1, name: "k8s__default__twin")?["host-ifname"]?.string == other)
      // A new sandbox of the second takes over its own link, under the name that the agent knows.
      let next = try await TestPod(containerID: String(repeating: "c3", count: 32))
      try await here.add(next, as: identity)
      #expect(try await here.taps() == taps)
      #expect(try await pod.network.addresses("eth0") == ["10.47.255.231/12"])
      try await here.delete(pod)
      #expect(try await here.taps() == [other])
      try await here.delete(twin, as: identity)
      try await here.delete(next, as: identity)
      #expect(try await here.leftovers(since: before, [pod, twin, next]) == [])
    }
  }

  @Test("The same of a second interface, which the user has named")
  func longSecondName() async throws {
    try await withVRouterNode { here in
      let (pod, next) = (
        try await TestPod(containerID: Fixture.c1), try await TestPod(containerID: Fixture.c2)
      )
      let identity = PodIdentity("default", "web-1", "d1f1802e-3b52-4d68-9a41-0c2b7de91f34")
      let before = try await here.state([pod, next])
      let uuids = [(Fixture.name, Fixture.podUID, "0"), ("k8s__default__web-1", identity.uid, "1")]
      for (name, uuid, digit) in uuids {
        var list = [
          Fixture.interface(Fixture.vmi0, 0, of: 2),
          Fixture.interface(Fixture.vmi1, 1, of: 2, "net-a", named: "mynetworkif"),
        ]
        for index in list.indices {
          list[index].id = String(list[index].id.dropLast()) + digit
          list[index].mac = String(list[index].mac.dropLast()) + digit
        }
        here.agent.change { [list] in $0.configure(name, uuid: uuid, list) }
      }
      try await here.add(pod)
      try await here.add(next, as: identity)
      let taps = here.agent.requests("POST").map { $0.text("host-ifname") ?? "" }
      #expect(Set(taps).count == 4 && taps.allSatisfy { $0.utf8.count <= 15 })
      #expect(try await here.taps() == taps.sorted())
      for sandbox in [pod, next] {
        #expect(try await sandbox.network.links() == ["eth0", "mynetworkif"])
      }
      try await here.delete(pod)
      #expect(try await next.network.addresses("mynetworkif") == ["20.1.1.3/24"])
      #expect(try await here.taps() == taps.dropFirst(2).sorted())
      try await here.delete(next, as: identity)
      #expect(try await here.leftovers(since: before, [pod, next]) == [])
    }
  }

  @Test("DEL cleans up what the original plugin has made")
  func originalFiles() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      try await here.loseRecords()
      try await here.node.network.ip("link set tapeth0-5f0c7a alias \"\"")
      try await pod.network.ip("link set eth0 alias \"\"")
      let port = here.port(Fixture.vmi0, "eth0", "tapeth0-5f0c7a", pod)
      let lines = AgentRequest.keys.map { key in
        let time = "2026-11-21 07:48:31.395205935 +0000 UTC m=+1.02"
        return "\t\"\(key)\": \"\(port[key]?.string ?? time)\""
      }
      try Files.write(
        "\(here.portFiles)/\(Fixture.name)/\(Fixture.vmi0)",
        Array("{\n\(lines.joined(separator: ",\n"))\n}".utf8), mode: [.write, .truncate])
      here.agent.forgetRequests()
      try await here.delete(pod)
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      #expect(here.story == ["DEL"])
    }
  }

  @Test("Port files have the original's layout, so that it could delete them")
  func layout() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      try await here.add(pod)
      let bytes = try Files.read("\(here.portFiles)/\(Fixture.name)/\(Fixture.vmi0)")
      let port = try JSONValue.parse(bytes)
      let lines = AgentRequest.keys.map { "\t\"\($0)\": \"\(port[$0]?.string ?? "?")\"" }
      #expect(
        String(decoding: bytes, as: UTF8.self) == "{\n\(lines.joined(separator: ",\n"))\n}")
      #expect(here.agent.requests("POST").first?.port == .port(port))
    }
  }

  @Test("An empty container id is refused")
  func emptyContainerID() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let run = try await here.shim("ADD", pod, environment: ["CNI_CONTAINERID": ""])
      #expect(run.isFailure && run.code == 4, "\(run)")
      #expect(here.agent.connections == 0)
    }
  }

  /// Waits until there is none.
  private func eventuallyNone(_ look: () async throws -> JSONValue?) async throws -> Bool {
    // The kernel ends namespaces one after another, those of all tests.
    try await settled(within: patience) { try await look() == nil ? [] : ["there"] }.isEmpty
  }
}
