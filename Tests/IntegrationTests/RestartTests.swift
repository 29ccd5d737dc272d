import DaemonAPI
import JSON
import Linux
import TestSupport
import Testing

/// Clients that add and delete while the daemon is killed and replaced.
private struct Load {
  /// How long, in seconds; `$CNI_RESTART_SECONDS` for long runs.
  static let seconds = Program.environment["CNI_RESTART_SECONDS"].flatMap { Int($0) } ?? 30
  static let clients = 16
  static let restarts = min(20, seconds * 2 / 3)

  /// What has come of it.
  struct Tally: Sendable {
    var pairs = 0
    var failures: [String] = []
    var kills = 0
    var upgrades = 0
    var slowest = 0
  }

  let node: TestNode
  let listener: Int32?
  private let end = Deadline.after(seconds: seconds)
  /// On a machine that is too busy for enough restarts until then.
  private let lastEnd = Deadline.after(seconds: 4 * seconds)
  let tally = Locked(Tally())
  /// The pods of clients that use the same container id again and again.
  var pods: [TestPod] = []

  init(_ node: TestNode, listener: Int32?) async throws {
    self.node = node
    self.listener = listener
    for _ in 0..<Self.clients / 2 { pods.append(try await TestPod("same")) }
  }

  private var isOver: Bool {
    let tally = tally.value
    let hasRestarted = tally.kills + tally.upgrades >= Self.restarts
    return !tally.failures.isEmpty || end.isOver && hasRestarted || lastEnd.isOver
  }

  private var program: String { node.directory("cnid") }

  /// Puts a new file in the program's place, as an upgrade does.
  fileprivate func install() async throws {
    let (new, program) = (node.directory("cnid.new"), program)
    let copy = try await Program.run(["cp", Program.daemon, new])
    guard copy.succeeded else { throw TestError("cp: \(copy)") }
    try Files.rename(new, program)
  }

  func launch() async throws {
    try await node.launch(program: program, listener: listener)
  }

  func run() async throws {
    try await launch()
    try await node.waitUntilReady()
    await withTaskGroup(of: Void.self) { group in
      for index in 0..<Self.clients {
        let pod = pods.indices.contains(index) ? pods[index] : nil
        group.addTask { await client(pod) }
      }
      group.addTask { await restart() }
    }
    // What failed first is what has to be seen.
    if !tally.value.failures.isEmpty { throw TestError("\(tally.value.failures)") }
    try await node.waitUntilReady()
  }

  /// One client: ADD and DEL in turn, each of which must succeed.
  private func client(_ same: TestPod?) async {
    // How long a daemon is away is the test's doing, and on a busy machine its threads may be late.
    let configuration = node.macvlan(["daemonTimeout": 90, "unreachableTimeout": 90])
    while !isOver {
      do {
        let pod: TestPod
        if let same { pod = same } else { pod = try await TestPod("new") }
        for command in ["ADD", "DEL"] {
          let run = try await node.shim(command, pod, configuration, within: 100_000)
          let hasAddress = run.json?.at("ips", 0, "address") != nil
          guard run.succeeded, hasAddress == (command == "ADD") else {
            throw TestError("\(command) \(pod.containerID): \(run)")
          }
          tally.withLock { $0.slowest = max($0.slowest, run.milliseconds) }
        }
        tally.withLock { $0.pairs += 1 }
      } catch {
        tally.withLock { $0.failures.append("\(error)") }
        return
      }
    }
  }

  /// Kills the daemon and replaces it, in turn, at moments that nothing depends on.
  private func restart() async {
    var random = SystemRandomNumberGenerator()
    var round = 0
    do {
      while !isOver {
        let pause = Int.random(in: 20...900, using: &random)
        await onThread { Clock.pause(milliseconds: pause) }
        round += 1
        if round % 2 == 0 {
          try await node.kill()
          tally.withLock { $0.kills += 1 }
        } else {
          try await install()
          let status = try await node.stop(within: 30_000)
          // One that is not waited for may not have come to its first line yet.
          let isYoung = (round - 1) % 5 == 0 && status == .signalled(15)
          guard status == .exited(0) || isYoung else {
            throw TestError("cnid did not stop by itself: \(status.map { "\($0)" } ?? "killed")")
          }
          tally.withLock { $0.upgrades += 1 }
        }
        try await launch()
        // Now and then it is killed again before it is ready.
        if round % 5 != 0 { try await node.waitUntilReady(within: 60_000) }
      }
    } catch {
      tally.withLock { $0.failures.append("restart: \(error)") }
    }
  }
}

/// The same for both ways of listening.
private func restartUnderLoad(isActivated: Bool) async throws {
  try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
    var listener: FileDescriptor?
    if isActivated {
      try Files.makeDirectory(node.socketDirectory)
      listener = try UnixSocket.listen(node.socket)
    }
    let load = try await Load(node, listener: listener?.rawValue)
    try await load.launchOnce()
    let before = try await node.snapshot(load.pods)
    try await load.run()
    let left = try await node.leftovers(since: before, load.pods, within: 20_000)
    _ = listener?.rawValue
    #expect(left == [])
    let tally = load.tally.value
    #expect(tally.failures == [])
    #expect(tally.kills + tally.upgrades >= Load.restarts / Program.patience)
    #expect(tally.pairs >= Load.seconds / Program.patience)
    print(
      "figure: \(tally.pairs) pairs by \(Load.clients) clients in \(Load.seconds) s, "
        + "\(tally.kills) kills, \(tally.upgrades) upgrades, "
        + "\(isActivated ? "with" : "without") socket activation; slowest call \(tally.slowest) ms")
  }
}

extension Load {
  /// Has everything made that stays: directories, lease files.
  fileprivate func launchOnce() async throws {
    try await install()
    try await launch()
    try await node.waitUntilReady()
    let pod = try await TestPod()
    try await node.add(pod, node.macvlan())
    try await node.delete(pod, node.macvlan())
    try await node.kill()
  }
}

/// Restart and upgrade while sixteen clients call: no call fails, and nothing is left.
@Suite(.daemonLog) struct RestartTests {
  @Test("no call fails while cnid is killed and upgraded, the shim tries again")
  func plain() async throws { try await restartUnderLoad(isActivated: false) }
}

/// The same with a socket that outlives the daemon.
@Suite(.daemonLog) struct ActivatedRestartTests {
  @Test("no call fails while cnid is killed and upgraded, calls wait in the backlog")
  func activated() async throws { try await restartUnderLoad(isActivated: true) }
}
