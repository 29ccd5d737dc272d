import Addresses
import JSON
import Linux
import TestSupport
import Testing

/// The daemon under a service manager, which is played by the test: sockets handed over, news,
/// reload, watchdog.
@Suite(.daemonLog) struct SystemdTests {
  /// A node whose daemon tells its news to a socket of the test's own.
  private func withNotifiedNode(
    _ settings: JSONValue = [:], watchdog: Int? = nil,
    _ body: (TestNode, NotifySocket) async throws -> Void
  ) async throws {
    let directory = try TemporaryDirectory()
    let news = try NotifySocket(directory("notify"))
    var options = TestNode.Options(settings: settings, startsDaemon: false)
    options.environment["NOTIFY_SOCKET"] = news.address
    options.environment["WATCHDOG_USEC"] = watchdog.map { "\($0)" }
    try await withTestNode(options) { node in try await body(node, news) }
  }

  /// Collects news until there is one with this line.
  private func news(
    _ socket: NotifySocket, until line: String, within milliseconds: Int = 20_000
  ) async throws -> [String] {
    let messages = Locked<[String]>([])
    let came = try await eventually(within: milliseconds) {
      messages.withLock { $0 += socket.receive() }
      return messages.value.contains { $0.split(separator: "\n").contains { $0 == line } }
    }
    guard came else { throw TestError("no \(line) but \(messages.value)") }
    return messages.value
  }

  private func serves(_ node: TestNode) async throws -> Bool {
    let socket = node.socket
    return try await eventually(within: 20_000) {
      (try? RawHTTP.get("/readyz", socket, within: 1000).status) == 200
    }
  }

  // MARK: News

  @Test("READY comes when calls are served, STOPPING at SIGTERM")
  func life() async throws {
    try await withNotifiedNode { node, socket in
      try await node.launch()
      #expect(try await news(socket, until: "READY=1") == ["READY=1\nSTATUS=serving\n"])
      #expect(try await node.http("GET", "/readyz").status == 200)
      #expect(try await node.stop() == .exited(0))
      let last = socket.receive()
      #expect(last.first == "STOPPING=1\nSTATUS=waiting for running calls\n", "\(last)")
    }
  }

  @Test("READY does not come while another daemon owns the state, and STATUS says so")
  func waiting() async throws {
    try await withNotifiedNode { node, socket in
      try Files.makeDirectories(node.stateDirectory)
      let path = node.stateDirectory + "/lock"
      do {
        guard let lock = try FileLock.attempt(path) else { throw TestError("\(path) is locked") }
        try await node.launch()
        let told = try await news(
          socket, until: "STATUS=waiting for another cnid that owns \(node.stateDirectory)")
        #expect(!told.contains { $0.contains("READY") })
        _ = try await news(socket, until: "EXTEND_TIMEOUT_USEC=30000000")
        _ = consume lock
      }
      _ = try await news(socket, until: "READY=1")
    }
  }

