import JSON
import Linux
import TestSupport
import Testing

/// The daemon's start and end, its directories, its settings and its command line.
@Suite(.daemonLog) struct DaemonLifeTests {
  @Test("The socket is private, and so is its directory")
  func modes() async throws {
    try await withTestNode { node in
      let socket = try Files.status(node.socket)
      #expect(socket.kind == .socket && socket.permissions == 0o600 && socket.owner == 0)
      let directory = try Files.status(node.socketDirectory)
      #expect(directory.permissions == 0o700 && directory.owner == 0)
      #expect(try Files.status(node.stateDirectory).permissions == 0o700)
    }
  }

  @Test("A socket directory that others may write to is refused and left alone")
  func openDirectory() async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      try Files.makeDirectory(node.socketDirectory, permissions: 0o755)
      try Files.setPermissions(node.socketDirectory, 0o775)
      let process = try await node.launch()
      let status = try await process.ended()
      #expect(status != nil && status != .exited(0))
      #expect(node.log.contains("insecure permissions"), "\(node.log)")
      #expect(try Files.status(node.socketDirectory).permissions == 0o775)
    }
  }

  @Test("A socket directory as Kubernetes makes it is tightened")
  func enteredDirectory() async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      try Files.makeDirectory(node.socketDirectory, permissions: 0o755)
      try Files.setPermissions(node.socketDirectory, 0o755)
      try await node.start()
      #expect(try Files.status(node.socketDirectory).permissions == 0o700)
    }
  }

  @Test("A namespace below /var/run is found where a container lacks the link to /run")
  func withoutLink() async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      try await node.launch(through: "mount -t tmpfs none /var")
      try await node.waitUntilReady()
      let pod = try await TestPod()
      let path = "/run/\(pod.containerID)"
      _ = try await Program.run(["ln", "-s", pod.netns, path])
      defer { try? Files.remove(path) }
      let run = try await node.shim("ADD", pod, node.macvlan(), ["CNI_NETNS": "/var\(path)"])
      #expect(run.succeeded, "\(run)")
      #expect(try await pod.network.links() == ["eth0"])
    }
  }

  @Test("A socket directory of another owner is refused")
  func foreignDirectory() async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      try Files.makeDirectory(node.socketDirectory)
      _ = try await Program.run(["chown", "65534", node.socketDirectory])
      let status = try await node.launch().ended()
      #expect(status != nil && status != .exited(0))
      #expect(node.log.contains("insecure owner"), "\(node.log)")
    }
  }

  @Test("A socket directory that is a mount point is used if it is private, else refused")
  func mountPoint() async throws {
    for (permissions, serves) in [(0o777, false), (0o700, true)] as [(UInt32, Bool)] {
      try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
        let volume = node.directory("volume")
        try Files.makeDirectory(volume)
        try Files.setPermissions(volume, permissions)
        try Files.makeDirectory(node.socketDirectory)
        try await node.launch(
          through: "mount --bind \(volume) \(node.socketDirectory)")
        let process = try #require(node.daemon)
        // The volume has the socket under its other name, outside of the daemon's mount namespace.
        _ = try await eventually {
          process.status != nil
            || (try? RawHTTP.get("/readyz", "\(volume)/cnid.sock").status) == 200
        }
        #expect((process.status == nil) == serves, "\(node.log)")
        if !serves { #expect(node.log.contains("insecure permissions")) }
      }
    }
  }

  @Test("An old socket that nobody serves is replaced")
  func staleSocket() async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      try Files.makeDirectory(node.socketDirectory)
      try UnixSocket.leaveDead(node.socket)
      try await node.start()
      #expect(try await node.http("GET", "/healthz").status == 200)
    }
  }

  @Test("Standard descriptors that are closed at the start lead to /dev/null, nothing else")
  func closedDescriptors() async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      let process = try await node.launch(through: "exec 0<&- 1>&- 2>&-")
      let isReady = try await eventually {
        (try? RawHTTP.get("/readyz", node.socket).status) == 200
      }
      #expect(isReady)
      let null = try Files.status("/dev/null")
      for number in 0...2 {
        let status = try Files.status("/proc/\(process.pid)/fd/\(number)")
        #expect(status.inode == null.inode && status.device == null.device)
      }
    }
  }

  @Test("A socket whose file was removed is there again, and pods are attached")
  func removedSocket() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try Files.remove(node.socket)
      try await node.add(pod, node.macvlan())
      // It listens before it says so.
      #expect(
        try await becomes { node.log.contains("the socket's file was gone; cnid listens again") })
      try await node.delete(pod, node.macvlan())
    }
  }

  @Test("After kill -9 the next daemon serves at the same place")
  func killed() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      try await node.kill()
      try await node.start()
      try await node.delete(pod, node.macvlan())
      #expect(try await pod.network.links() == [])
      #expect(node.leases == [] && node.records == [])
    }
  }

  @Test("A socket that somebody serves is not taken away")
  func livingSocket() async throws {
    try await withTestNode { node in
      let other = try TemporaryDirectory()
      try Files.write(
        other("cnid.json"),
        (["socketDir": .string(node.socketDirectory), "stateDir": .string(other("state"))]
          as JSONValue).bytes, mode: [.write, .create])
      let run = try await Program.run(
        [Program.daemon, "--config", other("cnid.json")], within: 10_000)
      #expect(run.status != .exited(0))
      #expect(try await node.http("GET", "/healthz").status == 200)
    }
  }

  @Test("SIGTERM ends the daemon by itself, with status 0, and attachments stay")
  func terminate() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      #expect(try await node.stop() == .exited(0))
      #expect(try await pod.network.links() == ["eth0"])
      try await node.start()
      try await node.delete(pod, node.macvlan())
      #expect(try await pod.network.links() == [])
    }
  }

  @Test("A call that waits while the daemon is exchanged succeeds")
  func exchanged() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      _ = try await node.stop()
      let absent = Locked<FakeDaemon?>(try FakeDaemon(node.socket, [], probes: 1000))
      async let called = node.shim("ADD", pod, node.macvlan())
      let waits = try await eventually { absent.value?.probes.isEmpty == false }
      #expect(waits)
      absent.withLock { $0 = nil }
      try await node.start()
      let run = try await called
      #expect(run.succeeded, "\(run)")
    }
  }

  @Test("A peer that is not root is refused, wherever the socket is reachable for it")
  func foreignPeer() async throws {
    try await withTestNode { node in
      for path in [node.directory.path, node.socketDirectory] {
        try Files.setPermissions(path, 0o755)
      }
      try Files.setPermissions(node.socket, 0o666)
      let run = try await Program.run([
        "setpriv", "--reuid", "65534", "--clear-groups", "curl", "-sS", "-o", "/dev/null", "-w",
        "%{http_code}", "--unix-socket", node.socket, "http://dummy/healthz",
      ])
      #expect(run.text == "403", "\(run)")
    }
  }

  @Test(
    "A setting that is unknown, of the wrong type or of no sense is named",
    arguments: [
      ("sokcetDir", "/x"), ("maxConcurrent", "16"), ("maxConcurrent", 0), ("maxQueued", -1),
      ("requestTimeout", true), ("logLevel", "loud"), ("logFormat", "xml"), ("binDirs", "/opt"),
      ("healthAddress", "localhost:1"), ("overrides", []), ("plugins", 7), ("stateDir", ""),
      ("podCIDR", "10.0.0.0/33"), ("socketDir", "relative/path"), ("hostRoot", "/no/such"),
    ] as [(String, JSONValue)])
  func badSetting(key: String, value: JSONValue) async throws {
    let directory = try TemporaryDirectory()
    let settings: JSONValue = [
      "socketDir": .string(directory("run")), "stateDir": .string(directory("state")),
    ]
    try Files.write(
      directory("cnid.json"), settings.setting(key, value).bytes, mode: [.write, .create])
    for arguments in [["--check-config"], []] {
      let run = try await Program.run(
        [Program.daemon, "--config", directory("cnid.json")] + arguments, within: 10_000)
      #expect(run.status != .exited(0))
      #expect((run.text + run.errorText).contains(key), "\(run)")
      // One message, not a page.
      #expect((run.text + run.errorText).split(separator: "\n").count <= 2, "\(run)")
    }
    #expect((try? Files.status(directory("run"))) == nil)
  }

  @Test("Without the right to change its root a daemon with hostRoot says what it needs")
  func hostRootWithoutRight() async throws {
    let directory = try TemporaryDirectory()
    let settings: JSONValue = [
      "socketDir": .string(directory("run")), "stateDir": .string(directory("state")),
      "hostRoot": "/",
    ]
    try Files.write(directory("cnid.json"), settings.bytes, mode: [.write, .create])
    let run = try await Program.run(
      [
        "setpriv", "--bounding-set", "-sys_chroot", Program.daemon, "--config",
        directory("cnid.json"),
      ], within: 10_000)
    #expect(run.status == .exited(2), "\(run)")
    #expect(run.errorText.contains("hostRoot: chroot /: Operation not permitted (EPERM)"))
    #expect(run.errorText.contains("CAP_SYS_CHROOT"))
  }

  @Test("The configuration that is shipped is a good one")
  func shippedSettings() async throws {
    let run = try await Program.run([
      Program.daemon, "--config", "\(Program.packageDirectory)/config/cnid.json", "--check-config",
    ])
    #expect(run.succeeded, "\(run)")
  }

  @Test("Health is also served on an IP address, if one is set, and nothing else is")
  func healthAddress() async throws {
    let options = TestNode.Options(settings: ["healthAddress": "127.0.0.1:9410"])
    try await withTestNode(options) { node in
      for (path, status) in [("healthz", "200"), ("readyz", "200"), ("cni", "404")] {
        let run = try await node.network.run([
          "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-d", "null",
          "http://127.0.0.1:9410/\(path)",
        ])
        #expect(run.text == status, "\(path): \(run)")
      }
    }
  }

  @Test("--version and --help answer and do nothing else", arguments: ["--version", "--help"])
  func information(flag: String) async throws {
    let run = try await Program.run([Program.daemon, flag], within: 10_000)
    #expect(run.succeeded && !run.output.isEmpty, "\(run)")
  }

  @Test("An unknown flag is named", arguments: ["--sokcet-dir", "extra"])
  func unknownFlag(flag: String) async throws {
    let run = try await Program.run([Program.daemon, flag], within: 10_000)
    #expect(run.status != .exited(0))
    #expect((run.text + run.errorText).contains(flag), "\(run)")
  }

  @Test("The directories of the command line win over those of the file")
  func directoriesByFlag() async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      let (run, state) = (node.directory("run2"), node.directory("state2"))
      try await node.launch(["--socket-dir", run, "--state-dir", state])
      let serving = try await eventually {
        (try? RawHTTP.get("/readyz", "\(run)/cnid.sock").status) == 200
      }
      #expect(serving, "\(node.log)")
      #expect((try? Files.status(state)) != nil)
      #expect((try? Files.status(node.socketDirectory)) == nil)
    }
  }
}
