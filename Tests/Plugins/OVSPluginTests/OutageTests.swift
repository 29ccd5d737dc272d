import JSON
import Linux
import TestSupport
import Testing

/// Open vSwitch is away, hangs or is taken down in the middle of a call.
@Suite(.daemonLog, .openVSwitch) struct OutageTests {
  @Test("DEL succeeds while the database is down: the link goes at once, the port when it is back")
  func databaseDown() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let before = try await here.state([pod])
      try await here.node.add(pod, here.network())
      try await here.ovs.stopDatabase()
      try await here.node.delete(pod, here.network())
      #expect(try await pod.network.links() == [])
      #expect(here.node.leases == [] && here.node.records.count == 1)
      #expect(here.node.log.contains("still to be done"))
      try await here.ovs.startDatabase()
      let left = try await here.leftovers(since: before, [pod], within: 20_000)
      #expect(left == [])
    }
  }

  @Test("An ADD of the same attachment takes the place of a port that no DEL could take away")
  func addedAgain() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let network = here.network(["runtimeConfig": ["bandwidth": ["ingressRate": 8_000_000]]])
      try await here.node.add(pod, network)
      here.ovs.database.pause()
      try await here.node.delete(pod, network)
      here.ovs.database.resume()
      try await here.node.add(pod, network)
      #expect(try await here.ovs.ports("br0").count == 1)
      #expect(try await here.ovs.records("QoS").count == 1)
      try await here.node.delete(pod, network)
      #expect(try await here.ovs.ports("br0") == [])
    }
  }

  @Test(
    "Without a record DEL removes link and lease with the database down, the port when it is back",
    arguments: [true, false])
  func unknown(isLost: Bool) async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let before = try await here.state([pod])
      try await here.node.add(pod, here.network())
      if isLost {
        try await here.node.kill()
        try Files.remove(try #require(try await here.record(of: pod)))
        try await here.node.start()
      } else {
        try await here.node.delete(pod, here.network())
      }
      try await here.ovs.stopDatabase()
      try await here.node.delete(pod, here.network())
      #expect(try await pod.network.links() == [])
      #expect(here.node.leases == [] && here.node.records.count == 1)
      try await here.ovs.startDatabase()
      let left = try await here.leftovers(since: before, [pod], within: 20_000)
      #expect(left == [])
    }
  }

  @Test("DEL of a network whose database was never there succeeds, again and again")
  func mistyped() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let network = here.network([
        "socket_file": .string("unix:" + here.node.directory("no-such.sock"))
      ])
      for _ in 0..<2 { try await here.node.delete(pod, network) }
      #expect(here.node.records.count == 1)
    }
  }

  @Test(
    "A database that does not answer ends ADD with its deadline, and nothing is left when it goes on"
  )
  func databaseHangs() async throws {
    try await withOVSNode { here in
      let (pod, first) = (try await TestPod(), try await TestPod("first"))
      try await here.node.add(first, here.network())
      let before = try await here.state([pod, first])
      here.ovs.database.pause()
      // Less than the connection to a silent database lasts.
      let run = try await here.node.shim("ADD", pod, here.network(["daemonTimeout": 8]))
      #expect(run.code == 105 && run.message?.contains("ovs.addPort") == true, "\(run)")
      here.ovs.database.resume()
      let left = try await here.leftovers(since: before, [pod, first], within: 30_000)
      #expect(left == [])
    }
  }

  @Test("ovs-vswitchd that does not take the port ends ADD with its deadline, which names the step")
  func switchHangs() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let before = try await here.state([pod])
      here.ovs.pauseSwitch()
      let run = try await here.node.shim("ADD", pod, here.network(["daemonTimeout": 12]))
      #expect(run.code == 105 && run.message?.contains("ovs.awaitPort") == true, "\(run)")
      here.ovs.resumeSwitch()
      let left = try await here.leftovers(since: before, [pod], within: 20_000)
      #expect(left == [])
      try await here.node.add(pod, here.network())
    }
  }

  @Test("ovs-vswitchd that is killed during ADD and comes back lets the ADD end well")
  func switchKilled() async throws {
    try await withOVSNode { here in
      let (pod, other) = (try await TestPod(), try await TestPod("other"))
      try await here.node.add(other, here.network())
      try await here.ovs.killSwitch()
      async let added = here.node.add(pod, here.network())
      #expect(try await pollAsync { try await here.port(of: pod) != nil })
      try await here.ovs.startSwitch()
      _ = try await added
      #expect(try await pod.network.pings("10.1.2.2"))
    }
  }

  @Test("The database restarts during ADDs and DELs, and none of them fails")
  func databaseRestarts() async throws {
    try await withOVSNode { here in
      let before = try await here.state()
      // A database that was never there is another matter.
      let first = try await TestPod("first")
      try await here.node.add(first, here.network())
      try await here.node.delete(first, here.network())
      let stop = Locked(false)
      async let pairs = withThrowingTaskGroup(of: Int.self) { group in
        for index in 0..<3 {
          group.addTask {
            var count = 0
            // One pair at least, however quickly the restarts are over.
            repeat {
              let pod = try await TestPod("pod\(index)")
              try await here.node.add(pod, here.network())
              try await here.node.delete(pod, here.network())
              count += 1
            } while !stop.value
            return count
          }
        }
        return try await group.reduce(0, +)
      }
      for _ in 0..<4 {
        await onThread { Clock.pause(milliseconds: 400) }
        try await here.ovs.stopDatabase()
        try await here.ovs.startDatabase()
      }
      stop.withLock { $0 = true }
      #expect(try await pairs >= 3)
      let left = try await here.leftovers(since: before, within: 20_000)
      #expect(left == [])
    }
  }

  @Test("A bridge that goes during ADD ends it with an error, and nothing is left")
  func bridgeGone() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      here.ovs.pauseSwitch()
      async let run = here.node.shim("ADD", pod, here.network(["daemonTimeout": 30]))
      #expect(try await pollAsync { try await here.port(of: pod) != nil })
      try await here.ovs.vsctl("--no-wait", "del-br", "br0")
      let ended = try await run
      #expect(ended.code == 101 && ended.message?.contains("no longer active") == true, "\(ended)")
      here.ovs.resumeSwitch()
      #expect(try await pod.network.links() == [] && here.node.records == [])
    }
  }
}
