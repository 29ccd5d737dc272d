import JSON
import Linux
import TestSupport
import Testing

/// Namespaces, records and state directories that are not as they were left.
@Suite(.daemonLog) struct SurvivalTests {
  @Test("After a reboot the leases of the old boot's attachments go, and nobody else's thing does")
  func reboot() async throws {
    try await withTestNode { node in
      let path = node.directory("netns")
      let new = try await TestPod("new")
      do {
        let old = try await TestPod("old")
        _ = try await Program.run(["ln", "-s", old.netns, path])
        try await node.add(old, node.macvlan(), ["CNI_NETNS": path])
      }
      try await node.add(new, node.macvlan())
      try await node.stop()
      try node.editRecords { $0.replacing(node.bootID, with: "00000000-another-boot") }
      // The same path leads to somebody else now, whose link another program has made.
      _ = try await Program.run(["ln", "-sfn", new.netns, path])
      try await new.network.ip("link set eth0 alias \"\"")
      // A lease that no record of ours names.
      try Files.write(
        "\(node.dataDirectory)/pods/10.1.2.50", Array("somebody\r\neth0".utf8),
        mode: [.write, .create])
      try await node.start()
      #expect(try await eventually { node.records == [] && node.leases == ["pods/10.1.2.50"] })
      #expect(try await new.network.links() == ["eth0"])
      // A record goes before the log tells of it.
      #expect(try await becomes { node.log.contains("action=rebooted") })

      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      try await node.delete(pod, node.macvlan())
      #expect(node.leases == ["pods/10.1.2.50"] && node.records == [])
    }
  }

  /// What has become of a record.
  enum Loss: String, CaseIterable, Sendable {
    case missing
    case damaged
    case empty
  }

  @Test(
    "Without its record DEL takes link and lease all the same, with a path or without",
    arguments: Loss.allCases, [true, false])
  func lostRecord(loss: Loss, hasPath: Bool) async throws {
    try await withTestNode { node in
      let (pod, other) = (try await TestPod(), try await TestPod("other"))
      try await node.add(pod, node.macvlan())
      try await node.stop()
      let file = try #require(node.records.first)
      let path = "\(node.stateDirectory)/attachments/\(file)"
      switch loss {
      case .missing: try Files.remove(path)
      case .damaged: try node.editRecords { String($0.dropLast(40)) }
      case .empty: try node.editRecords { _ in "" }
      }
      try await node.start()
      try await node.add(other, node.macvlan())
      if !hasPath { pod.network.closePath() }
      let changes: [String: String?] = hasPath ? [:] : ["CNI_NETNS": ""]
      try await node.delete(pod, node.macvlan(), changes)
      #expect(try await pod.network.links() == [])
      #expect(try await other.network.links() == ["eth0"])
      #expect(node.leases == ["pods/10.1.2.3"])
      // Kept for those who want to know what happened.
      #expect(node.records.contains("\(file).damaged") == (loss != .missing))
      try await node.delete(other, node.macvlan())
      if hasPath {
        try await node.add(pod, node.macvlan())
        try await node.delete(pod, node.macvlan())
      }
      #expect(node.leases == [])
    }
  }

  @Test("A second daemon on the same state directory waits, says so, and takes over at the end")
  func secondDaemon() async throws {
    try await withTestNode { node in
      let (pod, late) = (try await TestPod(), try await TestPod("late"))
      try await node.add(pod, node.macvlan())
      let first = try #require(node.daemon)
      let second = try await node.launch()
      let says = "another cnid owns the state directory"
      #expect(try await eventually { node.log.contains(says) })
      // The first still serves at its place.
      try await node.add(late, node.macvlan())
      #expect(first.status == nil && second.status == nil)
      #expect(node.log.components(separatedBy: says) == 2)

      first.signal(.kill)
      _ = try await first.ended()
      let socket = node.socket
      let serves = try await eventually(within: 15_000) {
        (try? RawHTTP.get("/readyz", socket, within: 1000).status) == 200
      }
      #expect(serves && second.status == nil, "\(node.log)")
      #expect(try await pod.network.links() == ["eth0"])
      try await node.delete(pod, node.macvlan())
      try await node.delete(late, node.macvlan())
      #expect(node.leases == [] && node.records == [])
    }
  }

