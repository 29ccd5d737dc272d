import CNI
import DaemonAPI
import JSON
import Linux
import TestSupport
import Testing

/// What the real shim does with a DEL that no daemon takes.
@Suite struct ShimSpoolTests {
  private static func entries(_ directory: TemporaryDirectory) -> [String] {
    TemporaryDirectory.files(below: directory("spool"))
  }

  /// A DEL for a daemon that answers so; made again if the daemon stood still for a second, as on a
  /// machine that is busy: the shim gives up a probe then.
  private func delete(
    _ answers: [FakeDaemon.Answer]
  ) async throws -> (directory: TemporaryDirectory, fake: FakeDaemon, result: ProgramResult) {
    let start = KernelClock.monotonic
    while true {
      let directory = try TemporaryDirectory()
      let fake = try FakeDaemon(directory.socket, answers)
      let result = try await ShimCall("DEL").to(directory, timeout: 60).run(within: 90_000)
      if result.milliseconds < 1000 || isOver(since: start, 20_000) {
        return (directory, fake, result)
      }
    }
  }

  @Test("DEL without a socket succeeds at once and says nothing")
  func noSocket() async throws {
    let directory = try TemporaryDirectory()
    let call = ShimCall("DEL").to(directory, timeout: 60)
    let result = try await call.run()
    #expect(result.succeeded && result.output.isEmpty, "\(result)")
    // About a millisecond, and in any case long before its time is over: the machine has other
    // tests to run.
    #expect(result.milliseconds < 20_000)
    let name = try #require(Self.entries(directory).first)
    #expect(Self.entries(directory).count == 1)
    let entry = try SpoolEntry(parsing: try Files.read(directory("spool/\(name)")))
    #expect(entry.fileName == name)
    #expect(entry.request.config == call.configuration.bytes)
    #expect(entry.request.env == call.environment)
    #expect(try Files.status(directory("spool")).permissions == 0o700)
    #expect(try Files.status(directory("spool/\(name)")).permissions == 0o600)
  }

  @Test("The usual directory is made where nothing of it is there, as after a reboot")
  func noDirectory() async throws {
    let call = ShimCall("DEL")
    let result = try await Program.run(
      [
        "unshare", "--mount", "/bin/sh", "-c",
        "mount -t tmpfs none /run && \(Program.shim) && stat -c '%n %a %u' /run/cnid /run/cnid/spool",
      ],
      environment: call.environment.merging(["PATH": "/usr/bin:/bin"]) { $1 },
      input: call.configuration.bytes)
    #expect(result.text == "/run/cnid 700 0\n/run/cnid/spool 700 0\n", "\(result)")
    #expect(!result.errorText.contains("is daemonSocketDir right?"), "\(result)")
  }

  @Test("A socket that nobody serves, a full backlog and silence are no daemon")
  func unreachable() async throws {
    let refused = try TemporaryDirectory()
    try UnixSocket.leaveDead(refused.socket)
    let full = try TemporaryDirectory()
    let listener = try UnixSocket.listen(full.socket, backlog: 0)
    let waiting = try UnixSocket.connect(full.socket)
    let silent = try TemporaryDirectory()
    let other = try UnixSocket.listen(silent.socket)
    for directory in [refused, full, silent] {
      let result = try await ShimCall("DEL").to(directory, timeout: 60).run()
      #expect(result.succeeded && result.output.isEmpty, "\(result)")
      #expect(result.milliseconds < 20_000)
      #expect(Self.entries(directory).count == 1)
    }
    _ = (listener.rawValue, waiting.rawValue, other.rawValue)
  }

  @Test("A daemon that dies before its answer is asked twice more, and then the DEL waits")
  func killed() async throws {
    let (directory, fake, result) = try await delete([.close])
    #expect(result.succeeded && result.output.isEmpty, "\(result)")
    #expect(Set(fake.requests.map { $0.headers["x-cnid-request-id"] }).count == 1)
    #expect(fake.requests.count == 3)
    #expect(Self.entries(directory).count == 1)
  }

  @Test("A daemon that is back when the entry was written answers, and nothing stays behind")
  func back() async throws {
    let (directory, fake, result) = try await delete([.close, .close, .response(200, [])])
    #expect(result.succeeded && result.output.isEmpty, "\(result)")
    #expect(fake.requests.count == 3)
    #expect(Self.entries(directory) == [])
    let error = CNIError(.vRouterAgent, "no", details: "why").json().encoded()
    let (refusing, other, failure) = try await delete([
      .close, .close, .response(400, error),
    ])
    #expect(
      failure.code == 102 && failure.message == "no" && failure.details?.hasPrefix("why; ") == true)
    #expect(Self.entries(refusing) == [])
    #expect(other.requests.count == 3)
  }

  @Test(
    "A spool that cannot be written is code 11 with its path, and never a silent success",
    arguments: [
      ("mount -t tmpfs -o ro,mode=0700 none", "EROFS"),
      ("mount -t tmpfs -o size=8k,mode=0700 none", "ENOSPC"), ("touch", "ENOTDIR"),
      ("ln -s .", "ENOTDIR"), ("mkdir -m 0755", "root's alone"),
    ])
  func unwritable(preparation: String, reason: String) async throws {
    let directory = try TemporaryDirectory()
    let call = ShimCall("DEL").to(directory)
    let spool = directory("spool")
    let isMount = preparation.hasPrefix("mount")
    let fill = isMount ? "; cat /dev/zero >\(spool)/filling 2>&-" : ""
    let command =
      "\(isMount ? "mkdir -m 0700 \(spool); " : "")\(preparation) \(spool)\(fill); exec \"$0\""
    let result = try await Program.run(
      ["unshare", "--mount", "/bin/sh", "-c", command, Program.shim],
      environment: call.environment.merging(["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"]) { $1 },
      input: call.configuration.bytes)
    #expect(result.status == .exited(1), "\(result)")
    #expect(result.code == 11)
    #expect(result.message?.contains(spool) == true)
    #expect(result.message?.contains(reason) == true, "\(result)")
    let left = Self.entries(directory).filter { $0.hasSuffix(".json") || $0.hasSuffix(".tmp") }
    #expect(left == [])
  }

  @Test("A DEL in another daemon's directory touches nothing there")
  func otherDaemon() async throws {
    let directory = try TemporaryDirectory()
    try Files.setPermissions(directory.path, 0o755)
    let fake = try FakeDaemon(directory("multus.sock"), [.response(200, [])])
    let result = try await ShimCall("DEL").to(directory).run()
    #expect(result.succeeded && result.output.isEmpty, "\(result)")
    #expect(fake.requests.isEmpty && fake.probes.isEmpty)
    #expect(try Files.status(directory.path).permissions == 0o755)
    #expect(try Files.list(directory.path).sorted() == ["multus.sock", "spool"])
    #expect(Self.entries(directory).count == 1)
  }
}
