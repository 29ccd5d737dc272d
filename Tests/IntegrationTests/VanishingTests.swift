import JSON
import Linux
import PluginBench
import TestSupport
import Testing

/// What a call relies on goes away under it: the pod's namespace, the clock.
@Suite(.daemonLog) struct VanishingTests {
  @Test(
    "The pod's namespace ends during ADD: an honest answer, and DEL leaves nothing",
    .shippedPrograms("the delays are placed by strace, which counts a sanitizer's calls too"),
    arguments: [
      ("openat", [1, 2, 3, 4, 6, 8]), ("setns", [1]), ("sendto", [1, 3, 5]), ("socket", [1]),
    ] as [(String, [Int])])
  func namespaceEnds(call: String, places: [Int]) async throws {
    try await withTestNode { node in
      let before = try await node.snapshot()
      let input = node.macvlan()
      for place in places {
        // Its last reference is the namespace's end.
        let pod = Locked<TestPod?>(try await TestPod())
        let environments = ["ADD", "DEL"].map { pod.value?.environment($0) ?? [:] }
        // Every thread of the daemon waits there for a while.
        let strace = try await Strace(node, inject: "\(call):delay_enter=300000:when=\(place)")
        async let run = node.network.run(
          [Program.shim], environment: environments[0], input: input.bytes)
        await onThread { Clock.pause(milliseconds: 150) }
        pod.withLock { $0 = nil }
        let add = try await run
        _ = try await strace.end()
        #expect(add.succeeded || (add.code != nil && add.code != 999), "\(call) \(place): \(add)")
        let delete = try await node.network.run(
          [Program.shim], environment: environments[1], input: input.bytes)
        #expect(delete.succeeded, "\(call) \(place): \(delete), after \(add)")
        let left = try await node.leftovers(since: before)
        #expect(left == [], "\(call) \(place): \(add)")
        try #require(node.daemon?.status == nil)
      }
    }
  }

  @Test("Clocks that are a day off after a restart change nothing", arguments: [86_400, -86_400])
  func clocks(seconds: Int) async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      let (kept, new) = (try await TestPod(), try await TestPod())
      // The boot's and the monotonic clock of a time namespace; the wall's clock has no namespace.
      let offsets = [max(0, -seconds), max(0, seconds)]
      for (turn, offset) in offsets.enumerated() {
        let process = try await node.launch(
          through:
            "exec unshare --time --boottime \(offset) --monotonic \(offset) \"$0\" \"$@\"; true")
        let socket = node.socket
        let ready = try await eventually(within: 15_000) {
          process.status != nil || (try? RawHTTP.get("/readyz", socket, within: 1000).status) == 200
        }
        try #require(ready && process.status == nil, "\(node.log)")
        if turn == 0 {
          try await node.add(kept, node.macvlan())
          try await node.kill()
        }
      }
      #expect(try await kept.network.links() == ["eth0"])
      let started = KernelClock.monotonic
      try await node.add(new, node.macvlan())
      for pod in [kept, new] {
        try await node.delete(pod, node.macvlan())
        #expect(try await pod.network.links() == [])
      }
      // Nothing waited for a clock.
      #expect((KernelClock.monotonic - started) / 1_000_000_000 < 10 * UInt64(Program.patience))
      #expect(node.leases == [] && node.records == [])
    }
  }

  @Test(
    "The wall's clock is for log lines, port files, the process's start and what file systems keep"
  )
  func wallClock() async throws {
    let run = try await Program.run([
      "grep", "-rlE", "KernelClock\\.real\\b|CLOCK_REALTIME|gettimeofday|\\btime\\(",
      "--include=*.swift", "--include=*.c", "--include=*.h",
      "\(Program.packageDirectory)/Sources",
    ])
    let files = run.text.split(separator: "\n").compactMap { $0.split(separator: "/").last }
    #expect(
      files.sorted() == [
        "AgentLog.swift", "Clocks.swift", "FileTimes.swift", "LeaseStore.swift", "Log.swift",
        "Metrics.swift", "ShimLog.swift", "VRouter+Port.swift",
      ])
  }
}