  @Test("the variables of the service manager do not reach programs that the daemon executes")
  func environment() async throws {
    try await withNotifiedNode { node, socket in
      let process = try await node.launch()
      _ = try await news(socket, until: "READY=1")
      // The plugin prints what it was given.
      let program = node.directory("bin/telltale")
      try Files.makeDirectories(node.directory("bin"))
      let seen = node.directory("seen")
      let script = "#!/bin/sh\nenv >> \(seen)\necho '{\"cniVersion\":\"1.0.0\",\"ips\":[]}'\n"
      try Files.write(program, Array(script.utf8), mode: [.write, .create], permissions: 0o755)
      let pod = try await TestPod()
      let network = node.macvlan(["ipam": ["type": "telltale"]])
      _ = try await node.shim("ADD", pod, network, ["CNI_PATH": node.directory("bin")])
      _ = try await node.shim("DEL", pod, network, ["CNI_PATH": node.directory("bin")])
      let text = String(decoding: try Files.read(seen), as: UTF8.self)
      #expect(text.contains("CNI_COMMAND=ADD") && text.contains("CNI_COMMAND=DEL"))
      for name in ["NOTIFY_SOCKET", "WATCHDOG", "LISTEN_"] { #expect(!text.contains(name)) }
      _ = process
    }
  }

  // MARK: Watchdog

  @Test("the watchdog is fed twice in its time")
  func watchdog() async throws {
    try await withNotifiedNode(watchdog: 1_000_000) { node, socket in
      try await node.launch()
      _ = try await news(socket, until: "READY=1")
      let (count, passed) = await onThread {
        // Those that wait already have been sent at any time.
        _ = socket.receive()
        let start = KernelClock.monotonic
        var count = 0
        while count < 5, !isOver(since: start, 20_000) {
          count += socket.receive().count { $0 == "WATCHDOG=1\n" }
          Clock.pause(milliseconds: 5)
        }
        return (count, (KernelClock.monotonic - start) / 1_000_000)
      }
      #expect(count >= 5)
      // Every 500 ms. One that was sent or read late makes the pause before it longer.
      #expect(passed >= 1_500 && passed < 5_000 * UInt64(Program.patience), "\(passed) ms")
    }
  }

  @Test("a daemon that hangs does not feed the watchdog")
  func hanging() async throws {
    try await withNotifiedNode(watchdog: 400_000) { node, socket in
      let process = try await node.launch()
      _ = try await news(socket, until: "WATCHDOG=1")
      process.signal(.stop)
      let isStopped = try await eventually {
        let status = try Files.read("/proc/\(process.pid)/stat")
        return String(decoding: status, as: UTF8.self).contains(") T ")
      }
      #expect(isStopped)
      _ = socket.receive()
      await onThread { Clock.pause(milliseconds: 1_000) }
      #expect(socket.receive() == [])
      process.signal(.resume)
      _ = try await news(socket, until: "WATCHDOG=1")
    }
  }

  // MARK: Reload

  @Test("SIGHUP: RELOADING, then READY, and the new configuration counts")
  func reload() async throws {
    try await withNotifiedNode(["logLevel": "warning"]) { node, socket in
      let process = try await node.launch()
      _ = try await news(socket, until: "READY=1")
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      #expect(!node.log.contains("done"))
      try node.changeSettings(["logLevel": "info", "overrides": ["mtu": 1400]])
      process.signal(.hangUp)
      let told = try await news(socket, until: "READY=1")
      #expect(told.count == 2)
      #expect(told.first?.hasPrefix("RELOADING=1\nMONOTONIC_USEC=") == true, "\(told)")
      #expect(told.last == "READY=1\nSTATUS=serving\n")
      #expect(node.log.contains("configuration read again changed=logLevel,overrides"))
      let other = try await TestPod()
      try await node.add(other, node.macvlan())
      #expect(try await other.network.link("eth0")?["mtu"]?.int == 1400)
      // It is logged after the answer.
      #expect(try await becomes { node.log.contains("done") })
      try await node.delete(pod, node.macvlan())
      try await node.delete(other, node.macvlan())
    }
  }

  @Test("a file that is not good changes nothing: the error names the key, STATUS and metrics tell")
  func badFile() async throws {
    try await withNotifiedNode { node, socket in
      let process = try await node.launch()
      _ = try await news(socket, until: "READY=1")
      for (settings, fault) in [
        (["maxQueued": -1], "maxQueued: must be a whole number from 0 to 65536"),
        (["defaultPlugin": "nobody"], "defaultPlugin: no plugin \"nobody\""),
        (["nonsense": 1], "nonsense: unknown key"),
      ] as [(JSONValue, String)] {
        let good = try Files.read(node.settingsFile)
        try node.changeSettings(settings)
        process.signal(.hangUp)
        let told = try await news(socket, until: "READY=1")
        #expect(told.last?.contains("STATUS=serving; configuration not reloaded: ") == true)
        #expect(told.last?.contains(fault) == true, "\(told)")
        #expect(node.log.contains("the old one stays in force"))
        let page = try PrometheusText(try await node.http("GET", "/metrics").body)
        #expect(page.value("cnid_config_last_reload_successful") == 0)
        try Files.write(node.settingsFile, good, mode: [.write, .truncate])
      }
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      try await node.delete(pod, node.macvlan())
      process.signal(.hangUp)
      _ = try await news(socket, until: "STATUS=serving")
      let page = try PrometheusText(try await node.http("GET", "/metrics").body)
      #expect(page.value("cnid_config_last_reload_successful") == 1)
    }
  }

  @Test("what cannot change while the daemon runs is named in one warning, and stays")
  func fixed() async throws {
    try await withNotifiedNode { node, socket in
      let process = try await node.launch(["--log-level", "debug"])
      _ = try await news(socket, until: "READY=1")
      try node.changeSettings([
        "socketDir": "/elsewhere", "healthAddress": "127.0.0.1:1", "logFile": "/elsewhere/log",
        "logLevel": "error",
      ])
      process.signal(.hangUp)
      _ = try await news(socket, until: "READY=1")
      #expect(
        node.log.contains(
          "what has changed here takes effect only after a restart "
            + "keys=socketDir,healthAddress,logFile"))
      // The flag wins again.
      #expect(node.log.contains("configuration read again\n"))
      #expect(try await node.http("GET", "/readyz").status == 200)
    }
  }

  // MARK: Sockets

