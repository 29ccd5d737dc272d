import JSON
import Linux
import TestSupport
import Testing

/// Side by side with the reference plugins of Debian's containernetworking-plugins, on the same
/// files and links.
@Suite(.daemonLog) struct InteroperationTests {
  /// A configuration that both sides understand: ours through the shim, theirs as it stands.
  private func shared(_ node: TestNode, _ changes: [String: JSONValue?] = [:]) -> JSONValue {
    node.macvlan(
      [
        "cniVersion": "1.0.0",
        "ipam": [
          "type": "host-local", "subnet": "10.1.2.0/24", "dataDir": .string(node.dataDirectory),
        ],
      ].merging(changes) { $1 })
  }

  /// Calls a reference plugin in the node's namespace.
  private func reference(
    _ name: String, _ command: String, _ environment: [String: String], _ node: TestNode,
    _ configuration: JSONValue
  ) async throws -> ProgramResult {
    var environment = environment
    environment["CNI_COMMAND"] = command
    environment["CNI_ARGS"] = "IgnoreUnknown=1"
    return try await node.network.run(
      ["\(Program.referencePlugins)/\(name)"], environment: environment,
      input: configuration.setting("type", .string(name)).bytes)
  }

  @Test("Reference host-local and ours take turns and release each other's addresses")
  func turns() async throws {
    try await withTestNode { node in
      let configuration = shared(node)
      let (ours, theirs) = (try await TestPod("ours"), try await TestPod("theirs"))
      try await node.add(ours, configuration)
      let lent = try await reference(
        "host-local", "ADD", theirs.environment("ADD"), node, configuration)
      #expect(lent.json?.at("ips", 0, "address") == "10.1.2.3/24", "\(lent)")
      #expect(node.leases == ["pods/10.1.2.2", "pods/10.1.2.3"])

      let next = try await TestPod("next")
      let added = try await node.add(next, configuration)
      #expect(added.at("ips", 0, "address") == "10.1.2.4/24")

      // Each releases the other's.
      let released = try await reference(
        "host-local", "DEL", ours.environment("DEL"), node, configuration)
      #expect(released.succeeded, "\(released)")
      try await node.delete(theirs, configuration)
      #expect(node.leases == ["pods/10.1.2.4"])
      // And what was released by the other side is no error afterwards.
      try await node.delete(ours, configuration)
      #expect(try await ours.network.links() == [])
    }
  }

