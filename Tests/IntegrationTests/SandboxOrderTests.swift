import CNI
import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// Sandboxes of one pod whose calls arrive in another order than they began in.
@Suite("The newest sandbox has the pod's name", .daemonLog)
struct SandboxOrderTests {
  @Test("A late ADD of an old sandbox is refused and takes nothing from the live pod: ovs")
  func lateOVS() async throws {
    try await withOVSNode { here in
      try await SandboxPods(OVSSandboxes(here)).refuseLate()
    }
  }

  @Test("A late ADD of an old sandbox is refused and takes nothing from the live pod: vrouter")
  func lateVRouter() async throws {
    try await withVRouterNode { here in
      try await SandboxPods(VRouterSandboxes(here)).refuseLate()
    }
  }

  @Test("An UPDATE of a sandbox whose name a newer one has is refused and changes nothing")
  func lateUpdate() async throws {
    try await withOVSNode { here in
      let sandboxes = OVSSandboxes(here)
      let pods = try await SandboxPods(sandboxes)
      _ = try await pods.must("ADD", pods.old, 1)
      _ = try await pods.must("ADD", pods.new, 2)
      let answer = try await pods.call("UPDATE", pods.old, 1, ["vlan": 7])
      #expect(answer.code == 11, "\(answer)")
      #expect(answer.message?.hasPrefix("superseded by sandbox") == true, "\(answer)")
      #expect(try await here.port(of: pods.new)?.text("tag") == nil)
      #expect(here.node.log.contains("to the newer \(pods.new.containerID)"))
    }
  }

  @Test("Whatever order calls arrive in, and daemons die in, the newest sandbox is attached: ovs")
  func stormOVS() async throws {
    try await withOVSNode { here in try await SandboxStorm(OVSSandboxes(here)).run() }
  }

  @Test(
    "Whatever order calls arrive in, and daemons die in, the newest sandbox is attached: vrouter")
  func stormVRouter() async throws {
    try await withVRouterNode { here in try await SandboxStorm(VRouterSandboxes(here)).run() }
  }
}

/// What a plugin's node has of a pod's sandboxes.
private protocol Sandboxes: Sendable {
  var node: TestNode { get }
  var configuration: JSONValue { get }
  /// The step after which a daemon is killed between its two records.
  var killPoint: String { get }
  func arguments(_ pod: TestPod) -> String
  /// The container ids that have the pod's name outside.
  func holders() async throws -> [String]
  /// Has the backend stand still for a moment, or go on.
  func hold(_ isHeld: Bool)
  func leftovers() async throws -> [String]
}

private struct OVSSandboxes: Sandboxes {
  private let here: OVSNode
  var node: TestNode { here.node }
  let killPoint = "ovs.addPort"

  init(_ here: OVSNode) { self.here = here }

  var configuration: JSONValue { here.network(["args": ["cni": ["ovnPort": "pod-port"]]]) }
  func arguments(_ pod: TestPod) -> String { pod.arguments }
  func hold(_ isHeld: Bool) { isHeld ? here.ovs.pauseSwitch() : here.ovs.resumeSwitch() }

  func holders() async throws -> [String] {
    try await here.ovs.records("Interface").map { $0.map("external_ids") }
      .filter { $0["iface-id"] == "pod-port" }.map { $0["sandbox"] ?? "" }
  }

  func leftovers() async throws -> [String] {
    try await here.ovs.ports("br0") + here.node.leases + here.node.records
  }
}

private struct VRouterSandboxes: Sandboxes {
  private let here: VRouterNode
  var node: TestNode { here.node }
  let killPoint = "vrouter.writePorts"

  init(_ here: VRouterNode) { self.here = here }

  var configuration: JSONValue { here.network() }
  func arguments(_ pod: TestPod) -> String { PodIdentity.web0.arguments(pod.containerID) }
  func hold(_ isHeld: Bool) { here.agent.change { $0.visibleDelay = isHeld ? 200 : 0 } }

  func holders() async throws -> [String] {
    let file = here.portFile(VRouterFixture.vmi0)
    return file?["vm-id"]?.string.map { [$0] } ?? []
  }

  func leftovers() async throws -> [String] {
    (here.portFile(VRouterFixture.vmi0).map { ["\($0)"] } ?? []) + here.node.records
  }
}

/// Two sandboxes of one pod.
private struct SandboxPods<Node: Sandboxes> {
  let here: Node
  let old: TestPod
  let new: TestPod
  private let start = Stamp.now

  init(_ here: Node) async throws {
    self.here = here
    (old, new) = (try await TestPod("old"), try await TestPod("new"))
  }

  /// A call whose shim began so many nanoseconds after the test.
  func call(
    _ command: String, _ pod: TestPod, _ time: UInt64, _ changes: [String: JSONValue?] = [:]
  ) async throws -> RawHTTP.Response {
    let stamp = Stamp(bootID: start.bootID, nanoseconds: start.nanoseconds + time)
    return try await here.node.call(
      command, pod, here.configuration.setting(changes), id: try Unique.word(), stamp: stamp,
      ["CNI_ARGS": here.arguments(pod)])
  }

