import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// What an operator installs: each file of `config/` is tried as it is.
@Suite(.daemonLog) struct ConfigFileTests {
  private static let config = "\(Program.packageDirectory)/config"

  private func unit(_ name: String) throws -> String {
    String(decoding: try Files.read("\(Self.config)/systemd/\(name)"), as: UTF8.self)
  }

  /// The values of a key in a unit, in order.
  private func values(_ key: String, _ unit: String) -> [String] {
    unit.split(separator: "\n").filter { $0.hasPrefix("\(key)=") }
      .map { String($0.dropFirst(key.count + 1)) }
  }

  @Test("there is no file in config/ that no test knows")
  func files() async throws {
    let found = try await Program.run(["find", Self.config, "-type", "f", "-printf", "%P\\n"])
    #expect(
      Set(found.text.split(separator: "\n").map(String.init)) == [
        "cnid.json",  // DaemonTests: keys and defaults; here: --check-config; scripts/demo: served
        "net.d/10-macvlan.conflist",  // here and in scripts/demo
        "net.d/20-ovs.conflist",  // here and in scripts/demo ovs
        "net.d/30-vrouter.conflist",  // here and in scripts/demo vrouter
        "net.d/40-delegate.conflist",  // here
        "systemd/cnid.service", "systemd/cnid.socket",  // here
      ])
  }

  @Test("systemd has nothing to say about the units")
  func verify() async throws {
    let directory = try TemporaryDirectory()
    // The program is not installed here; the units are the shipped ones otherwise.
    let service = try unit("cnid.service")
    #expect(service.contains("ExecStart=/usr/local/sbin/cnid --config /etc/cnid/cnid.json\n"))
    let changed = service.split(separator: "\n", omittingEmptySubsequences: false).map {
      $0.replacing("=/usr/local/sbin/cnid", with: "=\(Program.daemon)")
    }
    try Files.write(
      directory("cnid.service"), Array(changed.joined(separator: "\n").utf8),
      mode: [.write, .create])
    try Files.write(
      directory("cnid.socket"), Array(try unit("cnid.socket").utf8), mode: [.write, .create])
    let verdict = try await Program.run([
      "systemd-analyze", "verify", "--man=no", directory("cnid.service"), directory("cnid.socket"),
    ])
    #expect(verdict.succeeded && verdict.text.isEmpty && verdict.errorText.isEmpty, "\(verdict)")
  }

  @Test("the units promise what the daemon's life depends on")
  func promises() throws {
    let service = try unit("cnid.service")
    for (key, value) in [
      ("Type", "notify"), ("KillMode", "mixed"), ("RuntimeDirectory", "cnid"),
      ("RuntimeDirectoryMode", "0700"), ("RuntimeDirectoryPreserve", "yes"),
      ("StartLimitIntervalSec", "0"), ("Restart", "always"), ("Requires", "cnid.socket"),
      ("RestartPreventExitStatus", "2"),
    ] {
      #expect(values(key, service) == [value], "\(key)")
    }
    #expect(
      values("ExecReload", service) == [
        "/usr/local/sbin/cnid --check-config --config /etc/cnid/cnid.json",
        "/bin/kill -HUP $MAINPID",
      ])
    #expect(values("WatchdogSec", service).count == 1)
    let socket = try unit("cnid.socket")
    #expect(values("ListenStream", socket) == ["/run/cnid/cnid.sock"])
    #expect(values("DirectoryMode", socket) == ["0700"])
    #expect(values("SocketMode", socket) == ["0600"])
    #expect(values("Accept", socket) == [])
  }

  @Test("no option gives the service a mount namespace: it would not see new network namespaces")
  func mounts() throws {
    let service = try unit("cnid.service")
    for key in [
      "PrivateTmp", "PrivateMounts", "PrivateDevices", "ProtectSystem", "ProtectHome",
      "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups",
      "ProtectProc", "ProcSubset", "ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths",
      "TemporaryFileSystem", "BindPaths", "BindReadOnlyPaths", "RootDirectory", "MountFlags",
      "PrivateNetwork", "PrivateUsers", "DynamicUser", "LogNamespace",
    ] {
      #expect(values(key, service) == [], "\(key)")
    }
  }

  @Test("with the capabilities of the unit and no new privileges, pods come and go")
  func capabilities() async throws {
    let kept = try #require(values("CapabilityBoundingSet", unit("cnid.service")).first)
    #expect(values("NoNewPrivileges", try unit("cnid.service")) == ["yes"])
    let set =
      "-all,"
      + kept.split(separator: " ").map { "+\($0.dropFirst(4).lowercased())" }
      .joined(separator: ",")
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      let process = try await node.launch(
        through: "exec setpriv --no-new-privs --bounding-set \(set) \"$0\" \"$@\"")
      let socket = node.socket
      #expect(
        try await eventually(within: 15_000) {
          (try? RawHTTP.get("/readyz", socket, within: 1000).status) == 200
        })
      let status = String(
        decoding: try Files.read("/proc/\(process.pid)/status"), as: UTF8.self)
      #expect(status.contains("NoNewPrivs:\t1\n"))
      #expect(!status.contains("CapBnd:\t000001ff"))
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      try await node.delete(pod, node.macvlan())
    }
  }

  @Test("cnid.json is found good by the real daemon")
  func configuration() async throws {
    let file = "\(Self.config)/cnid.json"
    let run = try await Program.run([Program.daemon, "--check-config", "--config", file])
    #expect(run.succeeded && run.text == "\(file): ok\n", "\(run)")
  }

  /// What a runtime makes of a list for its first plugin, with the node's directory.
  private func network(_ file: String, _ node: TestNode) throws -> JSONValue {
    let list = try JSONValue.parse(Files.read("\(Self.config)/net.d/\(file)"))
    var network: JSONValue = [
      "cniVersion": list["cniVersion"] ?? .null, "name": list["name"] ?? .null,
    ]
    for member in try #require(list.at("plugins", 0)?.object).members {
      network = network.setting(member.key, member.value)
    }
    return network.setting("daemonSocketDir", .string(node.socketDirectory))
  }

  @Test("the macvlan network works as it is, but for the names of a node")
  func macvlan() async throws {
    try await withTestNode { node in
      let network = try network("10-macvlan.conflist", node).setting("master", "uplink")
      let pod = try await TestPod()
      let result = try await node.add(pod, network)
      #expect(result.at("ips", 0) != nil)
      try await node.delete(pod, network)
    }
  }

  @Test("the ovs network works as it is, but for the names of a node", .openVSwitch)
  func ovs() async throws {
    try await withOVSNode { here in
      let file = try network("20-ovs.conflist", here.node)
      // A runtime hands over the limits of those networks only that say so.
      #expect(file.at("capabilities", "bandwidth") == true)
      let network = file.setting("bridge", "br0").setting("socket_file", .string(here.ovs.address))
        .setting("runtimeConfig", ["bandwidth": ["egressRate": 10_000_000]])
      let pod = try await TestPod()
      let result = try await here.node.add(pod, network)
      #expect(result.at("ips", 0) != nil)
      #expect(try await here.port(of: pod)?.text("tag") == "10")
      #expect(here.node.log.contains("egress limit of 10000000 bit/s"))
      try await here.node.delete(pod, network)
    }
  }

  @Test("the set of networks is found good, and works as it is, but for the places of a node")
  func delegate() async throws {
    let file = "\(Self.config)/net.d/40-delegate.conflist"
    let check = try await Program.run([
      Program.daemon, "--config", "\(Self.config)/cnid.json", "--check-config", "--network", file,
    ])
    #expect(check.succeeded, "\(check)")
    try await withSetNode { here in
      var network = try network("40-delegate.conflist", here.node)
        .setting("cacheDir", .string(here.node.directory("cache")))
      // The programs of the node and their files are the test's.
      let (bridge, storage) = (
        try #require(network.at("delegates", 0)), try #require(network.at("delegates", 1))
      )
      let leases = (bridge["ipam"] ?? [:]).setting("dataDir", .string(here.node.dataDirectory))
      let macvlan = (storage.at("plugins", 0) ?? [:]).setting("master", "uplink")
      network = network.setting(
        "delegates",
        [
          bridge.setting("ipam", leases),
          storage.setting("plugins", [macvlan, storage.at("plugins", 1) ?? [:]]),
        ])
      let pod = try await TestPod()
      let result = try await here.add(pod, network)
      #expect(result.at("ips", 0, "address") == "10.88.0.2/24")
      #expect(try await pod.network.addresses("net1") == ["10.89.0.2/24"])
      #expect(try await pod.network.link("net1")?["mtu"] == 1400)
      try await here.delete(pod, network)
      #expect(here.node.records == [] && here.node.leases == [] && here.cached == [])
    }
  }

  @Test("A fault in a network of a set is found before a pod needs it")
  func faultyDelegate() async throws {
    let directory = try TemporaryDirectory()
    let set: JSONValue = [
      "cniVersion": "1.0.0", "name": "pods", "type": "cni-shim", "plugin": "delegate",
      "delegates": [
        ["type": "bridge", "whatever": 1],
        ["name": "a", "plugins": [["type": "macvlan", "mastre": "eth0"]]],
        ["name": "b", "type": "macvlan", "mode": "none"],
      ],
    ]
    try Files.write(directory("set.conf"), set.bytes, mode: [.write, .create])
    let check = try await Program.run([
      Program.daemon, "--config", "\(Self.config)/cnid.json", "--check-config", "--network",
      directory("set.conf"),
    ])
    #expect(check.status == .exited(1), "\(check)")
    let text = check.text + check.errorText
    for words in [
      "delegates[1].plugins[0]: unknown key \"mastre\" (did you mean \"master\"?)",
      "delegates[2]: ",
    ] {
      #expect(text.contains(words), "\(text)")
    }
    #expect(!text.contains("whatever"), "\(text)")
  }

  @Test("the vrouter network works as it is, but for the places of a node")
  func vrouter() async throws {
    try await withVRouterNode { here in
      let file = try network("30-vrouter.conflist", here.node)
      let contrail = try #require(file["contrail"])
      let network = file.setting(
        "contrail", contrail.setting("config-dir", .string(here.portFiles)))
      let pod = try await TestPod()
      // An agent needs its time with a new port.
      here.agent.change { $0.visibleDelay = 200 }
      let result = try await here.add(pod, network)
      #expect(result.at("ips", 0, "address") == "10.47.255.231/12")
      #expect((1...2).contains(here.agent.requests("GET", "/vm/").count))
      try await here.delete(pod, network)
      #expect(here.agent.subscriptions == [])
    }
  }
}
