import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// What stands on the node's disk, and what on stdin.
@Suite(.daemonLog) struct ConfigurationFileTests {
  /// A configuration of which `contrail` holds next to nothing.
  private func bare(_ here: VRouterNode, _ contrail: JSONValue) -> JSONValue {
    here.network(top: ["contrail": contrail])
  }

  /// The same with polls 20 ms apart.
  private func quick(_ here: VRouterNode) -> JSONValue {
    bare(here, ["poll-timeout": JSONValue(text: "0.02")])
  }

  @Test("stdin goes over the file on disk, key by key")
  func merged() async throws {
    try await withVRouterNode { here in
      // Only the file knows where this one listens.
      let agent = FakeAgent(
        namespace: here.node.network.path, port: 9092, portFiles: here.portFiles)
      agent.change { $0.configure(Fixture.name, uuid: Fixture.podUID, Fixture.one) }
      try agent.start()
      let pod = try await TestPod(containerID: Fixture.c1)
      try here.clearDisk()
      try here.disk(
        "10-contrail.conf",
        here.network(["vrouter-port": 9092, "mtu": 1400, "poll-retries": 2]).bytes)
      let network = bare(here, ["mtu": 1350])
      try await here.add(pod, network)
      #expect(agent.requests("POST").count == 1 && here.agent.requests.isEmpty)
      #expect(try await here.node.network.link("tapeth0-5f0c7a")?["mtu"] == 1350)
      #expect(try await pod.network.link("eth0")?["mtu"] == 1350)
      try await here.delete(pod, network)

      agent.forgetRequests()
      agent.script("GET", "/vm-cfg", [.notFound])
      let run = try await here.shim("ADD", pod, network)
      #expect(run.isFailure && agent.requests.count == 2, "\(run)")
    }
  }

  @Test(
    "Of the directory the first name that ends in contrail.conf or tf-cni.conf counts",
    arguments: [
      (["10-contrail.conf"], true), (["05-tf-cni.conf"], true), (["contrail.conf"], true),
      (["10-contrail.conflist"], false), (["10-contrail.conf.bak"], false), ([], false),
    ])
  func fileName(names: [String], isRead: Bool) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      try here.clearDisk()
      for name in names { try here.disk(name, here.network(["poll-retries": 2]).bytes) }
      here.agent.script("GET", "/vm-cfg", [.notFound])
      let run = try await here.shim("ADD", pod, quick(here))
      #expect(run.isFailure)
      #expect(here.agent.requests.count == (isRead ? 2 : 20))
    }
  }

  @Test("Of two files the first in the order of their names is read")
  func firstFile() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      try here.disk("05-tf-cni.conf", here.network(["poll-retries": 2]).bytes)
      try here.disk("10-contrail.conf", here.network(["poll-retries": 7]).bytes)
      here.agent.script("GET", "/vm-cfg", [.notFound])
      let run = try await here.shim("ADD", pod, quick(here))
      #expect(run.isFailure && here.agent.requests.count == 2)
    }
  }

  @Test("The log goes where log-file says, and one that cannot be written stops nothing")
  func logFile() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let network = here.network(["log-file": "/var/log/agent.log"])
      try await here.add(pod, network)
      let text = String(decoding: try Files.read(here.directory("log/agent.log")), as: UTF8.self)
      #expect(text.contains("GET /vm-cfg/\(Fixture.name)") && text.contains("POST /vm"))
      try await here.delete(pod, network)
      for path in ["/proc/nobody/agent.log", "/var/log/none/agent.log", "/dev/full"] {
        let network = here.network(["log-file": .string(path)])
        try await here.add(pod, network)
        try await here.delete(pod, network)
      }
    }
  }

  @Test("A file outside of /var/log is neither made, written to nor put aside")
  func foreignLogFile() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let (large, new) = (here.directory("large"), here.directory("new"))
      try Files.write(large, [UInt8](repeating: 0x78, count: 11 << 20), mode: [.write, .create])
      for path in [large, new] {
        let network = here.network(["log-file": .string(path)])
        try await here.add(pod, network)
        try await here.delete(pod, network)
      }
      #expect(try Files.status(large).size == 11 << 20)
      let names = try Files.list(here.directory.path)
      #expect(!names.contains("new") && !names.contains("large.1"))
    }
  }

  @Test(
    "DEL works from stdin alone, and with a file on disk that has a slip",
    arguments: [nil, "{\"contrail\":{\"mtu\":\"1500\",\"vrouter-port\":true}}", "{", "[]", ""])
  func deleteWithoutFile(text: String?) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      try here.clearDisk()
      if let text { try here.disk("10-contrail.conf", Array(text.utf8)) }
      here.agent.forgetRequests()
      try await here.delete(pod)
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      #expect(here.story == ["DEL"])
    }
  }

  @Test("The same without a record of the attachment", arguments: [nil, "{"])
  func deleteWithoutRecord(text: String?) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      let before = try await here.state([pod])
      try await here.add(pod)
      try here.clearDisk()
      if let text { try here.disk("10-contrail.conf", Array(text.utf8)) }
      try await here.loseRecords()
      here.agent.forgetRequests()
      try await here.delete(pod)
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
      #expect(here.story == ["DEL"])
    }
  }

  @Test("ADD works from stdin alone, and tells what is wrong with a file that it cannot read")
  func addWithoutFile() async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod(containerID: Fixture.c1)
      try here.clearDisk()
      try await here.add(pod)
      try await here.delete(pod)
      try here.disk("10-contrail.conf", Array("{\"contrail\":{\"mtu\":\"1500\"}}".utf8))
      let run = try await here.shim("ADD", pod, bare(here, [:]))
      #expect(run.isFailure && run.code == 6 && run.message?.contains("mtu") == true, "\(run)")
      try here.disk("10-contrail.conf", Array("{".utf8))
      let broken = try await here.shim("ADD", pod)
      #expect(broken.isFailure && broken.message?.contains("10-contrail.conf") == true)
      #expect(try await here.taps() == [])
    }
  }
}