  func must(
    _ command: String, _ pod: TestPod, _ time: UInt64
  ) async throws -> RawHTTP.Response {
    let answer = try await call(command, pod, time)
    guard answer.status == 200 else { throw TestError("\(command): \(answer)") }
    return answer
  }

  /// The old sandbox's ADD comes after the new one's, before and after a restart; then its DEL.
  func refuseLate() async throws {
    _ = try await must("ADD", new, 2)
    for isRestarted in [false, true] {
      if isRestarted {
        try await here.node.kill()
        try await here.node.start()
      }
      let late = try await call("ADD", old, 1)
      #expect(late.code == 11, "\(late)")
      #expect(
        late.message?.contains("superseded by sandbox \(new.containerID)") == true, "\(late)")
      #expect(try await here.holders() == [new.containerID])
      #expect(try await old.network.links() == [])
    }
    _ = try await must("DEL", old, 3)
    #expect(try await here.holders() == [new.containerID])
    #expect(try await new.network.links().contains("eth0"))
    _ = try await must("DEL", new, 4)
    #expect(try await here.leftovers() == [])
  }
}

/// Rounds of three sandboxes of one pod whose calls come at random, while the backend stands still
/// now and then and the daemon dies; `CNI_STORM_ROUNDS` says how many.
private struct SandboxStorm<Node: Sandboxes> {
  private let here: Node
  private let rounds = Int(Program.environment["CNI_STORM_ROUNDS"] ?? "") ?? 20

  init(_ here: Node) { self.here = here }

  func run() async throws {
    var random = SystemRandomNumberGenerator()
    let pods = [try await TestPod("s1"), try await TestPod("s2"), try await TestPod("s3")]
    for round in 1...rounds {
      let last = try await self.round(pods, &random)
      let holders = try await here.holders()
      guard holders == [last.containerID] else {
        let log = here.node.log.suffix(4000)
        Issue.record("round \(round): \(holders), not \(last.containerID); \(log)")
        return
      }
      for pod in pods { try await delete(pod) }
      #expect(try await settled(within: 5000) { try await here.leftovers() } == [])
    }
  }

  /// - Returns: the newest sandbox's pod, which is attached.
  private func round(
    _ pods: [TestPod], _ random: inout SystemRandomNumberGenerator
  ) async throws -> TestPod {
    let start = Stamp.now
    let order = pods.shuffled(using: &random)
    let last = order[order.count - 1]
    var calls: [(command: String, pod: TestPod, stamp: Stamp)] = order.enumerated().map {
      ("ADD", $1, Stamp(bootID: start.bootID, nanoseconds: start.nanoseconds + UInt64($0) * 10))
    }
    calls.append(
      ("DEL", order[0], Stamp(bootID: start.bootID, nanoseconds: start.nanoseconds + 5)))
    calls.append(
      ("UPDATE", order[1], Stamp(bootID: start.bootID, nanoseconds: start.nanoseconds + 15)))
    calls.shuffle(using: &random)
    let isHeld = Bool.random(using: &random)
    let dies = Bool.random(using: &random)
    if isHeld { here.hold(true) }
    if dies {
      try await here.node.kill()
      try await here.node.launch(through: "export CNID_KILL_AFTER=\(here.killPoint)")
      try await here.node.waitUntilReady()
    }
    let pauses = calls.map { _ in Int.random(in: 0...30, using: &random) }
    await withTaskGroup(of: Void.self) { group in
      for (call, pause) in zip(calls, pauses) {
        group.addTask {
          await onThread { Clock.pause(milliseconds: pause) }
          // A daemon that dies answers nothing.
          _ = try? await send(call.command, call.pod, call.stamp, id: "\(call.stamp.nanoseconds)")
        }
      }
      if isHeld {
        group.addTask {
          await onThread { Clock.pause(milliseconds: 100) }
          here.hold(false)
        }
      }
    }
    if dies {
      try await here.node.kill()
      try await here.node.start()
    }
    // The shim sends the ADD again under its id until it is answered.
    let stamp = start.nanoseconds + UInt64(order.count - 1) * 10
    let answer = try await send(
      "ADD", last, Stamp(bootID: start.bootID, nanoseconds: stamp), id: "\(stamp)")
    guard answer.status == 200 else { throw TestError("ADD of the newest: \(answer)") }
    return last
  }

  private func send(
    _ command: String, _ pod: TestPod, _ stamp: Stamp, id: String
  ) async throws -> RawHTTP.Response {
    try await here.node.call(
      command, pod, here.configuration, id: id, stamp: stamp, ["CNI_ARGS": here.arguments(pod)])
  }

  private func delete(_ pod: TestPod) async throws {
    let answer = try await send("DEL", pod, .now, id: try Unique.word())
    guard answer.status == 200 else { throw TestError("DEL: \(answer)") }
  }
}
