import JSON
import Linux
import TestSupport
import Testing

/// Everything at once that can be asked for about one container, round after round;
/// `CNI_STORM_ROUNDS` says how many.
@Suite(.daemonLog) struct SetStormTests {
  private let rounds = Int(Program.environment["CNI_STORM_ROUNDS"] ?? "") ?? 20

  private func network(_ here: SetNode) -> JSONValue {
    here.network([
      "delegates": [
        here.macvlan("10.1.2.0/24", named: "first"),
        [
          "name": "second",
          "plugins": [here.macvlan("10.1.3.0/24"), ["type": "tuning", "mtu": 1400]],
        ],
      ]
    ])
  }

  private func plugged(_ here: SetNode) -> JSONValue {
    here.macvlan("10.1.9.0/24", named: "plugged").setting("cniVersion", "1.0.0")
  }

  @Test("Hot-plug, hot-unplug, DEL, GC and recovery of one container leave nothing, and none waits")
  func storm() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      var random = SystemRandomNumberGenerator()
      for round in 1...rounds {
        try await run(here, pod, &random)
        let left = try await settled(within: 20_000) {
          try await pod.network.links() + here.node.leases + here.node.records + here.cached
        }
        guard left == [] else {
          Issue.record("round \(round): \(left); \(here.node.log.suffix(4000))")
          return
        }
      }
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
    }
  }

  private func run(
    _ here: SetNode, _ pod: TestPod, _ random: inout SystemRandomNumberGenerator
  ) async throws {
    let isAttached = Bool.random(using: &random)
    if isAttached { _ = try await here.add(pod, network(here)) }
    let dies = Int.random(in: 0..<4, using: &random) == 0
    if dies {
      try await here.node.kill()
      let step = ["macvlan.createLink", "macvlan.deleteLink", "delegate.record"]
        .randomElement(using: &random)
      try await here.node.launch(through: "export CNID_KILL_AFTER=\(step ?? "")")
      try await here.node.waitUntilReady()
    }
    let none: JSONValue = []
    let collection = network(here).setting("cni.dev/valid-attachments", none)
    let calls: [@Sendable () async -> Void] = [
      { _ = try? await here.plug("ADD", pod, plugged(here), "net5") },
      { _ = try? await here.plug("DEL", pod, plugged(here), "net5") },
      { _ = try? await here.plug("DEL", pod, second(here), "net1") },
      { _ = try? await here.call("GC", pod, collection) },
      { _ = try? await here.call("DEL", pod, network(here)) },
      { if !isAttached { _ = try? await here.call("ADD", pod, network(here)) } },
    ]
    let pauses = calls.map { _ in Int.random(in: 0...60, using: &random) }
    await withTaskGroup(of: Void.self) { group in
      for (call, pause) in zip(calls, pauses) {
        group.addTask {
          await onThread { Clock.pause(milliseconds: pause) }
          await call()
        }
      }
    }
    if dies {
      try await here.node.kill()
      try await here.node.start()
    }
    // The pod's end, as its runtime and its controller tell of it.
    try await here.delete(pod, network(here))
    let answer = try await here.plug("DEL", pod, plugged(here), "net5")
    guard answer.status == 200 else { throw TestError("DEL: \(answer)") }
  }

  private func second(_ here: SetNode) -> JSONValue {
    (network(here).at("delegates", 1) ?? [:]).setting("cniVersion", "1.0.0")
  }
}
