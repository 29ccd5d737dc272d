import JSON
import Linux
import TestSupport
import Testing

/// What DEL takes away, and what it leaves to others.
@Suite(.daemonLog, .openVSwitch) struct DeleteTests {
  /// What may have gone before a DEL comes.
  enum Gone: String, CaseIterable, Sendable {
    case path = "the path of the namespace"
    case link = "the pod's interface"
    case hostLink = "the pair's end on the node"
    case port = "the port"
    case bridge = "the bridge"
    case record = "the record"
    case nothing
  }

  @Test(
    "DEL succeeds, also twice, whatever has gone, and leaves nothing", arguments: Gone.allCases
  )
  func gone(what: Gone) async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let before = try await here.state([pod])
      let network = here.network(["runtimeConfig": ["bandwidth": ["ingressRate": 8_000_000]]])
      try await here.node.add(pod, network)
      let name = try await here.hostLink(of: pod)
      switch what {
      case .path: pod.network.closePath()
      case .link: try await pod.network.ip("link del eth0")
      case .hostLink: try await here.node.network.ip("link del \(name)")
      case .port: try await here.ovs.vsctl("del-port", "br0", name)
      case .bridge: try await here.ovs.vsctl("del-br", "br0")
      case .record:
        try await here.node.kill()
        for record in here.node.records {
          try Files.remove("\(here.node.stateDirectory)/attachments/\(record)")
        }
        try await here.node.start()
      case .nothing: break
      }
      try await here.node.delete(pod, network)
      try await here.node.delete(pod, network)
      if what == .bridge {
        try await here.ovs.addBridge("br0")
      }
      let left = try await here.leftovers(since: before, [pod])
      #expect(left.filter { !$0.hasPrefix("link") || what != .bridge } == [])
    }
  }

  @Test("DEL with an empty path takes the port away by its record")
  func emptyPath() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let before = try await here.state([pod])
      try await here.node.add(pod, here.network())
      try await here.node.delete(pod, here.network(), ["CNI_NETNS": ""])
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("A port that ovs-cni made is taken away where there is no record, with its link")
  func migrated() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let before = try await here.state([pod])
      try await here.reference("veth1234", pod: pod)
      try await here.node.delete(pod, here.network())
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("The pod's namespace is the same below /run and below /var/run")
  func migratedElsewhere() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let path = "/run/\(pod.containerID)"
      _ = try await Program.run(["ln", "-s", pod.netns, path])
      defer { try? Files.remove(path) }
      try await here.reference("veth1234", pod: pod, netns: "/var" + path)
      try await here.node.delete(pod, here.network(), ["CNI_NETNS": path])
      #expect(try await here.ovs.ports("br0") == [])
    }
  }

  @Test("Without a path and a record only what is broken of ovs-cni's ports goes")
  func broken() async throws {
    try await withOVSNode { here in
      let (pod, healthy, faulty) = (
        try await TestPod(), try await TestPod("healthy"), try await TestPod("faulty")
      )
      try await here.reference("vethgood", pod: healthy)
      // As after a reboot: the database still has the port, the link has gone.
      try await here.reference("vethbad", pod: faulty, hasLink: false)
      #expect(
        try await here.ovs.interface("vethbad")?.text("error")?.contains("No such device") == true)
      try await here.node.delete(pod, here.network(), ["CNI_NETNS": ""])
      #expect(try await here.ovs.ports("br0") == ["vethgood"])
    }
  }

  @Test("Each ADD makes a link of a new name, also of the same container and interface")
  func freshNames() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      var names: Set<String> = []
      for _ in 0..<3 {
        try await here.node.add(pod, here.flat())
        names.insert(try await here.hostLink(of: pod))
        try await here.node.delete(pod, here.flat())
      }
      #expect(names.count == 3)
      // How they begin does not differ.
      #expect(Set(names.map { $0.prefix(7) }).count == 1)
    }
  }

  @Test(
    "A new sandbox of a pod takes its OVN port over, and the old one's DEL leaves the new port alone"
  )
  func takenOver() async throws {
    try await withOVSNode { here in
      let (old, new) = (try await TestPod("old"), try await TestPod("new"))
      let network = here.network(["args": ["cni": ["ovnPort": "pod-port"]]])
      try await here.node.add(old, network)
      try await here.node.add(new, network)
      #expect(try await here.port(of: old) == nil)
      #expect(try await here.ovs.ports("br0") == [try await here.hostLink(of: new)])
      try await here.node.delete(old, network)
      #expect(try await here.port(of: new) != nil)
      #expect(try await new.network.links() == ["eth0"])
      #expect(try await old.network.links() == [])
      try await here.node.delete(new, network)
      #expect(try await here.ovs.ports("br0") == [])
    }
  }

  @Test("An OVN port that is no pod's is not taken over")
  func notTakenOver() async throws {
    try await withOVSNode { here in
      try await here.node.network.ip("link add machine type veth peer name machine-peer")
      try await here.ovs.vsctl(
        "add-port", "br0", "machine", "--", "set", "Interface", "machine",
        "external_ids:iface-id=pod-port")
      let pod = try await TestPod()
      let network = here.network(["args": ["cni": ["ovnPort": "pod-port"]]])
      let run = try await here.node.shim("ADD", pod, network)
      #expect(
        run.code == 101 && run.message?.contains("interface machine, which is no pod's") == true,
        "\(run)")
      #expect(try await here.ovs.ports("br0") == ["machine"])
    }
  }
}

extension OVSNode {
  /// What ovs-cni would have made for a pod's eth0.
  func reference(
    _ name: String, pod: TestPod, netns: String? = nil, hasLink: Bool = true
  ) async throws {
    if hasLink {
      try await node.network.ip("link add \(name) type veth peer name peer-\(name.suffix(4))")
    }
    try await ovs.vsctl(
      "add-port", "br0", name, "--", "set", "Port", name,
      "external_ids:owner=ovs-cni.network.kubevirt.io", "external_ids:contIface=eth0",
      "external_ids:contNetns=\(netns ?? pod.netns)")
  }
}

/// Looks until a condition holds, five seconds at the most.
func pollAsync(_ condition: () async throws -> Bool) async throws -> Bool {
  let deadline = Deadline.after(milliseconds: 5000 * Program.patience)
  while true {
    if try await condition() { return true }
    if deadline.isOver { return false }
    await onThread { Clock.pause(milliseconds: 20) }
  }
}
