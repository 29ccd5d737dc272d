import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// A system call that the daemon makes, and how it may fail.
struct Seam: Sendable, CustomTestStringConvertible {
  let call: String
  let errors: [String]

  init(_ call: String, _ errors: String...) { (self.call, self.errors) = (call, errors) }

  var testDescription: String { call }

  /// Every seam; one that no call of the daemon reaches fails its test.
  ///
  /// close(2) is none: strace would keep the descriptor open, which no kernel does.
  static let all = [
    Seam("openat", "EMFILE", "ENOMEM", "EINTR", "ENOSPC"),
    Seam("read", "EIO", "EINTR", "ENOMEM"),
    Seam("write", "ENOSPC", "EINTR", "EIO"),
    Seam("renameat2", "ENOSPC", "EIO"),
    Seam("link", "ENOSPC", "ENOMEM"),
    Seam("unlink", "EIO", "ENOMEM"),
    Seam("flock", "ENOLCK", "EINTR", "EAGAIN"),
    Seam("newfstatat", "ENOMEM", "EIO"),
    Seam("utimensat", "EIO", "ENOMEM"),
    Seam("getdents64", "EIO", "ENOMEM"),
    Seam("ioctl", "EINTR", "ENOMEM"),
    Seam("socket", "EMFILE", "ENOMEM", "ENOBUFS"),
    Seam("bind", "ENOMEM"),
    Seam("setsockopt", "ENOMEM", "ENOBUFS"),
    Seam("getsockopt", "ENOMEM", "ENOBUFS"),
    Seam("sendto", "ENOBUFS", "ENOMEM", "EINTR", "EAGAIN"),
    Seam("recvfrom", "ENOBUFS", "ENOMEM", "EINTR", "EAGAIN"),
    Seam("poll", "EINTR", "ENOMEM"),
    Seam("setns", "ENOMEM", "EPERM"),
    Seam("clone3", "EAGAIN", "ENOMEM"),
    Seam("eventfd2", "EMFILE", "ENOMEM"),
    Seam("getrandom", "EINTR", "EAGAIN"),
    Seam("accept4", "EMFILE", "ENOMEM", "EINTR", "ECONNABORTED"),
    Seam("epoll_ctl", "ENOMEM", "ENOSPC"),
    Seam("epoll_wait", "EINTR"),
  ]
}

/// A node whose daemon's system calls fail, and its calls.
private struct FaultNode: Sendable {
  let node: TestNode
  let input: JSONValue
  /// The same for UPDATE.
  let changed: JSONValue
  /// The agent that the daemon talks to, and its files.
  var vrouter: VRouterNode?
  /// What figures are printed with.
  var label = ""

  /// A daemon that does not answer shall not take long.
  init(_ node: TestNode, _ input: JSONValue) {
    self.node = node
    self.input = input.setting("daemonTimeout", 5)
    changed = self.input.setting("mtu", 1400)
  }

  init(_ here: OVSNode) {
    self.init(here.node, here.network())
    label = " with ovs"
  }

  /// Has the agent know the pod.
  init(_ here: VRouterNode, _ pod: TestPod) {
    here.agent.change {
      $0.configure(
        "k8s__default__\(pod.containerID)", uuid: VRouterFixture.podUID, VRouterFixture.one)
    }
    let quick: [String: JSONValue?] = [
      "poll-timeout": .number(JSONNumber(text: "0.05") ?? JSONNumber(1))
    ]
    let top: [String: JSONValue?] = ["cniVersion": "1.1.0", "daemonTimeout": 5]
    node = here.node
    vrouter = here
    input = here.network(quick, top: top)
    changed = here.network(quick.merging(["mtu": 1400]) { $1 }, top: top)
    label = " with vrouter"
  }

  /// ADD, UPDATE, GC that keeps nothing, and DEL.
  var calls: [(command: String, input: JSONValue)] {
    [
      ("ADD", input), ("UPDATE", changed), ("GC", input.setting("cni.dev/valid-attachments", [])),
      ("ADD", input), ("DEL", input),
    ]
  }
}

