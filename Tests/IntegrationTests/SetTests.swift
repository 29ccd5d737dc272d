import JSON
import Linux
import TestSupport
import Testing

/// Sets of networks and lists of plugins, with Debian's reference plugins as the programs.
@Suite(.daemonLog) struct SetTests {
  @Test("A list of macvlan and tuning: the one in the process, the other executed")
  func list() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      let network = here.network(
        ["plugins": [here.macvlan("10.1.2.0/24"), ["type": "tuning", "mtu": 1400]]])
      let result = try await here.add(pod, network)
      #expect(result.at("ips", 0, "address") == "10.1.2.2/24")
      #expect(try await pod.network.link("eth0")?["mtu"] == 1400)
      #expect(here.node.records.count == 2 && here.cached.count == 1)
      try await here.expectKept(pod, network, result)
      for _ in 0..<2 { try await here.delete(pod, network) }
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
      #expect(here.cached == [])
    }
  }

  @Test("A list of the reference bridge and portmap gets the runtime's port mappings")
  func executedList() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let portmap: JSONValue = ["type": "portmap", "capabilities": ["portMappings": true]]
      let network = here.network([
        "plugins": [here.bridge("cni9", "10.5.0.0/24"), portmap],
        "capabilities": ["portMappings": true],
        "runtimeConfig": [
          "portMappings": [["hostPort": 8080, "containerPort": 80, "protocol": "tcp"]]
        ],
      ])
      func rules() async throws -> String {
        try await here.node.network.run(["iptables-save", "-t", "nat"]).text
      }
      let result = try await here.add(pod, network)
      #expect(result.at("ips", 0, "address") == "10.5.0.2/24")
      #expect(try await rules().contains("10.5.0.2:80"))
      // All is done by programs: there is the set's record alone.
      #expect(here.node.records.count == 1)
      // Debian's portmap has only chains of IPv4 here, and its CHECK misses those of IPv6.
      try await here.expectSpared(pod, network)
      try await here.delete(pod, network)
      #expect(try await !rules().contains("10.5.0.2"))
      #expect(here.node.leases == [] && here.node.records == [] && here.cached == [])
      #expect(try await pod.network.links() == [])
    }
  }

  @Test("A set of an executed bridge, two macvlan networks and an ovs network")
  func set() async throws {
    try await withOVSNode { there in
      let here = SetNode(node: there.node)
      let pod = try await TestPod()
      let before = try await there.state([pod])
      var ovs = there.network(["type": "ovs", "name": "fourth"])
      for key in ["plugin", "daemonSocketDir", "daemonTimeout"] { ovs = ovs.setting(key, nil) }
      let network = here.network([
        "delegates": [
          here.bridge("cni9", "10.5.0.0/24"), here.macvlan("10.1.4.0/24", named: "second"),
          here.macvlan("10.1.3.0/24", named: "third"), ovs,
        ]
      ])
      let result = try await here.add(pod, network)
      #expect(result.at("ips", 0, "address") == "10.5.0.2/24")
      #expect(try await pod.network.links() == ["eth0", "net1", "net2", "net3"])
      #expect(try await pod.network.addresses("net1") == ["10.1.4.2/24"])
      #expect(try await pod.network.addresses("net2") == ["10.1.3.2/24"])
      #expect(try await there.port(of: pod, ifname: "net3") != nil)
      // The set, and three parts.
      #expect(here.node.records.count == 4)
      try await here.expectKept(pod, network, result)
      try await here.delete(pod, network)
      #expect(try await pod.network.links() == [])
      try await here.node.network.ip("link delete cni9")
      #expect(try await there.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("A chain may have the same type twice")
  func twice() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      let network = here.network([
        "plugins": [
          here.macvlan("10.1.2.0/24"), ["type": "tuning", "mtu": 1400],
          ["type": "tuning", "allmulti": true],
        ]
      ])
      let result = try await here.add(pod, network)
      let link = try #require(try await pod.network.link("eth0"))
      #expect(link["mtu"] == 1400 && link["flags"]?.array?.contains("ALLMULTI") == true)
      try await here.expectKept(pod, network, result)
      try await here.delete(pod, network)
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("What cnid has is executed all the same where the network says so")
  func executed() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      let macvlan = here.macvlan("10.1.2.0/24").setting(
        "ipam",
        [
          "type": "host-local", "subnet": "10.1.2.0/24",
          "dataDir": .string(here.node.dataDirectory),
        ])
      let network = here.network(["delegates": [macvlan], "executed": ["macvlan"]])
      _ = try await here.add(pod, network)
      #expect(try await pod.network.links() == ["eth0"])
      #expect(here.node.records.count == 1)
      try await here.delete(pod, network)
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("When the middle one fails nothing is left, and a repeated ADD works")
  func middleFails() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      func network(_ middle: JSONValue) -> JSONValue {
        here.network([
          "delegates": [
            here.macvlan("10.1.2.0/24", named: "first"), middle.setting("name", "second"),
            here.macvlan("10.1.4.0/24", named: "third"),
          ]
        ])
      }
      let middles: [JSONValue] = [
        here.macvlan("10.1.3.0/24").setting("master", "nothing"),
        ["type": "tuning", "sysctl": ["net.nothing": "1"]],
      ]
      // The DEL of a plugin that does not know the version could only fail, too.
      let version: JSONValue = ["type": "tuning", "mtu": 1400, "cniVersion": "1.1.0"]
      for middle in middles + [version] {
        let failed = try await here.call("ADD", pod, network(middle))
        #expect(!failed.succeeded && failed.message?.contains("failed (add)") == true, "\(failed)")
        #expect(try await here.node.leftovers(since: before, [pod]) == [])
        // The runtime's own DEL after it.
        try await here.delete(pod, network(middle))
      }
      let good = network(here.macvlan("10.1.3.0/24"))
      _ = try await here.add(pod, good)
      #expect(try await pod.network.links() == ["eth0", "net1", "net2"])
      try await here.delete(pod, good)
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("After a restart DEL finds all parts by their records; without any record by stdin")
  func later() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let node = here.node
      let before = try await node.snapshot([pod])
      let network = here.network([
        "delegates": [
          here.macvlan("10.1.2.0/24", named: "first"), here.macvlan("10.1.3.0/24", named: "second"),
        ]
      ])
      for losesRecords in [false, true] {
        _ = try await here.add(pod, network)
        try await node.stop()
        if losesRecords { TemporaryDirectory.removeTree(node.stateDirectory) }
        try await node.start()
        try await here.delete(pod, network)
        #expect(try await node.leftovers(since: before, [pod]) == [], "\(losesRecords)")
      }
    }
  }

  @Test(
    "A set whose own record was damaged is deleted by its parts' records, a part by its marks",
    arguments: [("plugin", "delegate"), ("network", "second")])
  func damaged(key: String, value: String) async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let network = here.network([
        "delegates": [
          here.macvlan("10.1.2.0/24"), here.macvlan("10.1.3.0/24", named: "second"),
        ]
      ])
      _ = try await here.add(pod, network)
      try await here.restart(damaging: key, .string(value))
      #expect(here.node.records.filter { $0.hasSuffix(".damaged") }.count == 1)
      try await here.delete(pod, network)
      #expect(try await pod.network.links() == [])
      #expect(here.node.leases == [])
      #expect(here.node.records.filter { !$0.hasSuffix(".damaged") } == [])
    }
  }

  @Test("A program that fails at ADD and at DEL keeps no pod, and is tried again")
  func failingProgram() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let plugins = try TemporaryDirectory()
      let cure = here.node.directory("cured")
      try plugins.install(
        "broken",
        """
        [ -e \(cure) ] && [ $CNI_COMMAND = DEL ] && exit 0
        echo '{"cniVersion":"1.0.0","code":99,"msg":"broken"}'
        exit 1
        """)
      let paths: [String: String?] = ["CNI_PATH": plugins.path]
      let network = here.network([
        "delegates": [here.macvlan("10.1.2.0/24", named: "first"), ["type": "broken"]]
      ])
      let run = try await here.node.shim("ADD", pod, network, paths)
      #expect(run.code == 99, "\(run)")
      #expect(try await pod.network.links() == [] && here.node.leases == [])
      try await here.node.delete(pod, network, paths)
      // What is still to be done is in the record.
      #expect(here.node.records.count == 1)
      try Files.write(cure, [], mode: [.write, .create])
      let left = try await settled(within: 60_000) { here.node.records }
      #expect(left == [])
    }
  }

  @Test("GC takes what is dead from every network of the set, and nothing from a living pod")
  func collected() async throws {
    try await withSetNode { here in
      let (listed, living) = (try await TestPod("listed"), try await TestPod("living"))
      let node = here.node
      let network = here.network([
        "cniVersion": "1.1.0",
        "delegates": [
          here.macvlan("10.1.2.0/24", named: "first"), here.macvlan("10.1.3.0/24", named: "second"),
        ],
      ])
      let status = try await here.call("STATUS", listed, network)
      #expect(status.succeeded, "\(status)")
      for pod in [listed, living] { _ = try await here.add(pod, network) }
      // A pod that has ended without a DEL.
      var dead = Optional(try await TestPod("dead"))
      if let dead { _ = try await here.add(dead, network) }
      dead = nil
      // Leases without a record, in the second network.
      let stray = node.directory("networks/second/10.1.3.99")
      try Files.write(stray, Array("gone\r\nnet1".utf8), mode: [.write, .create])
      let list: JSONValue = [["containerID": .string(listed.containerID), "ifname": "eth0"]]
      // Two sets of three records each, and two leases each. The kernel takes a moment to end the
      // dead pod's namespace.
      let left = try await settled(within: 10_000) {
        let collected = try await here.call(
          "GC", listed, network.setting("cni.dev/valid-attachments", list))
        #expect(collected.succeeded, "\(collected)")
        let (records, leases) = (node.records, node.leases)
        return records.count == 6 && leases.count == 4 ? [] : records + leases
      }
      #expect(left == [])
      #expect((try? Files.status(stray)) == nil)
      for pod in [listed, living] {
        #expect(try await pod.network.links() == ["eth0", "net1"])
      }
      for pod in [listed, living] { try await here.delete(pod, network) }
      #expect(node.records == [] && node.leases == [])
    }
  }

  @Test(
    "gcLiving gives back what living pods without a record have in every network of the set",
    arguments: [false, true])
  func collectedAlive(isStrict: Bool) async throws {
    try await withSetNode { here in
      let (pod, node) = (try await TestPod(), here.node)
      let network = here.network([
        "cniVersion": "1.1.0", "cni.dev/valid-attachments": [],
        "delegates": [
          here.macvlan("10.1.2.0/24", named: "first"), here.macvlan("10.1.3.0/24", named: "second"),
        ],
      ])
      _ = try await here.add(pod, network)
      try await node.stop()
      TemporaryDirectory.removeTree(node.stateDirectory)
      try await node.start()
      let collected = try await here.call("GC", pod, network.setting("gcLiving", .bool(isStrict)))
      #expect(collected.succeeded, "\(collected)")
      #expect(node.leases.count == (isStrict ? 0 : 2))
      try await here.delete(pod, network)
      #expect(node.leases == [] && node.records == [])
    }
  }

  @Test(
    "DEL of what an ADD refuses succeeds",
    arguments: [
      "[]", #"[{"type":"nobody"}]"#, "7", #"[{"type":"tuning","cniVersion":"9.9.0"}]"#,
      #"[{"plugins":[{"type":"tuning"},{"type":"tuning","ipam":{"type":"a/b"}}]}]"#,
    ])
  func refused(delegates: String) async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let network = here.network(["delegates": JSONValue(text: delegates)])
      let added = try await here.call("ADD", pod, network)
      #expect(!added.succeeded, "\(added)")
      try await here.delete(pod, network)
      #expect(here.node.records == [])
    }
  }

  @Test("A set in a set is refused, and names the type and the interface")
  func nested() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let inner: JSONValue = ["type": "multus", "delegates": [["type": "macvlan"]]]
      let run = try await here.call("ADD", pod, here.network(["delegates": [inner]]))
      #expect(
        run.code == 7
          && run.message
            == "network \"pods\": type \"multus\" would begin a set in the set of eth0",
        "\(run)")
      try await here.delete(pod, here.network(["delegates": [inner]]))
      #expect(here.node.records == [])
    }
  }
}