  @Test(
    "An attachment whose namespace died without a DEL is removed after the grace, and counted",
    arguments: [true, false])
  func orphan(isRunning: Bool) async throws {
    let options = TestNode.Options(settings: ["orphanGrace": 1])
    try await withTestNode(options) { node in
      let (living, hidden) = (try await TestPod("living"), try await TestPod("hidden"))
      do {
        let dying = try await TestPod("dying")
        try await node.add(dying, node.macvlan())
        try await node.add(living, node.macvlan())
        try await node.add(hidden, node.macvlan())
        // The kernel announces the end to a daemon that runs; one that starts looks.
        if !isRunning { try await node.stop() }
      }
      hidden.network.closePath()
      if !isRunning { try await node.start() }
      let isGone = try await eventually(within: 20_000) { node.records.count == 2 }
      #expect(isGone)
      #expect(node.leases == ["pods/10.1.2.3", "pods/10.1.2.4"])
      #expect(try await living.network.links() == ["eth0"])
      #expect(try await hidden.network.links() == ["eth0"])
      // The log line is the last thing that comes of it.
      #expect(try await becomes { node.log.contains("action=orphan") })
      let metrics = try await node.http("GET", "/metrics").text
      #expect(metrics.contains("\ncnid_orphans_removed_total 1\n"), "\(metrics)")
      try await node.delete(hidden, node.macvlan())
      try await node.delete(living, node.macvlan())
      #expect(node.leases == [] && node.records == [])
    }
  }

  @Test("While a process holds host-local's lock only ADDs of that network wait, and are told why")
  func heldLock() async throws {
    try await withTestNode { node in
      let (pod, other) = (try await TestPod(), try await TestPod("other"))
      let before = try await node.snapshot([pod])
      try Files.makeDirectories("\(node.dataDirectory)/pods")
      let file = "\(node.dataDirectory)/pods/lock"
      let lock = try FileLock.take(file, deadline: .after(seconds: 5))
      let hasWaited = Locked(false)
      let timeout = JSONNumber(min(12 * Program.patience, 300))
      let first = node.macvlan(["daemonTimeout": .number(timeout)])
      async let waiting = {
        let run = try await node.shim("ADD", pod, first, within: 300_000)
        hasWaited.withLock { $0 = true }
        return run
      }()
      let second = node.macvlan([
        "name": "second", "ipam": ["type": "host-local", "subnet": "10.3.0.0/24"],
      ])
      let run = try await node.shim("ADD", other, second)
      #expect(run.succeeded, "\(run)")
      #expect(try await node.http("GET", "/healthz").status == 200)
      #expect(!hasWaited.value, "they had to wait: \(run)")
      try await node.delete(other, second)

      let failed = try await waiting
      #expect(failed.code == 105, "\(failed)")
      #expect(failed.message?.contains("macvlan.takeLease") == true, "\(failed)")
      #expect("\(failed.message ?? "") \(failed.details ?? "")".contains(file), "\(failed)")
      _ = consume lock
      let left = try await node.leftovers(since: before, [pod], within: 30_000)
      #expect(left == [])
      try await node.add(pod, node.macvlan())
      try await node.delete(pod, node.macvlan())
    }
  }
}

extension TestNode {
  /// This boot's id.
  fileprivate var bootID: String {
    let bytes = (try? Files.read("/proc/sys/kernel/random/boot_id")) ?? []
    return String(decoding: bytes.prefix { $0 != 0x0A }, as: UTF8.self)
  }

  /// Rewrites every record's file, as nobody does while the daemon runs.
  fileprivate func editRecords(_ change: (String) -> String) throws {
    for name in records {
      let path = "\(stateDirectory)/attachments/\(name)"
      let text = String(decoding: try Files.read(path), as: UTF8.self)
      try Files.write(path, Array(change(text).utf8), mode: [.write, .truncate])
    }
  }
}

extension String {
  /// How many parts a text cuts this one into.
  fileprivate func components(separatedBy text: String) -> Int {
    split(separator: text, omittingEmptySubsequences: false).count
  }
}
