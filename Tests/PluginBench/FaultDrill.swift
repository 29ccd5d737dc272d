import JSON
import Linux
import PluginKit
import TestSupport
import Testing

extension PluginBench {
  /// A system call of the daemon fails, once at each place where it is made: an honest answer,
  /// nothing left, and the daemon is as before.
  ///
  /// `when=N` of strace counts for each thread and call. Calls come one at a time, so the same
  /// worker has them all, and N goes up until nothing was hit. Each place gets the next of the
  /// seam's errors; all of them at every place with `CNI_TEST_ALL_FAULTS=1`.
  ///
  /// A seam that the daemon never reaches fails the test.
  package static func fail(_ seam: Seam, situation: String = "") async throws {
    let setting = try await BenchSetting(.add, situation: situation)
    var options = TestNode.Options(startsDaemon: false)
    options.program = daemon
    try await Scene.stage(options, setting) { scene in
      try await scene.node.start()
      try await FaultDrill(scene, setting.pod).fail(seam)
    }
  }

  private static var daemon: String { Scene.daemon }
}

/// The calls of a node whose daemon's system calls fail.
private struct FaultDrill<Scene: PluginScene> {
  private let scene: Scene
  private let pod: TestPod

  init(_ scene: Scene, _ pod: TestPod) { (self.scene, self.pod) = (scene, pod) }

  /// ADD, UPDATE, GC that keeps nothing, and DEL; a daemon that does not answer shall not take
  /// long.
  private var calls: [(command: String, input: JSONValue)] {
    let input = scene.configuration(.add).setting("daemonTimeout", 5)
    let collection = scene.configuration(.collect).setting("daemonTimeout", 5)
    let none: JSONValue = []
    return [
      ("ADD", input), ("UPDATE", scene.configuration(.update).setting("daemonTimeout", 5)),
      ("GC", collection.setting("cni.dev/valid-attachments", none).setting("gcLiving", true)),
      ("ADD", input), ("DEL", input),
    ]
  }

  private func call(_ command: String, _ input: JSONValue) async throws -> ProgramResult {
    try await scene.node.shim(command, pod, input, scene.environment)
  }

  func fail(_ seam: Seam) async throws {
    // What is started and made once.
    for given in calls + calls { _ = try await call(given.command, given.input) }
    let before = try await quietState()
    let threads = scene.node.daemon?.usage.threads ?? 0
    let all = Program.environment["CNI_TEST_ALL_FAULTS"] != nil
    var hits = 0
    for place in 1...200 {
      var wasHit = false
      for error in all ? seam.errors : [seam.errors[(place - 1) % seam.errors.count]] {
        switch try await fail(seam.call, error, at: place, before, threads) {
        case .hit: wasHit = true
        case .missed: break
        case .harmed: return
        }
      }
      if !wasHit { break }
      hits += 1
    }
    #expect(hits > 0, "no call of the daemon reaches \(seam.call)")
    print("figure: \(seam.call) failed at \(hits) places with \(Scene.plugin.name)")
  }

  private enum Outcome { case hit, missed, harmed }

  private func fail(
    _ call: String, _ error: String, at place: Int, _ before: State, _ threads: Int
  ) async throws -> Outcome {
    let node = scene.node
    let fault = "\(call) \(error) at \(place)"
    let strace = try await Strace(node, inject: "\(call):error=\(error):when=\(place)")
    var answers: [String] = []
    for given in calls {
      let run = try await self.call(given.command, given.input)
      answers.append("\(given.command): \(run)")
      if !run.succeeded {
        let code = run.code
        #expect(code != nil && code != 999, "\(fault): \(given.command): \(run)")
      }
    }
    let trace = try await strace.end()
    // Nothing fails any more.
    try #require(node.daemon?.status == nil, "\(fault): the daemon died: \(answers)")
    let input = scene.configuration(.add).setting("daemonTimeout", 60)
    for command in ["DEL", "ADD", "DEL"] {
      let run = try await self.call(command, input)
      #expect(run.succeeded, "\(fault): \(command) afterwards: \(run); before: \(answers)")
    }
    let after = try await settledState(before)
    #expect(after == before, "\(fault): \(answers)\n\(trace)")
    // Up to four workers stay idle; calls one at a time had one.
    let crowd = try await settled(within: 20_000) {
      let now = node.daemon?.usage.threads ?? 0
      return now <= threads + 3 ? [] : ["\(now) threads after \(threads)"]
    }
    #expect(crowd == [], "\(fault): \(answers)")
    if after != before { return .harmed }
    return trace.contains("INJECTED") ? .hit : .missed
  }

  // MARK: What a fault must not change

  /// Ports of a switch are among the node's links.
  private struct State: Equatable, Sendable {
    var podTraces: [String]
    var nodeLinks: [String]
    var leases: [String]
    var records: [String]
    /// Those of both that the daemon has open.
    var openRecords: [String]
    /// What the plugin leaves elsewhere.
    var elsewhere: [String]
    var descriptors: Int
    /// The signals that the main thread blocks, as /proc shows them.
    var blockedSignals: String
  }

  private func state() async throws -> State {
    let node = scene.node
    let usage = node.daemon?.usage
    let status = try Files.read("/proc/\(node.daemon?.pid ?? 0)/status")
    let blocked = String(decoding: status, as: UTF8.self).split(separator: "\n")
      .first { $0.hasPrefix("SigBlk:") }
    return State(
      podTraces: try await scene.traces(in: pod), nodeLinks: try await node.network.links(),
      leases: node.leases, records: node.records, openRecords: node.openRecords,
      elsewhere: try await scene.traces(), descriptors: usage?.descriptors ?? 0,
      blockedSignals: String(blocked ?? ""))
  }

  /// The state when nothing is closed or ended any more.
  private func quietState() async throws -> State {
    let start = KernelClock.monotonic
    var last = try await state()
    while true {
      await onThread { Clock.pause(milliseconds: 400) }
      let state = try await state()
      if state == last, state.openRecords == [] || isOver(since: start, 20_000) { return state }
      last = state
    }
  }

  /// The state as soon as it is the expected one, or after a while.
  ///
  /// An agent that seemed not to answer is told later: a DEL does not wait for it, and the daemon
  /// comes back.
  private func settledState(_ expected: State) async throws -> State {
    let start = KernelClock.monotonic
    while true {
      let state = try await state()
      if state == expected || isOver(since: start, 20_000) { return state }
      await onThread { Clock.pause(milliseconds: 20) }
    }
  }
}