/// Every system call of the shipped daemon fails in turn, once at each place where it is made.
///
/// `when=N` of strace counts for each thread and call. Calls come one at a time, so the same worker has them all,
/// and N goes up until nothing was hit. Each place gets the next of the seam's errors; all of them at every place
/// with `CNI_TEST_ALL_FAULTS=1`.
@Suite(
  .daemonLog,
  .shippedPrograms("a sanitizer makes system calls of its own, and does not bear to fail"))
struct FaultTests {
  @Test(
    "A system call fails: an honest answer, nothing left, and the daemon is as before",
    arguments: Seam.all)
  func systemCall(seam: Seam) async throws {
    try await withTestNode { node in
      try await fail(seam, FaultNode(node, node.macvlan()), try await TestPod())
    }
  }

  @Test(
    "The same where the daemon talks to Open vSwitch", .openVSwitch,
    arguments: Seam.all.filter { Self.ofOpenVSwitch.contains($0.call) })
  func systemCallOfOVS(seam: Seam) async throws {
    try await withOVSNode { here in
      try await fail(seam, FaultNode(here), try await TestPod())
    }
  }

  @Test("The same where the daemon talks to a vRouter agent", arguments: ofVRouter)
  func systemCallOfVRouter(seam: Seam) async throws {
    try await withVRouterNode { here in
      let pod = try await TestPod()
      try await fail(seam, FaultNode(here, pod), pod)
    }
  }

  /// What connections to the agent, its port files and their directories need.
  private static let ofVRouter =
    [
      Seam("connect", "ENETUNREACH", "ETIMEDOUT", "EINTR"), Seam("fsync", "EIO", "ENOSPC", "EINTR"),
      Seam("mkdir", "ENOSPC", "EROFS"), Seam("chmod", "EPERM", "EIO"),
      Seam("rename", "ENOSPC", "EXDEV"), Seam("rmdir", "EBUSY", "EIO"),
    ]
    + Seam.all.filter {
      [
        "openat", "write", "unlink", "newfstatat", "getdents64", "socket", "getsockopt", "sendto",
        "recvfrom", "poll",
      ].contains($0.call)
    }

  /// The calls that a connection to the database, links of another kind and their settings need.
  private static let ofOpenVSwitch = [
    "read", "ioctl", "socket", "setsockopt", "sendto", "recvfrom", "poll", "clone3", "eventfd2",
  ]

  private func fail(_ seam: Seam, _ here: FaultNode, _ pod: TestPod) async throws {
    let (node, calls) = (here.node, here.calls)
    // What is started and made once.
    for call in calls + calls { _ = try await node.shim(call.command, pod, call.input) }
    let before = try await here.quiet(pod)
    let threads = node.daemon?.usage.threads ?? 0
    let all = Program.environment["CNI_TEST_ALL_FAULTS"] != nil
    var hits = 0
    for place in 1...200 {
      let errors = all ? seam.errors : [seam.errors[(place - 1) % seam.errors.count]]
      var wasHit = false
      for error in errors {
        let fault = "\(seam.call) \(error) at \(place)"
        let strace = try await Strace(node, inject: "\(seam.call):error=\(error):when=\(place)")
        var answers: [String] = []
        for call in calls {
          let run = try await node.shim(call.command, pod, call.input)
          answers.append("\(call.command): \(run)")
          if !run.succeeded {
            let code = run.code
            #expect(code != nil && code != 999, "\(fault): \(call.command): \(run)")
          }
        }
        let trace = try await strace.end()
        wasHit = wasHit || trace.contains("INJECTED")
        // Nothing fails any more.
        try #require(node.daemon?.status == nil, "\(fault): the daemon died: \(answers)")
        for command in ["DEL", "ADD", "DEL"] {
          let run = try await node.shim(command, pod, here.input.setting("daemonTimeout", 20))
          #expect(run.succeeded, "\(fault): \(command) afterwards: \(run); before: \(answers)")
        }
        let after = try await here.settled(pod, to: before)
        #expect(after == before, "\(fault): \(answers)\n\(trace)")
        // Up to four workers stay idle; calls one at a time had one.
        #expect(node.daemon?.usage.threads ?? 0 <= threads + 3, "\(fault): \(answers)")
        if after != before { return }
      }
      if !wasHit { break }
      hits += 1
    }
    #expect(hits > 0, "no call of the daemon reaches \(seam.call)")
    print("figure: \(seam.call) failed at \(hits) places\(here.label)")
  }
}

