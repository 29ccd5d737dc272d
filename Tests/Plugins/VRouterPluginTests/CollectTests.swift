import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// GC: what belongs to no valid attachment goes, whatever still knows of it.
@Suite(.daemonLog) struct CollectTests {
  /// One of several pods that the agent knows.
  struct Member: Sendable {
    let identity: PodIdentity
    let pod: TestPod
    let interface: String

    init(_ number: Int, _ here: VRouterNode) async throws {
      let digits = "\(number)\(number)"
      let uid = "\(digits)0c7a1e-3b52-4d68-9a41-0c2b7de91f34"
      identity = PodIdentity("default", "gc-\(number)", uid)
      interface = "\(digits)6d9c52-8e1f-11ee-9c2a-525400a1b2c3"
      pod = try await TestPod("gc\(number)")
      var port = Fixture.interface(Fixture.vmi0)
      port.id = interface
      port.mac = "02:0b:6d:9c:52:\(digits)"
      port.ipv4?.address = "10.47.0.\(number)"
      let (name, made) = ("k8s__default__gc-\(number)", port)
      here.agent.change { $0.configure(name, uuid: uid, [made]) }
    }

    var entry: JSONValue { ["containerID": .string(pod.containerID), "ifname": "eth0"] }
    var file: String { "vm/k8s__default__\(identity.name)/\(interface)" }
    var withdrawal: String { "DELETE /vm/\(identity.uid)" }
  }

  private func network(
    _ here: VRouterNode, _ valid: [Member] = [], takesLiving: Bool = false
  ) -> JSONValue {
    here.network(top: [
      "cniVersion": "1.1.0", "cni.dev/valid-attachments": .array(valid.map(\.entry)),
      "gcLiving": .bool(takesLiving),
    ])
  }

  @Test(
    "GC removes a file only; with gcLiving also what is recorded, and what has lost its record")
  func collect() async throws {
    try await withVRouterNode { here in
      let kept = try await Member(1, here)
      let gone = try await Member(2, here)
      let lost = try await Member(3, here)
      let dead = try await Member(4, here)
      for member in [kept, gone] {
        try await here.add(member.pod, network(here), as: member.identity)
      }
      for member in [lost, dead] {
        let earlier = here.node.records
        try await here.add(member.pod, network(here), as: member.identity)
        try await here.node.kill()
        for record in here.node.records where !earlier.contains(record) {
          try Files.remove("\(here.node.stateDirectory)/attachments/\(record)")
        }
        try await here.node.start()
      }
      // As after a node's reset: the links have gone.
      try await here.node.network.ip("link del tapeth0-440c7a")
      here.agent.forgetRequests()
      let spared = try await here.shim("GC", kept.pod, network(here, [kept]))
      #expect(spared.succeeded, "\(spared)")
      let living = [kept, gone, lost].map(\.file)
      #expect(TemporaryDirectory.files(below: here.ports) == living)
      #expect(here.agent.lines == [dead.withdrawal])
      let run = try await here.shim("GC", kept.pod, network(here, [kept], takesLiving: true))
      #expect(run.succeeded, "\(run)")
      #expect(TemporaryDirectory.files(below: here.ports) == [kept.file])
      #expect(try Files.list(here.portFiles) == ["k8s__default__gc-1"])
      #expect(try await here.taps() == ["tapeth0-110c7a"])
      #expect(here.agent.lines.sorted() == [gone, lost, dead].map(\.withdrawal).sorted())
      #expect(here.agent.subscriptions.map(\.vm) == [kept.identity.uid])
      #expect(try await kept.pod.network.addresses("eth0") == ["10.47.0.1/12"])
    }
  }

  @Test("GC of one of Multus' networks takes nothing that may be another network's")
  func secondary() async throws {
    try await withVRouterNode { here in
      let alive = try await Member(1, here)
      let dead = try await Member(2, here)
      for member in [alive, dead] {
        try await here.add(member.pod, network(here), as: member.identity)
      }
      try await here.loseRecords()
      try await here.node.network.ip("link del tapeth0-220c7a")
      let run = try await here.shim(
        "GC", alive.pod, network(here).setting("name", "net-a"), parent: "multus")
      #expect(run.succeeded, "\(run)")
      #expect(TemporaryDirectory.files(below: here.ports) == [alive.file])
      #expect(try await here.taps() == ["tapeth0-110c7a"])
    }
  }

  @Test("GC of a network of another name takes no living pod's port, whoever calls")
  func otherName() async throws {
    try await withVRouterNode { here in
      // Without a file on the node nothing says which network every pod has.
      try here.clearDisk()
      let (known, lost, dead) = (
        try await Member(1, here), try await Member(2, here), try await Member(3, here)
      )
      for member in [lost, dead] {
        try await here.add(member.pod, network(here), as: member.identity)
      }
      try await here.loseRecords()
      try await here.add(known.pod, network(here), as: known.identity)
      try await here.node.network.ip("link del tapeth0-330c7a")
      here.agent.forgetRequests()
      let run = try await here.shim("GC", known.pod, network(here).setting("name", "net-a"))
      #expect(run.succeeded, "\(run)")
      #expect(TemporaryDirectory.files(below: here.ports) == [known.file, lost.file])
      #expect(try await here.taps() == ["tapeth0-110c7a", "tapeth0-220c7a"])
      #expect(here.agent.lines == [dead.withdrawal])
    }
  }

  @Test("a file whose port the agent cannot be made to forget stays for the next GC")
  func agentHangs() async throws {
    try await withVRouterNode { here in
      let old = try await Member(1, here)
      try await here.add(old.pod, network(here), as: old.identity)
      try await here.loseRecords()
      here.agent.script("DELETE", "/vm", [.error(500, "{ busy }")])
      let everything = network(here, takesLiving: true)
      let run = try await here.shim("GC", old.pod, everything)
      #expect(run.code == 102 && run.message?.contains("busy") == true, "\(run)")
      #expect(try await here.taps() == [])
      #expect(TemporaryDirectory.files(below: here.ports) == [old.file])
      here.agent.script("DELETE", "/vm", [.memory])
      #expect(try await here.shim("GC", old.pod, everything).succeeded)
      #expect(TemporaryDirectory.files(below: here.ports) == [])
      #expect(here.agent.subscriptions == [])
    }
  }
}
