import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// Parts of sets whose plugins know more of a pod than one interface, and programs that die.
@Suite(.daemonLog) struct SetPeerTests {
  @Test("A set with vrouter as net1 attaches that network's VMI only")
  func vrouter() async throws {
    try await withVRouterNode { there in
      let here = SetNode(node: there.node)
      let pod = try await TestPod(containerID: VRouterFixture.c1)
      let before = try await there.state([pod])
      there.agent.change {
        $0.configure(
          VRouterFixture.name, uuid: VRouterFixture.podUID,
          [
            VRouterFixture.interface(VRouterFixture.vmi0, 0, of: 2),
            VRouterFixture.interface(VRouterFixture.vmi1, 1, of: 2, "net-a"),
          ])
      }
      var second = there.network(top: ["name": "net-a"])
      for key in ["plugin", "daemonSocketDir", "daemonTimeout"] {
        second = second.setting(key, nil)
      }
      let network = here.network(["delegates": [here.macvlan("10.1.2.0/24"), second]])
      let arguments: [String: String?] = [
        "CNI_ARGS": PodIdentity.web0.arguments(pod.containerID)
      ]
      try await here.node.add(pod, network, arguments)
      #expect(try await pod.network.links() == ["eth0", "net1"])
      let posted = there.agent.requests("POST").compactMap { try? JSONValue.parse($0.body) }
      #expect(posted.map { $0["vmi-uuid"]?.string } == [VRouterFixture.vmi1])
      #expect(there.portFile(VRouterFixture.vmi0) == nil)
      #expect(there.portFile(VRouterFixture.vmi1) != nil)
      try await here.node.delete(pod, network, arguments)
      #expect(try await there.leftovers(since: before, [pod]) == [])
    }
  }

  /// The reference bridge, which sleeps when it has made its link, once.
  private func slowBridge(_ here: SetNode, _ marker: String) throws -> [String: String?] {
    let plugins = here.node.directory("plugins")
    try Files.makeDirectories(plugins)
    let script = """
      #!/bin/sh
      \(Program.referencePlugins)/bridge > \(marker).result
      code=$?
      if [ $CNI_COMMAND = ADD ] && [ ! -e \(marker) ]; then
        echo $$ > \(marker).new && mv \(marker).new \(marker)
        sleep 300
      fi
      cat \(marker).result
      exit $code
      """
    try Files.write(
      "\(plugins)/slow", Array(script.utf8), mode: [.write, .create], permissions: 0o755)
    return ["CNI_PATH": "\(plugins):\(Program.referencePlugins)"]
  }

  @Test("After a SIGKILL while a program has just made its link, nothing is left")
  func killedChild() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let node = here.node
      let before = try await node.snapshot([pod])
      let marker = node.directory("started")
      let paths = try slowBridge(here, marker)
      let slow = here.bridge("cni9", "10.5.0.0/24", named: "second").setting("type", "slow")
      let network = here.network([
        "delegates": [here.macvlan("10.1.2.0/24", named: "first"), slow]
      ])
      let call = try await node.startShim("ADD", pod, network, paths)
      let hasStarted = try await eventually(within: 60_000) {
        (try? Files.status(marker)) != nil
      }
      #expect(hasStarted)
      #expect(try await pod.network.links() == ["eth0", "net1"])
      try await node.kill()
      call.signal(.kill)
      _ = try await call.ended()
      try await node.start()
      #expect(node.log.contains("programs that the last cnid had left running were killed"))
      let left = try await settled(within: 30_000) { node.records + node.leases }
      #expect(left == [])
      #expect(try await pod.network.links() == [])
      try await node.add(pod, network, paths)
      #expect(try await pod.network.links() == ["eth0", "net1"])
      try await node.delete(pod, network, paths)
      try await node.network.ip("link delete cni9")
      #expect(try await node.leftovers(since: before, [pod]) == [])
    }
  }
}
