import JSON
import TestSupport
import Testing

/// DEL and ADD of one container again and again, while ovs-vswitchd stands still at random.
@Suite("A container that comes again, and a slow ovs-vswitchd", .daemonLog, .openVSwitch)
struct PairTests {
  /// How many pairs; what `CNI_STORM_ROUNDS` says where it is set.
  private let pairs = Int(Program.environment["CNI_STORM_ROUNDS"] ?? "") ?? 20

  @Test("Traffic flows after every ADD that has succeeded")
  func traffic() async throws {
    try await withOVSNode { here in
      let (pod, peer) = (try await TestPod(), try await TestPod())
      try await here.node.add(peer, here.network())
      let before = try await here.state([pod])
      let stutter = Task { await stumble(here.ovs) }
      defer { stutter.cancel() }
      for pair in 1...pairs {
        try await here.node.add(pod, here.network())
        // Requests are sent again while the switch stands still.
        let ping = try await pod.network.run([
          "ping", "-c1", "-i0.2", "-w\(10 * Program.patience)", "10.1.2.2",
        ])
        guard ping.succeeded else {
          Issue.record("pair \(pair): \(ping) \(here.node.log.suffix(2000))")
          return
        }
        try await here.node.delete(pod, here.network())
      }
      stutter.cancel()
      await stutter.value
      let left = try await here.leftovers(since: before, [pod], within: 20_000)
      #expect(left == [])
    }
  }

  private func stumble(_ ovs: OpenVSwitch) async {
    while !Task.isCancelled {
      ovs.pauseSwitch()
      try? await Task.sleep(for: .milliseconds(.random(in: 20...500)))
      ovs.resumeSwitch()
      try? await Task.sleep(for: .milliseconds(.random(in: 20...200)))
    }
    ovs.resumeSwitch()
  }
}
