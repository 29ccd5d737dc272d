import CNI
import Linux
import TestSupport
import Testing

@testable import Libcni

@Suite("Plugins that fail")
struct FailureTests {
  private let scripts: Scripts

  init() throws { scripts = try Scripts() }

  @Test("The error object on standard output is the error, unchanged")
  func typedError() async throws {
    try scripts.write(
      "bad", #"echo '{"code":1234,"msg":"no","details":"because"}'; echo x >&2; exit 3"#)
    let error = try await scripts.failure("bad")
    let expected = CNIError(CNIErrorCode(rawValue: 1234), "no", details: "because")
    #expect(error.reason == .refused(expected))
    #expect(error.cniError(.ipam) == expected)
  }

  @Test("Standard error fills the details of an error object that has none")
  func details() async throws {
    try scripts.write("bad", #"echo '{"code":11,"msg":"later"}'; echo the cause >&2; exit 1"#)
    #expect(
      try await scripts.failure("bad").cniError(.ipam)
        == CNIError(.tryAgainLater, "later", details: "the cause"))
  }

  @Test(
    "Without an error object the texts are libcni's",
    arguments: [
      ("exit 1", "netplugin failed with no error message: exit status 1", ""),
      ("exit 77", "netplugin failed with no error message: exit status 77", ""),
      ("echo '{}'; exit 2", "netplugin failed with no error message: exit status 2", ""),
      ("kill -9 $$", "netplugin failed with no error message: signal: killed", ""),
      ("kill -TERM $$", "netplugin failed with no error message: signal: terminated", ""),
      ("echo oh dear >&2; exit 1", "netplugin failed: oh dear", "oh dear"),
      ("printf 'a\\nb\\n' >&2; exit 1", "netplugin failed: a b", "a\nb"),
    ])
  func texts(body: String, message: String, details: String) async throws {
    try scripts.write("bad", body)
    #expect(
      try await scripts.failure("bad").cniError(.ipam)
        == CNIError(.ipam, message, details: details))
  }