/// What a fault must not change; ports of a switch are among the node's links.
private struct State: Equatable, Sendable {
  var podLinks: [String]
  var nodeLinks: [String]
  var leases: [String]
  var records: [String]
  /// Port files with their directories, and ports at the agent.
  var ports: [String]
  var descriptors: Int
  /// The signals that the main thread blocks, as /proc shows them.
  var blockedSignals: String
}

extension FaultNode {
  private func state(_ pod: TestPod) async throws -> State {
    let usage = node.daemon?.usage
    let status = try Files.read("/proc/\(node.daemon?.pid ?? 0)/status")
    let blocked = String(decoding: status, as: UTF8.self).split(separator: "\n")
      .first { $0.hasPrefix("SigBlk:") }
    return State(
      podLinks: try await pod.network.links(), nodeLinks: try await node.network.links(),
      leases: node.leases, records: node.records, ports: ports,
      descriptors: usage?.descriptors ?? 0,
      blockedSignals: String(blocked ?? ""))
  }

  private var ports: [String] {
    guard let vrouter else { return [] }
    return TemporaryDirectory.files(below: vrouter.ports)
      // The work area inside is the second choice.
      + ((try? Files.list(vrouter.portFiles)) ?? []).filter { $0 != ".cni" }.sorted()
      + vrouter.agent.subscriptions.map(\.description) + vrouter.agent.violations
  }

  /// The state when nothing is closed or ended any more.
  func quiet(_ pod: TestPod) async throws -> State {
    var last = try await state(pod)
    for _ in 0..<20 {
      await onThread { Clock.pause(milliseconds: 400) }
      let state = try await state(pod)
      if state == last { break }
      last = state
    }
    return last
  }

  /// The state as soon as it is the expected one, or after 3 s.
  ///
  /// An agent that seemed not to answer is told later: a DEL does not wait for it, and the daemon comes back.
  func settled(_ pod: TestPod, to expected: State) async throws -> State {
    let deadline = Deadline.after(seconds: vrouter == nil ? 3 : 20)
    while true {
      let state = try await state(pod)
      if state == expected || deadline.isOver { return state }
      await onThread { Clock.pause(milliseconds: 20) }
    }
  }
}

/// strace at work on a node's daemon.
struct Strace: Sendable {
  private let process: RunningProcess
  private let output: String

  /// Attaches to every thread of the daemon.
  init(_ node: TestNode, inject: String) async throws {
    let (output, log) = (node.directory("trace"), node.directory("strace.log"))
    let call = inject.split(separator: ":")[0]
    for file in [output, log] { _ = try? Files.remove(file) }
    guard let pid = node.daemon?.pid else { throw TestError("no daemon to trace") }
    process = try await onThread {
      try RunningProcess(
        [
          Program.find("strace"), "-f", "-p", "\(pid)", "-o", output, "-e", "trace=\(call)", "-e",
          "inject=\(inject)",
        ], log: log)
    }
    self.output = output
    let attached = try await eventually {
      String(decoding: (try? Files.read(log)) ?? [], as: UTF8.self).contains(" attached")
    }
    guard attached else {
      throw TestError("strace did not attach: \(process.status.map { "\($0)" } ?? "runs")")
    }
  }

  /// Lets the daemon go, and tells what was traced.
  func end() async throws -> String {
    process.signal(.terminate)
    guard try await process.ended() != nil else { throw TestError("strace does not end") }
    return String(decoding: try Files.read(output), as: UTF8.self)
  }
}