  @Test("In parallel processes the two never give out one address twice")
  func parallel() async throws {
    try await withTestNode { node in
      let configuration = shared(node)
      var pods: [TestPod] = []
      for number in 0..<24 { pods.append(try await TestPod("p\(number)")) }
      let addresses = try await withThrowingTaskGroup(of: String?.self) { group in
        for pod in pods {
          group.addTask {
            try await node.add(pod, configuration).at("ips", 0, "address")?.string
          }
          group.addTask {
            try await self.reference(
              "host-local", "ADD", pod.environment("ADD", ifname: "net1"), node, configuration
            ).json?.at("ips", 0, "address")?.string
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(addresses.count == 48 && !addresses.contains(nil))
      #expect(Set(addresses).count == 48)
      #expect(node.leases.count == 48)

      try await withThrowingTaskGroup(of: Void.self) { group in
        for pod in pods {
          group.addTask { try await node.delete(pod, configuration) }
          group.addTask {
            _ = try await self.reference(
              "host-local", "DEL", pod.environment("DEL", ifname: "net1"), node, configuration)
          }
        }
        try await group.waitForAll()
      }
      #expect(node.leases == [])
    }
  }

  @Test("One attachment gets one address, whoever gave it")
  func duplicate() async throws {
    try await withTestNode { node in
      let configuration = shared(node)
      let pod = try await TestPod()
      _ = try await reference("host-local", "ADD", pod.environment("ADD"), node, configuration)
      let before = try await node.snapshot([pod])
      let run = try await node.shim("ADD", pod, configuration)
      #expect(
        run.message?.contains(
          "10.1.2.2 has been allocated to \(pod.containerID), duplicate allocation is not allowed")
          == true, "\(run)")
      #expect(try await pod.network.links() == [])
      _ = before
      let other = try await TestPod()
      let added = try await node.add(other, configuration)
      #expect(added.at("ips", 0, "address") == "10.1.2.3/24")
    }
  }

  @Test("A pod that the reference macvlan attached before a migration is detached by ours")
  func migrated() async throws {
    try await withTestNode { node in
      let configuration = shared(node)
      let pod = try await TestPod()
      let added = try await reference("macvlan", "ADD", pod.environment("ADD"), node, configuration)
      #expect(added.succeeded, "\(added)")
      #expect(try await pod.network.links() == ["eth0"])
      try await node.delete(pod, configuration)
      #expect(try await pod.network.links() == [])
      #expect(node.leases == [])
    }
  }

  @Test("A pod that ours attached is detached by the reference macvlan, and DEL still succeeds")
  func movedBack() async throws {
    try await withTestNode { node in
      let configuration = shared(node)
      let pod = try await TestPod()
      let before = try await node.snapshot([pod])
      try await node.add(pod, configuration)
      let removed = try await reference(
        "macvlan", "DEL", pod.environment("DEL"), node, configuration)
      #expect(removed.succeeded, "\(removed)")
      try await node.delete(pod, configuration)
      let left = try await node.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("Both sides give the same result for the same configuration")
  func sameResult() async throws {
    try await withTestNode { node in
      let changes: [String: JSONValue] = [
        "dns": ["nameservers": ["192.0.2.53"]], "mac": "c2:00:00:00:00:09",
        "ipam": [
          "type": "host-local",
          "ranges": [[["subnet": "10.1.2.0/24"]]],
          "routes": [["dst": "0.0.0.0/0"], ["dst": "192.168.0.0/16", "gw": "10.1.2.9"]],
          "dataDir": .string(node.directory("theirs")),
        ],
      ]
      for version in ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"] {
        let configuration = shared(
          node, changes.merging(["cniVersion": .string(version)]) { $1 })
        let pod = try await TestPod()
        let theirs = try await reference(
          "macvlan", "ADD", pod.environment("ADD"), node, configuration)
        _ = try await reference("macvlan", "DEL", pod.environment("DEL"), node, configuration)
        // From the same first address again.
        TemporaryDirectory.removeTree(node.directory("theirs"))
        let ours = try await node.shim("ADD", pod, configuration)
        let texts = [ours, theirs].map { run in
          // Debian's plugins are older than the order of members in newer ones.
          String(decoding: run.json?.encoded(.indented(4, sorted: true)) ?? [], as: UTF8.self)
        }
        #expect(texts[0] == texts[1] && ours.succeeded, "\(version)")
        try await node.delete(pod, configuration)
        TemporaryDirectory.removeTree(node.directory("theirs"))
      }
    }
  }

  @Test("Any other IPAM plugin is executed as libcni would, once for every verb")
  func executed() async throws {
    try await withTestNode { node in
      let plugins = try TemporaryDirectory()
      let seen = try TemporaryDirectory()
      try plugins.install(
        "recorder",
        """
        cat > \(seen.path)/$CNI_COMMAND.json; env | grep ^CNI_ | sort > \(seen.path)/$CNI_COMMAND.env
        echo $CNI_COMMAND >> \(seen.path)/calls
        [ "$CNI_COMMAND" != ADD ] ||
          echo '{"cniVersion":"1.0.0","ips":[{"address":"10.4.0.7/24","gateway":"10.4.0.1"}]}'
        """)
      let pod = try await TestPod()
      let configuration = node.macvlan(["ipam": ["type": "recorder", "answer": 42]])
      let path = ["CNI_PATH": "\(plugins.path):/nonexistent"]
      let result = try await node.add(pod, configuration, path)
      #expect(result.at("ips", 0, "address") == "10.4.0.7/24")
      #expect(result.at("ips", 0, "interface") == 0)
      let check = try await node.shim(
        "CHECK", pod, configuration.setting("prevResult", result), path)
      #expect(check.succeeded, "\(check)")
      let status = try await node.shim("STATUS", pod, configuration, path)
      #expect(status.succeeded, "\(status)")
      let collect = try await node.shim(
        "GC", pod,
        configuration.setting(
          "cni.dev/valid-attachments",
          [["containerID": .string(pod.containerID), "ifname": "eth0"]]), path)
      #expect(collect.succeeded, "\(collect)")
      try await node.delete(pod, configuration, path)

      #expect(try Files.read(seen("ADD.json")) == configuration.bytes)
      let calls = String(decoding: try Files.read(seen("calls")), as: UTF8.self)
      #expect(calls == "ADD\nCHECK\nSTATUS\nGC\nDEL\n")
      for command in ["ADD", "CHECK", "STATUS", "GC", "DEL"] {
        let input = try JSONValue.parse(Files.read(seen("\(command).json")))
        #expect(input.at("ipam", "answer") == 42, "\(command)")
        #expect(input["name"] == "pods" && input["cniVersion"] == "1.1.0", "\(command)")
        let environment = String(decoding: try Files.read(seen("\(command).env")), as: UTF8.self)
        #expect(environment.contains("CNI_COMMAND=\(command)\n"))
        if command == "ADD" || command == "DEL" {
          #expect(environment.contains("CNI_CONTAINERID=\(pod.containerID)\n"))
          #expect(environment.contains("CNI_NETNS=\(pod.netns)\n"))
          #expect(environment.contains("CNI_IFNAME=eth0\n"))
        }
      }
    }
  }

  @Test("The daemon's overrides lie over each configuration, and not over those of /delegate")
  func overrides() async throws {
    let options = TestNode.Options(settings: ["overrides": ["b": 3, "c": 4]])
    try await withTestNode(options) { node in
      let (plugins, seen) = (try TemporaryDirectory(), try TemporaryDirectory())
      try plugins.install(
        "recorder",
        """
        [ "$CNI_COMMAND" != ADD ] || {
          cat > \(seen.path)/$CNI_CONTAINERID
          echo '{"cniVersion":"1.0.0","ips":[{"address":"10.4.0.7/24"}]}'
        }
        """)
      let configuration = node.macvlan([
        "type": "macvlan", "a": 1, "b": 2, "ipam": ["type": "recorder"],
      ])
      let (one, two) = (try await TestPod(), try await TestPod())
      try await node.add(one, configuration, ["CNI_PATH": plugins.path])
      let merged = try JSONValue.parse(Files.read(seen(one.containerID)))
      #expect(merged["a"] == 1 && merged["b"] == 3 && merged["c"] == 4)

      var environment = two.environment("ADD")
      environment["CNI_PATH"] = plugins.path
      let body = try await DaemonInterfaceTests.body(environment, configuration)
      let answer = try await node.http("POST", "/delegate", body)
      #expect(answer.status == 200, "\(answer)")
      let plain = try JSONValue.parse(Files.read(seen(two.containerID)))
      #expect(plain["b"] == 2 && plain["c"] == nil)
    }
  }

  @Test("A failing IPAM plugin leaves neither link nor record, and its own words are passed on")
  func failingPlugin() async throws {
    try await withTestNode { node in
      let plugins = try TemporaryDirectory()
      try plugins.install(
        "broken",
        #"""
        [ "$CNI_COMMAND" = DEL ] && exit 0
        echo 'the disk is on fire' >&2
        echo '{"cniVersion":"1.0.0","code":123,"msg":"no address today","details":"come back"}'
        exit 1
        """#)
      let pod = try await TestPod()
      let before = try await node.snapshot([pod])
      let run = try await node.shim(
        "ADD", pod, node.macvlan(["ipam": ["type": "broken"]]), ["CNI_PATH": plugins.path])
      #expect(run.status == .exited(1))
      #expect(run.message?.contains("no address today") == true, "\(run)")
      let left = try await node.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }
}
