import Linux
import TestSupport
import Testing

/// A program that sleeps, with an environment in a given order.
private final class Child: Sendable {
  private let process: ChildProcess
  var pid: Int32 { process.pid }

  init(_ environment: [String]) throws(SystemError) {
    process = try ChildProcess(
      executable: "/bin/sleep", arguments: ["sleep", "1000"], environment: environment)
  }

  func kill() { process.kill() }
}

@Suite("Processes that a killed daemon left behind")
struct ProcessesTests {
  private let directory: TemporaryDirectory
  private let line: String

  init() throws {
    directory = try TemporaryDirectory()
    line = "CNID_ATTACHMENT=\(try Unique.word())"
  }

  /// A shell script that runs with a line in its environment and has said that it runs.
  private func started(_ script: String, _ line: String) async throws -> RunningProcess {
    let ready = directory("ready-\(try Unique.word())")
    let parts = line.split(separator: "=", maxSplits: 1).map(String.init)
    let environment = [parts[0]: parts[1], "PATH": "/usr/bin:/bin"]
    let log = directory("log")
    let process = try await onThread {
      try RunningProcess(
        ["/bin/sh", "-c", "\(script)\nsleep 1000 &\n: > \(ready)\nwait"],
        environment: environment, log: log)
    }
    let runs = try await eventually { (try? Files.status(ready)) != nil }
    guard runs else { throw TestError("the script did not start") }
    return process
  }

  /// Makes a program that can be executed at once: a file that this process has written may still
  /// be open in another program that it has just started.
  private func install(_ path: String, _ script: String) async throws {
    try Files.write("\(path).text", Array(script.utf8), mode: [.write, .create])
    let run = try await Program.run(["install", "-m", "0700", "\(path).text", path])
    guard run.succeeded else { throw TestError("\(run)") }
  }

  private func kill(_ line: String) async throws -> Int {
    try await onThread {
      try Processes.kill(by: soon) { $0.elementsEqual(line.utf8) }
    }
  }

  /// Whether a process runs: one that nobody has waited for does not.
  private func runs(_ pid: String) -> Bool {
    guard let bytes = try? Files.read("/proc/\(pid)/stat") else { return false }
    let rest = String(decoding: bytes, as: UTF8.self).split(separator: ")").last ?? ""
    return !rest.hasPrefix(" Z") && !rest.hasPrefix(" X")
  }

  @Test("One that ignores SIGTERM has ended when the call returns, with what it started")
  func stubborn() async throws {
    let process = try await started("trap '' TERM INT HUP", line)
    // The shell and its sleep.
    #expect(try await kill(line) == 2)
    #expect(try await process.ended() == .signalled(9))
    #expect(try await kill(line) == 0)
  }

  @Test("A grandchild in the same group that has cleaned its environment ends too")
  func cleaned() async throws {
    let file = directory("pid")
    let process = try await started("env -i sleep 1000 & echo $! > \(file)", line)
    let text = String(decoding: try Files.read(file), as: UTF8.self)
    let pid = try #require(text.split(separator: "\n").first.map(String.init))
    let isCleaned = try await eventually { (try? Files.read("/proc/\(pid)/environ")) == [] }
    #expect(isCleaned && runs(pid))
    #expect(try await kill(line) == 3)
    #expect(!runs(pid))
    #expect(try await process.ended() == .signalled(9))
  }

  @Test("A child in a session of its own is found by its environment")
  func session() async throws {
    let file = directory("pid")
    _ = try await started("setsid sh -c 'echo $$ > \(file); exec sleep 1000' &", line)
    let written = try await eventually { (try? Files.read(file))?.isEmpty == false }
    #expect(written)
    let pid = String(decoding: try Files.read(file), as: UTF8.self).split(separator: "\n")[0]
    // While it executes it has no environment for a moment.
    let isAsleep = try await becomes {
      (try? Files.read("/proc/\(pid)/cmdline"))?.starts(with: "sleep".utf8) == true
    }
    #expect(isAsleep)
    #expect(try await kill(line) >= 2)
    #expect(!runs(String(pid)))
  }

  @Test(
    "A process of another attachment stays, also one whose value begins in the same way",
    arguments: ["CNID_ATTACHMENT=other", "+", "CNID_ATTACHMENTS="])
  func others(kind: String) async throws {
    let other =
      switch kind {
      case "+": line + "0"
      case "CNID_ATTACHMENTS=": line.replacing("ATTACHMENT=", with: "ATTACHMENTS=")
      default: kind
      }
    let stays = try await started("", other)
    let goes = try await started("", line)
    #expect(try await kill(line) == 2)
    #expect(try await goes.ended() == .signalled(9))
    #expect(stays.status == nil)
    stays.signal(.kill)
  }

  @Test("A process of another user stays, whatever is in its environment")
  func otherUser() async throws {
    // As real user alone, too: such a program may have root's rights and anybody's environment.
    for user in ["--reuid=65534", "--ruid=65534"] {
      let parts = line.split(separator: "=", maxSplits: 1).map(String.init)
      let log = directory("log")
      let process = try await onThread {
        try RunningProcess(
          ["/usr/bin/setpriv", user, "--clear-groups", "/bin/sleep", "1000"],
          environment: [parts[0]: parts[1]], log: log)
      }
      let isChanged = try await eventually {
        guard let bytes = try? Files.read("/proc/\(process.pid)/status") else { return false }
        return String(decoding: bytes, as: UTF8.self).contains("Uid:\t65534")
      }
      #expect(isChanged)
      #expect(try await kill(line) == 0)
      #expect(process.status == nil)
      process.signal(.kill)
    }
  }

  @Test(
    "Only the first 4 KiB of an environment are looked at, and a line that they cut is none",
    arguments: [(4095, true), (4096, false), (5000, false)])
  func room(end: Int, isFound: Bool) async throws {
    // The kernel lays the lines out in their order; the wanted one's zero is the byte at `end`.
    let filling = "A=" + String(repeating: "x", count: end - line.utf8.count - 3)
    let lines = [filling, line]
    let child = try Child(lines)
    let isSet = try await eventually {
      (try? Files.read("/proc/\(child.pid)/environ"))?.starts(with: "A=xx".utf8) == true
    }
    #expect(isSet)
    #expect(try await kill(line) == (isFound ? 1 : 0))
    child.kill()
  }

  @Test("Nobody has the line: nothing is done")
  func nobody() async throws {
    #expect(try await kill(line) == 0)
  }

  @Test("Who started a process is known by name, whatever blanks and parentheses the names have")
  func parents() async throws {
    let (outer, inner, pids) = (directory("multus"), directory("a) Z 1 (b"), directory("pids"))
    let script = "#!/bin/sh\n"
    // The kernel names a script's process after its file.
    try await install(outer, "\(script)'\(inner)' & wait\n")
    try await install(
      inner, "\(script)sleep 1000 &\necho $$ $! > \(pids).new; mv \(pids).new \(pids); wait\n")
    let process = try await started("'\(outer)' &", line)
    let isThere = try await eventually { (try? Files.status(pids)) != nil }
    #expect(isThere)
    let text = String(decoding: try Files.read(pids), as: UTF8.self)
    let found = text.split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
    #expect(found.map { Processes.nameOfParent(of: $0) } == ["multus", "a) Z 1 (b"])
    #expect(Processes.nameOfParent(of: 0) == nil && Processes.nameOfParent(of: -1) == nil)
    // What the kernel itself starts has no parent.
    #expect(Processes.nameOfParent(of: 1) == nil && Processes.nameOfParent(of: .max) == nil)
    #expect(try await kill(line) > 0)
    withExtendedLifetime(process) {}
  }
}
