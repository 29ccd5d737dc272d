import JSON
import Linux
import TestSupport
import Testing

/// `kill -9` of the shipped daemon after every step of every plugin.
@Suite(.daemonLog) struct KillTests {
  /// What the runtime does when its daemon dies.
  enum Runtime: String, CaseIterable, Sendable {
    /// Its shim waits for the next daemon and comes again.
    case waits
    /// It gives the call up; nobody comes again.
    case givesUp = "gives up"
  }

  @Test("Every step of every plugin is reached by a scenario, and no plugin has lost steps")
  func complete() async throws {
    for plugin in KilledPlugin.all {
      #expect(plugin.steps.count >= plugin.minimum, "\(plugin.name)")
      let reached = Set(
        KillScenario.all.filter { $0.plugin == plugin.name }.map(\.step))
      // Between the record and the first step is a place of its own.
      #expect(reached == Set(plugin.steps.isEmpty ? [] : plugin.steps + ["record"]))
    }
  }

  @Test("The daemon has no plugin that is not in the list of these tests")
  func plugins() async throws {
    try await withTestNode { node in
      let run = try await node.shim(
        "ADD", try await TestPod(), node.macvlan(["plugin": "no-such-plugin"]))
      #expect(run.code == 7, "\(run)")
      let listed = run.message?.components(after: "this cnid has: ") ?? []
      #expect(Set(listed) == Set(KilledPlugin.all.map(\.name)), "\(run)")
    }
  }

  @Test(
    "After a kill nothing is left, a repeated call works, and so do ADD and DEL",
    arguments: KillScenario.all, Runtime.allCases)
  func killed(scenario: KillScenario, runtime: Runtime) async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      let drill = try await KillDrill(node, scenario)
      switch runtime {
      case .waits:
        async let called = drill.call()
        #expect(try await drill.died(), "\(scenario.point) was not reached")
        try await node.start()
        try await drill.expectAnswer(try await called)
      case .givesUp:
        let call = try await drill.callWithoutWaiting()
        #expect(try await drill.died(), "\(scenario.point) was not reached")
        // A shim with a DEL ends by itself, for nobody would come again with it.
        if scenario.verb == .delete {
          #expect(try await call.ended() == .exited(0))
        } else {
          call.signal(.kill)
          _ = try await call.ended()
        }
        try await node.start()
        try await drill.expectRecovered()
      }
      try await drill.expectUsable()
    }
  }

  @Test(
    "A daemon that is killed again and again while it recovers comes to the end of it at last",
    arguments: [
      KillScenario(plugin: "macvlan", step: "addRoutes", verb: .add, network: .routes),
      KillScenario(plugin: "macvlan", step: "configureLink", verb: .add, network: .disk),
      KillScenario(plugin: "macvlan", step: "deleteLink", verb: .delete, network: .local),
    ])
  func killedAgain(scenario: KillScenario) async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      let drill = try await KillDrill(node, scenario)
      let call = try await drill.callWithoutWaiting()
      #expect(try await drill.died())
      call.signal(.kill)
      _ = try await call.ended()
      let undo =
        scenario.network == .disk
        ? ["runIPAMDelete", "deleteLink"] : ["deleteLink", "releaseLease"]
      for step in undo {
        try await node.launch(through: "export CNID_KILL_AFTER=macvlan.\(step)")
        #expect(try await drill.died(), "\(step) was not reached while recovering")
      }
      try await node.start()
      try await drill.expectRecovered()
      try await drill.expectUsable()
    }
  }

  @Test("A program that the dead daemon had started is killed before its work is undone")
  func child() async throws {
    try await withTestNode { node in
      let (pod, started) = (try await TestPod(), node.directory("started"))
      let leases = node.directory("disk")
      try Files.makeDirectories(node.directory("bin"))
      try Files.makeDirectory(leases)
      // It ignores signals, sleeps, and then acts, whoever has died meanwhile.
      try Files.write(
        node.directory("bin/slow"),
        Array(
          """
          #!/bin/sh
          trap '' TERM HUP INT PIPE
          [ $CNI_COMMAND = ADD ] || { rm -f \(leases)/$CNI_CONTAINERID; exit 0; }
          [ ! -e \(started) ] || exec echo '{"ips": [{"address": "10.7.0.2/16"}]}'
          echo $$ > \(started).new && mv \(started).new \(started)
          sleep 5
          echo $CNI_IFNAME > \(leases)/$CNI_CONTAINERID
          echo '{"ips": [{"address": "10.7.0.2/16"}]}'
          """.utf8), mode: [.write, .create], permissions: 0o755)
      let before = try await node.snapshot([pod])
      let configuration = node.macvlan(["ipam": ["type": "slow"]])
      let paths = ["CNI_PATH": node.directory("bin")] as [String: String?]
      async let called = node.shim("ADD", pod, configuration, paths)
      #expect(try await eventually(within: 20_000) { (try? Files.status(started)) != nil })
      let child = String(decoding: try Files.read(started), as: UTF8.self)
        .split(separator: "\n")[0]
      try await node.kill()
      #expect(isRunning(child))
      try await node.start()
      // The call that waited is done after the old one was undone.
      let run = try await called
      #expect(run.succeeded, "\(run)")
      #expect(!isRunning(child))
      #expect(TemporaryDirectory.files(below: leases) == [])
      #expect(node.log.contains("programs that a call had left running were killed"))
      try await node.delete(pod, configuration, paths)
      let left = try await node.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  private func isRunning(_ pid: Substring) -> Bool {
    guard let bytes = try? Files.read("/proc/\(pid)/stat") else { return false }
    let state = String(decoding: bytes, as: UTF8.self).split(separator: ")").last ?? ""
    return !state.hasPrefix(" Z") && !state.hasPrefix(" X")
  }
}

extension String {
  /// The parts of a list that follows a text.
  fileprivate func components(after text: String) -> [String] {
    guard let range = firstRange(of: text) else { return [] }
    return self[range.upperBound...].split(separator: ", ").map(String.init)
  }
}
