import JSON
import Linux
import TestSupport
import Testing

/// The daemon's own lines: under systemd, and where its log is a file.
@Suite(.daemonLog) struct JournalTests {
  /// What a daemon prints that is started in a shell whose standard error is `log`, the journal.
  private func lines(
    _ settings: JSONValue
  ) async throws -> (status: Linux.ExitStatus?, lines: [String]) {
    let directory = try TemporaryDirectory()
    try Files.write(directory("cnid.json"), settings.bytes, mode: [.write, .create])
    let script =
      "exec 2>\(directory("log")); export JOURNAL_STREAM=$(stat -Lc %d:%i \(directory("log")));"
      + " exec \(Program.daemon) --config \(directory("cnid.json"))"
    let run = try await Program.run(["/bin/sh", "-c", script])
    let text = String(decoding: try Files.read(directory("log")), as: UTF8.self)
    return (run.status, text.split(separator: "\n").map(String.init))
  }

  @Test("in the journal each line begins with its level, and has no time of its own")
  func levels() async throws {
    var options = TestNode.Options()
    options.preparation = "export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2)"
    try await withTestNode(options) { node in
      let pod = try await TestPod()
      #expect(try await node.shim("ADD", pod, node.macvlan(["plugin": "nobody"])).code == 7)
      try await node.add(pod, node.macvlan())
      try await node.delete(pod, node.macvlan())
      // The log tells of a call after its answer.
      let isTold = try await becomes {
        ["ADD failed ", "ADD done "].allSatisfy(node.log.contains) && node.log.last == "\n"
      }
      #expect(isTold)
      let lines = node.log.split(separator: "\n")
      let head = #/^<[3467]>(error|warning|info|debug) /#
      #expect(lines.allSatisfy { $0.contains(head) }, "\(node.log)")
      #expect(lines.contains { $0.hasPrefix("<6>info cnid ") })
      #expect(lines.contains { $0.hasPrefix("<4>warning ADD failed command=ADD ") })
      #expect(lines.contains { $0.hasPrefix("<6>info ADD done command=ADD ") })
      #expect(lines.contains { $0.hasPrefix("<7>debug ADD step ") })
    }
  }

  @Test("another JOURNAL_STREAM than standard error's means nothing")
  func other() async throws {
    let file = try Files.status("/dev/null")
    var options = TestNode.Options()
    options.environment["JOURNAL_STREAM"] = "\(file.device):\(file.inode)"
    try await withTestNode(options) { node in
      let lines = node.log.split(separator: "\n")
      let head = #/^\d{4}-\d\d-\d\dT[0-9:.]+Z (info|debug|warning) /#
      #expect(lines.allSatisfy { $0.contains(head) }, "\(node.log)")
    }
  }

  @Test("a configuration file with a fault is one error of the journal and status 2")
  func badFile() async throws {
    let (status, lines) = try await lines(["nonsense": 1])
    #expect(status == .exited(2))
    #expect(lines.count == 1 && lines.first?.hasPrefix("<3>cnid: ") == true, "\(lines)")
    #expect(lines.first?.contains("nonsense: unknown key") == true)
  }

  @Test("what keeps the daemon from starting is an error of its log: level, format, file, stderr")
  func startError() async throws {
    let directory = try TemporaryDirectory()
    try Files.makeDirectory(directory("run"), permissions: 0o755)
    try Files.setPermissions(directory("run"), 0o777)
    let (status, lines) = try await lines([
      "socketDir": .string(directory("run")), "stateDir": .string(directory("state")),
      "logFormat": "json", "logFile": .string(directory("own")),
    ])
    #expect(status == .exited(2))
    let file = String(decoding: try Files.read(directory("own")), as: UTF8.self)
    let last = try #require(file.split(separator: "\n").last)
    for text in [String(last), String(lines.last?.dropFirst(3) ?? "")] {
      let object = try JSONValue.parse(Array(text.utf8))
      #expect(object["level"]?.string == "error")
      #expect(object["msg"]?.string?.hasPrefix("cannot start: insecure permissions on ") == true)
    }
    #expect(lines.last?.hasPrefix("<3>{") == true, "\(lines)")
  }

  @Test("a start that another try may bring about ends with status 1")
  func transient() async throws {
    let directory = try TemporaryDirectory()
    let (status, lines) = try await lines([
      "socketDir": .string(directory("run")), "stateDir": .string(directory("state")),
      "logFile": .string(directory("none/log")),
    ])
    #expect(status == .exited(1))
    #expect(lines.last?.hasPrefix("<3>error cannot start: logFile: open ") == true, "\(lines)")
  }

  @Test("at SIGHUP the log file is opened again")
  func rotated() async throws {
    let directory = try TemporaryDirectory()
    let log = directory("log")
    try await withTestNode(TestNode.Options(settings: ["logFile": .string(log)])) { node in
      try Files.rename(log, log + ".1")
      node.daemon?.signal(.hangUp)
      let isThere = try await eventually {
        String(decoding: (try? Files.read(log)) ?? [], as: UTF8.self)
          .contains("configuration read again")
      }
      #expect(isThere)
      let old = String(decoding: try Files.read(log + ".1"), as: UTF8.self)
      #expect(old.contains(" ready ") && !old.contains("read again"))
    }
  }
}
