import CNI
import JSON
import Linux
import ShimCore
import TestSupport
import Testing

@Suite("The shim's log")
struct LogTests {
  /// A failing call with the log's keys; what stderr and the file got.
  private func log(_ members: [String: JSONValue?]) async throws -> (stderr: String, file: String) {
    let (directory, logs) = (try TemporaryDirectory(), try TemporaryDirectory(in: LogFile.root))
    var call = ShimCall("STATUS", [:], ["logFile": .string(logs("log")), "daemonTimeout": 1])
      .to(directory)
    call.set(members)
    let outcome = try await call.run()
    #expect(outcome.error?.code == .notAvailable)
    let file = (try? Files.read(logs("log"))) ?? []
    return (outcome.errorText, String(decoding: file, as: UTF8.self))
  }

  @Test("Errors go to the file and, unless switched off, to stderr")
  func both() async throws {
    let (stderr, file) = try await log(["logToStderr": nil])
    #expect(file == stderr)
    let line =
      #/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[error\] STATUS: cnid serves no calls \(waited 1 s\): .*\n/#
    #expect(file.wholeMatch(of: line) != nil, "\(file)")
  }

  @Test("logToStderr false leaves the file alone")
  func fileOnly() async throws {
    let (stderr, file) = try await log(["logToStderr": false])
    #expect(stderr.isEmpty)
    #expect(file.contains("[error]"))
  }

  @Test(
    "The level decides what is written",
    arguments: [
      ("error", 0), ("panic", 0), ("warning", 1), ("nonsense", 1), ("info", 1), ("debug", 1),
      ("verbose", 1),
    ])
  func levels(name: String, warnings: Int) async throws {
    let directory = try TemporaryDirectory()
    let call = ShimCall("DEL", [:], ["logLevel": .string(name), "logToStderr": true])
    let outcome = try await call.to(directory).run()
    #expect(outcome.errorText.split(separator: "\n").count == warnings)
  }

  @Test("A file that cannot be written does not fail the call")
  func unwritable() async throws {
    let node = try FakeNode([failed(7, "no")])
    let call = ShimCall("ADD", [:], ["logFile": "/var/log/cnid-nowhere/log"])
    let outcome = try await node.run(call)
    #expect(outcome.error?.code == .invalidConfiguration)
    #expect(outcome.errorText.contains("logFile: open /var/log/cnid-nowhere/log: "))
  }

  @Test("A file outside of /var/log is neither made nor written to, and stderr says so")
  func outside() async throws {
    let node = try FakeNode([failed(7, "no"), failed(7, "no")])
    let directory = try TemporaryDirectory()
    try Files.write(directory("preload"), Array("old".utf8), mode: [.write, .create])
    for name in ["preload", "new"] {
      let call = ShimCall("ADD", [:], ["logFile": .string(directory(name))])
      let outcome = try await node.run(call)
      #expect(outcome.errorText.contains("which is not below /var/log"))
    }
    #expect(try Files.list(directory.path) == ["preload"])
    #expect(try Files.read(directory("preload")) == Array("old".utf8))
  }

  @Test("A pipe that nobody reads does not hold up the call")
  func pipe() async throws {
    let (directory, logs) = (try TemporaryDirectory(), try TemporaryDirectory(in: LogFile.root))
    #expect(try await Program.run(["mkfifo", logs("log")]).succeeded)
    let call = ShimCall("STATUS", [:], ["logFile": .string(logs("log")), "daemonTimeout": 1])
      .to(directory)
    #expect(try await call.run().error?.code == .notAvailable)
  }

  @Test("A line from outside cannot forge another")
  func forged() async throws {
    let node = try FakeNode([failed(7, "a\nb", "c\u{1b}[31m")])
    let outcome = try await node.run(ShimCall("ADD", [:], ["logToStderr": true]))
    #expect(outcome.errorText.filter { $0 == "\n" }.count == 1)
    #expect(outcome.errorText.contains(#"a\nb"#) && outcome.errorText.contains(#"c\u{1b}[31m"#))
  }

  @Test("A file's name cannot forge a line either")
  func forgedName() async throws {
    let node = try FakeNode([failed(7, "no")])
    let call = ShimCall("ADD", [:], ["logFile": "/tmp/x\n2026-01-01T00:00:00.000Z [error] forged"])
    let outcome = try await node.run(call)
    #expect(outcome.errorText.filter { $0 == "\n" }.count == 1)
  }

  @Test("What the runtime gave on stdin is in no line", arguments: ["debug", "error"])
  func noInput(level: String) async throws {
    let node = try FakeNode([failed(7, "no")])
    let call = ShimCall(
      "ADD", [:], ["password": "secret", "logLevel": .string(level), "logToStderr": true])
    let outcome = try await node.run(call)
    #expect(outcome.errorText.contains("[error] ADD: no"))
    #expect(!outcome.errorText.contains("secret"))
  }
}