  @Test("systemd-socket-activate: a call that comes before the daemon starts it and is served")
  func activate() async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      try Files.makeDirectory(node.socketDirectory)
      try await node.launch(
        through: "exec systemd-socket-activate -l \(node.socket) \"$0\" \"$@\"")
      let socket = node.socket
      #expect(try await eventually { (try? Files.status(socket).kind) == .socket })
      let inode = try Files.status(socket).inode
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      try await node.delete(pod, node.macvlan())
      #expect(try Files.status(socket).inode == inode)
      #expect(try await node.stop() == .exited(0))
      // The file is the service manager's.
      #expect(try Files.status(socket).inode == inode)
    }
  }

  @Test("a call that comes while no daemon runs waits in the backlog for the next one")
  func backlog() async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      try Files.makeDirectory(node.socketDirectory)
      let listener = try UnixSocket.listen(node.socket)
      try await node.launch(listener: listener.rawValue)
      #expect(try await serves(node))
      #expect(try await node.stop() == .exited(0))
      let answer = Task { try await node.http("GET", "/healthz", within: 60_000) }
      // It has connected when its connection waits.
      let number = listener.rawValue
      try await onThread {
        _ = try Deadline.after(seconds: 60).wait(number, for: .read, "wait for a call")
      }
      try await node.launch(listener: listener.rawValue)
      #expect(try await answer.value.status == 200)
    }
  }

  @Test("at SIGTERM a running call is answered, and what comes after waits for the next daemon")
  func handover() async throws {
    let directory = try TemporaryDirectory()
    let slow = directory("slow")
    // An address program that takes its time.
    let script =
      "#!/bin/sh\ntouch \(directory("runs"))\nwhile [ ! -e \(directory("go")) ]; do sleep 0.05; done\n"
      + "echo '{\"cniVersion\":\"1.0.0\",\"ips\":[{\"address\":\"10.9.0.2/24\"}]}'\n"
    try Files.write(slow, Array(script.utf8), mode: [.write, .create], permissions: 0o755)
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      try Files.makeDirectory(node.socketDirectory)
      let listener = try UnixSocket.listen(node.socket)
      let first = try await node.launch(listener: listener.rawValue)
      #expect(try await serves(node))
      let pod = try await TestPod()
      let network = node.macvlan(["ipam": ["type": "slow"]])
      let path = ["CNI_PATH": directory.path]
      let running = Task { try await node.shim("ADD", pod, network, path) }
      #expect(
        try await eventually(within: 20_000) { (try? Files.status(directory("runs"))) != nil })
      first.signal(.terminate)
      let socket = node.socket
      #expect(
        try await eventually(within: 10_000) {
          (try? RawHTTP.get("/readyz", socket, within: 1000).status) == 500
        })
      // Another call comes while this daemon stops.
      let other = try await TestPod()
      let late = Task { try await node.shim("ADD", other, node.macvlan()) }
      try Files.write(directory("go"), [], mode: [.write, .create])
      let done = try await running.value
      #expect(done.succeeded, "\(done)")
      #expect(try await first.ended() == .exited(0))
      #expect(try Files.status(node.socket).kind == .socket)
      try await node.launch(listener: listener.rawValue)
      let waited = try await late.value
      #expect(waited.succeeded, "\(waited)")
      try await node.delete(other, node.macvlan())
      try await node.delete(pod, network, path)
    }
  }

  @Test("the probes' TCP address can be handed over too")
  func tcp() async throws {
    let address = IPAddress(v4: 0x7F00_0001)
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      let (listener, port) = try await node.network.listenTCP(address)
      try node.changeSettings(["healthAddress": .string("127.0.0.1:\(port)")])
      try await node.launch(listener: listener.descriptor)
      #expect(try await serves(node))
      let answer = try await node.network.run([
        "curl", "--silent", "--show-error", "http://127.0.0.1:\(port)/metrics",
      ])
      #expect(answer.succeeded, "\(answer)")
      #expect(try PrometheusText(answer.output).value("cnid_requests_in_flight") == 0)
    }
  }

  @Test(
    "a socket that the configuration does not know keeps the daemon from starting, and is named")
  func unexpected() async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      let path = node.directory("other.sock")
      let listener = try UnixSocket.listen(path)
      let process = try await node.launch(listener: listener.rawValue)
      #expect(try await process.ended() == .exited(2))
      #expect(
        node.log.contains(
          " error cannot start: handed-over descriptor 3 listens at \(path), which is not in the "
            + "configuration"), "\(node.log)")
    }
  }

  @Test("the directory of an activated socket must be root's alone all the same")
  func openDirectory() async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      try Files.makeDirectory(node.socketDirectory)
      try Files.setPermissions(node.socketDirectory, 0o777)
      let listener = try UnixSocket.listen(node.socket)
      let process = try await node.launch(listener: listener.rawValue)
      #expect(try await process.ended() == .exited(2))
      #expect(node.log.contains("insecure permissions on socket directory"), "\(node.log)")
    }
  }
}

extension TestNode {
  /// Puts keys over those of the daemon's file; a running daemon does not notice.
  func changeSettings(_ changes: JSONValue) throws {
    var settings = try JSONValue.parse(Files.read(settingsFile))
    for member in changes.object?.members ?? [] {
      settings = settings.setting(member.key, member.value)
    }
    try Files.write(settingsFile, settings.bytes, mode: [.write, .truncate])
  }
}

/// Keeps a listening socket open.
private final class HeldListener: Sendable {
  private let socket: FileDescriptor
  var descriptor: Int32 { socket.rawValue }
  init(_ socket: consuming FileDescriptor) { self.socket = socket }
}

extension TestNamespace {
  /// A TCP socket that listens in the namespace.
  fileprivate func listenTCP(_ address: IPAddress) async throws -> (HeldListener, UInt16) {
    try await run {
      let listener = try TCPSocket.listen(address, port: 0)
      let port = try TCPSocket.port(of: listener)
      return (HeldListener(listener), port)
    }
  }
}