  @Test("Garbage instead of an error object is told by its first 32 bytes")
  func garbage() async throws {
    try scripts.write("bad", "echo panic: no route to the database, secret; exit 1")
    let error = try await scripts.failure("bad").cniError(.delegate)
    #expect(error.code == .delegate)
    #expect(
      error.message == #"netplugin failed (exit status 1) and printed no error: it begins "#
        + #""panic: no route to the database,"…: no JSON: line 1, column 1: "p" begins no value; "#
        + "the words of JSON are true, false and null")
  }

  @Test("Half an object is not repeated: it may be the configuration")
  func halfAnObject() async throws {
    try scripts.write("bad", #"echo '{"secret'; exit 1"#)
    let error = try await scripts.failure("bad").cniError(.delegate)
    #expect(
      error.message == "netplugin failed (exit status 1) and printed no error: no JSON: "
        + "line 1, column 9: a line ends inside a string: a \" is missing")
  }

  @Test("A long message keeps its end, and details are bounded")
  func longErrors() async throws {
    try scripts.write(
      "bad", "i=0; while [ $i -lt 3000 ]; do echo 'line äöü' $i >&2; i=$((i+1)); done; exit 1")
    let error = try await scripts.failure("bad").cniError(.ipam)
    #expect(error.message.hasPrefix("netplugin failed: "))
    #expect(error.message.hasSuffix("line äöü 2999"))
    #expect(error.message.utf8.count < 600)
    #expect(error.details.hasSuffix("line äöü 2999"))
    #expect(error.details.utf8.count <= 4100)
  }

  @Test("A plugin that sleeps is killed at the deadline with its children, and its words are kept")
  func deadline() async throws {
    let pids = scripts.directory("pids")
    try scripts.write(
      "sleepy", "echo waiting for godot >&2; sleep 600 & echo $! $$ > \(pids); exec 1>&-; wait")
    let start = KernelClock.monotonic
    // Enough for its words on a busy machine.
    let milliseconds = 5000 * Program.patience
    let error = try await scripts.failure("sleepy", milliseconds: milliseconds)
    // The pool on which this goes on may be busy with other tests for long.
    #expect(KernelClock.monotonic - start < 120_000_000_000 + UInt64(milliseconds) * 1_000_000)
    #expect(error.reason == .deadline)
    #expect(
      error.cniError(.ipam)
        == CNIError(
          .deadline, "plugin sleepy did not finish ADD in time", details: "waiting for godot"))
    let numbers = String(decoding: try Files.read(pids), as: UTF8.self)
      .split { $0 == " " || $0 == "\n" }
    #expect(numbers.count == 2)
    for number in numbers {
      let isGone = try await becomes {
        let status = (try? Files.read("/proc/\(number)/status")) ?? []
        // An orphan that nobody waits for yet is dead, too.
        return status.isEmpty || String(decoding: status, as: UTF8.self).contains("State:\tZ")
      }
      #expect(isGone, "\(number)")
    }
  }

  @Test("A child that a plugin leaves behind ends with it")
  func leftChild() async throws {
    let file = scripts.directory("pid")
    try scripts.write("forker", "sleep 600 >/dev/null 2>&1 & echo $! > \(file); echo '{}'")
    #expect(try await scripts.run("forker").get().text == "{}\n")
    let pid = String(decoding: try Files.read(file).dropLast(), as: UTF8.self)
    let isGone = try await becomes {
      let status = (try? Files.read("/proc/\(pid)/status")) ?? []
      return status.isEmpty || String(decoding: status, as: UTF8.self).contains("State:\tZ")
    }
    #expect(isGone)
  }

  @Test("A plugin that prints 100 MB is killed, and no more than the limit is kept")
  func endlessOutput() async throws {
    try scripts.write(
      "loud", "head -c 100000000 /dev/zero; echo never > \(scripts.directory("end"))")
    var limits = ProgramRun.Limits()
    limits.output = 1 << 20
    let error = try await scripts.failure("loud", limits: limits)
    #expect(error.reason == .tooMuchOutput)
    #expect(error.cniError(.ipam).message == "plugin loud printed too much for ADD")
    #expect((try? Files.status(scripts.directory("end"))) == nil)
  }

  @Test("A plugin that writes megabytes to standard error only loses their beginning")
  func endlessErrors() async throws {
    try scripts.write(
      "loud", "head -c 2000000 /dev/zero | tr '\\0' x >&2; echo end >&2; echo '{}'")
    let output = try await scripts.run("loud").get()
    #expect(output.text == "{}\n")
    #expect(output.errorOutput.hasSuffix("xend"))
  }

  @Test("A cancelled request ends its plugin")
  func cancellation() async throws {
    try scripts.write("sleepy", "exec sleep 600")
    let executor = scripts.executor()
    let cancellation = try Cancellation()
    async let outcome = onThread { () -> PluginError? in
      do throws(PluginError) {
        _ = try executor.ask(
          PluginInvocation(
            type: "sleepy", command: .check, environment: [], input: [],
            deadline: .after(seconds: 60, cancellation: cancellation)))
        return nil
      } catch {
        return error
      }
    }
    cancellation.cancel()
    #expect(await outcome?.reason == .deadline)
  }

  @Test("A file that is no program is told so")
  func noProgram() async throws {
    try Files.write(
      scripts.directory("data"), [0, 1, 2], mode: [.write, .create], permissions: 0o755)
    try Files.write(scripts.directory("plain"), [], mode: [.write, .create], permissions: 0o644)
    for name in ["data", "plain"] {
      let error = try await scripts.failure(name)
      guard case .notStarted = error.reason else {
        Issue.record("\(error)")
        continue
      }
      #expect(error.cniError(.ipam).message.hasPrefix("plugin \(name) could not be started: "))
    }
  }

  @Test("An unknown verb is recognised by the Go skeleton's words only")
  func unknownVerb() async throws {
    try scripts.write("old", #"echo '{"code":4,"msg":"unknown CNI_COMMAND: GC"}'; exit 1"#)
    try scripts.write("other", #"echo '{"code":4,"msg":"missing CNI_NETNS"}'; exit 1"#)
    #expect(try await scripts.failure("old").isUnknownCommand)
    #expect(try await !scripts.failure("other").isUnknownCommand)
  }

  @Test("Wanting a container id means not knowing the verb, where the verb has none")
  func wantsContainerID() {
    let error = CNIError(CNIErrorCode(rawValue: 3), "missing containerID")
    for (command, expected) in [
      (CNICommand.garbageCollect, true), (.status, true), (.add, false), (.delete, false),
      (.check, false),
    ] {
      #expect(
        PluginError(type: "x", command: command, reason: .refused(error)).isUnknownCommand
          == expected, "\(command)")
    }
  }
}
