import FakeVRouter
import JSON
import Linux
import TestSupport
import Testing

/// Sandboxes of several pods come and go at once while the agent fails in turn.
@Suite(.daemonLog) struct StormTests {
  /// One pod and its two sandboxes.
  private struct Inhabitant: Sendable {
    let identity: PodIdentity
    let sandboxes: [TestPod]
  }

  private func inhabitants(_ here: VRouterNode, _ count: Int) async throws -> [Inhabitant] {
    var all: [Inhabitant] = []
    for number in 0..<count {
      let identity = PodIdentity(
        "default", "storm-\(number)", "\(number)f0c7a1e-3b52-4d68-9a41-0c2b7de91f34")
      var interface = Fixture.interface(Fixture.vmi1)
      interface.id = "\(number)b6d9c53-8e1f-11ee-9c2a-525400a1b2c3"
      interface.mac = "02:0b:6d:9c:53:0\(number)"
      interface.annotations = AgentInterface.annotations(
        0, of: 1, network: "default", pod: identity.name)
      here.agent.change { [interface] in
        $0.configure("k8s__default__\(identity.name)", uuid: identity.uid, [interface])
      }
      all.append(
        Inhabitant(
          identity: identity,
          sandboxes: [
            try await TestPod("storm\(number)a"), try await TestPod("storm\(number)b"),
          ]))
    }
    return all
  }

  /// Makes the agent fail in turn until the storm is over.
  private func fail(_ agent: FakeAgent, seed: UInt64, until isOver: Locked<Bool>) async throws {
    try await onThread {
      var random = Mutator(seed: seed, corpus: [])
      let faults: [AgentAnswer] = [
        .error(500, "{ busy }"), .hang, .close, .closeAfterHead, .garbage,
        .memory.after(milliseconds: 150),
      ]
      let places = [("GET", "/vm-cfg"), ("POST", "/vm"), ("GET", "/vm/"), ("DELETE", "/vm")]
      while !isOver.value {
        if random.number(below: 5) == 0 {
          try agent.restart(gap: random.number(below: 100))
        } else {
          let (method, prefix) = places[random.number(below: places.count)]
          // No agent says of a pod that it is to forget that it does not know it.
          let likely = method == "DELETE" ? faults : faults + [.notFound]
          agent.script(method, prefix, [likely[random.number(below: likely.count)]])
          Clock.pause(milliseconds: 20 + random.number(below: 200))
          agent.script(method, prefix, [])
        }
        Clock.pause(milliseconds: random.number(below: 100))
      }
    }
  }

  /// What one pod's runtime does: sandboxes come, go, and overlap.
  private func live(
    _ one: Inhabitant, _ network: JSONValue, seed: UInt64, _ here: VRouterNode
  ) async throws -> [ProgramResult] {
    var random = Mutator(seed: seed, corpus: [])
    var failed: [ProgramResult] = []
    for _ in 0..<20 {
      let (first, second) = (one.sandboxes[0], one.sandboxes[1])
      let commands = [random.number(below: 2), random.number(below: 2)].map {
        $0 == 0 ? "ADD" : "DEL"
      }
      async let a = here.shim(commands[0], first, network, as: one.identity)
      if random.number(below: 2) == 0 {
        let pause = random.number(below: 100)
        await onThread { Clock.pause(milliseconds: pause) }
      }
      async let b = here.shim(commands[1], second, network, as: one.identity)
      for (command, run) in zip(commands, [try await a, try await b])
      where command == "DEL" && !run.succeeded {
        failed.append(run)
      }
    }
    return failed
  }

  /// Kills the daemon now and then, and starts it again.
  private func kill(_ node: TestNode, until isOver: Locked<Bool>) async throws {
    while !isOver.value {
      await onThread { Clock.pause(milliseconds: 400) }
      try await node.kill()
      try await node.start()
    }
  }

  /// Pods that have a link and no port at the agent, or two sandboxes with one.
  private func unconnected(_ all: [Inhabitant], _ here: VRouterNode) async throws -> [String] {
    var found: [String] = []
    for one in all {
      var holders = 0
      for sandbox in one.sandboxes where try await sandbox.network.links() != [] { holders += 1 }
      let isKnown = here.agent.subscriptions.contains { $0.vm == one.identity.uid }
      if holders > 1 || (holders == 1) != isKnown {
        found.append("\(one.identity.name): \(holders) sandboxes, known: \(isKnown)")
      }
    }
    return found
  }

  @Test(
    "Whatever overlaps, fails and is killed, every DEL succeeds, and nothing is left in the end",
    arguments: [false, true])
  func storm(kills: Bool) async throws {
    try await withVRouterNode { here in
      let seed = KernelClock.real
      print("storm: seed \(seed)")
      let all = try await inhabitants(here, 6)
      let sandboxes = all.flatMap(\.sandboxes)
      let before = try await here.state(sandboxes)
      let network = here.network(["poll-timeout": JSONValue(text: "0.1"), "add-timeout": 3])
      let (isOver, agent) = (Locked(false), here.agent)
      async let failing: Void = fail(agent, seed: seed, until: isOver)
      async let killing: Void = kills ? kill(here.node, until: isOver) : ()
      let failed = try await withThrowingTaskGroup(of: [ProgramResult].self) { group in
        for (number, one) in all.enumerated() {
          group.addTask {
            try await live(one, network, seed: seed &+ UInt64(number) &+ 1, here)
          }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      isOver.withLock { $0 = true }
      try await failing
      try await killing
      #expect(failed.isEmpty, "\(failed.first.map { "\($0)" } ?? "")")
      var strange = try await unconnected(all, here)
      for _ in 0..<100 * Program.patience where !strange.isEmpty {
        await onThread { Clock.pause(milliseconds: 200) }
        strange = try await unconnected(all, here)
      }
      #expect(strange == [])
      for one in all {
        for sandbox in one.sandboxes {
          try await here.delete(sandbox, network, as: one.identity)
        }
      }
      let left = try await here.leftovers(since: before, sandboxes, within: 60_000)
      #expect(left == [])
      #expect(here.node.daemon?.status == nil)
    }
  }
}
