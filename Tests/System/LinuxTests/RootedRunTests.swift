import Foundation
import Linux
import TestSupport
import Testing

@Suite("Programs that are run below another root")
struct RootedRunTests {
  /// A run, or why there was none, and the end of its standard error in both cases.
  struct Outcome: Sendable {
    let result: Result<ProgramRun, SystemError>
    let errorText: String

    /// The lines that it has printed.
    func lines() throws -> [String] {
      String(decoding: try result.get().output, as: UTF8.self).split(separator: "\n")
        .map { String($0) }
    }

    var failure: SystemError? {
      if case .failure(let error) = result { error } else { nil }
    }
  }

  private static func runBlocking(
    _ root: RootDirectory, _ script: String, executable: String = "/usr/bin/sh",
    input: String = "", limits: ProgramRun.Limits = .init(), environment: [String] = [],
    milliseconds: Int = 20_000
  ) -> Outcome {
    var words: [UInt8] = []
    do throws(SystemError) {
      let run = try ProgramRun.run(
        executable: executable, arguments: ["sh", "-c", script], environment: environment,
        input: Array(input.utf8), limits: limits, root: root,
        deadline: .after(milliseconds: milliseconds), lastWords: &words)
      return Outcome(
        result: .success(run), errorText: String(decoding: run.errorOutput, as: UTF8.self))
    } catch {
      return Outcome(result: .failure(error), errorText: String(decoding: words, as: UTF8.self))
    }
  }

  /// Runs a script below a directory that is there until it has ended.
  private static func runBlocking(
    _ test: TestRoot, _ script: String, executable: String = "/usr/bin/sh", input: String = "",
    limits: ProgramRun.Limits = .init(), environment: [String] = [], milliseconds: Int = 20_000
  ) -> Outcome {
    withExtendedLifetime(test) {
      runBlocking(
        test.root, script, executable: executable, input: input, limits: limits,
        environment: environment, milliseconds: milliseconds)
    }
  }

  /// Runs a script with a root of its own.
  private func run(
    _ script: String, programs: [String] = [], input: String = "",
    limits: ProgramRun.Limits = .init(), environment: [String] = [], milliseconds: Int = 20_000
  ) async throws -> Outcome {
    try await onThread {
      Self.runBlocking(
        try TestRoot(programs), script, input: input, limits: limits,
        environment: environment, milliseconds: milliseconds)
    }
  }

  @Test("The directory is its root and where it begins to work")
  func root() async throws {
    let (lines, names) = try await onThread {
      let test = try TestRoot()
      try test.write("/here", "")
      let outcome = Self.runBlocking(test, "pwd -P; cd ..; pwd -P; echo *")
      return (try outcome.lines(), try Files.list(test.directory.path).sorted())
    }
    #expect(lines == ["/", "/", names.joined(separator: " ")])
    #expect(names.contains("here"))
  }

  @Test("Input, output, errors, status and the whole environment are as without a root")
  func exchange() async throws {
    let outcome = try await run(
      "read word; env; echo got $word; echo bad >&2; exit 3", programs: ["env"], input: "in\n",
      environment: ["A=1", "B=x y"])
    #expect(try outcome.result.get().status == .exited(3))
    #expect(try outcome.lines().sorted() == ["A=1", "B=x y", "PWD=/", "got in"])
    #expect(outcome.errorText == "bad\n")
    #expect(try await run("kill -TERM $$").result.get().status == .signalled(15))
  }

  @Test("At the deadline it is killed, and nothing is left of it")
  func deadline() async throws {
    let outcome = try await run("echo $$ >&2; kill -STOP $$", milliseconds: 500)
    #expect(outcome.failure == SystemError("run", "/usr/bin/sh", .timedOut))
    let pid = try #require(Int32(outcome.errorText.dropLast()))
    #expect(kill(pid, 0) == -1)
  }

  @Test("Output beyond the limit ends it")
  func limit() async throws {
    var limits = ProgramRun.Limits()
    limits.output = 65_536
    let outcome = try await run("while :; do echo yyyyyyyyyyyyyyyy; done", limits: limits)
    #expect(outcome.failure == SystemError("run", "/usr/bin/sh", .tooBig))
  }

  @Test("It runs in the network namespace of the thread that asked for it")
  func networkNamespace() async throws {
    let (mine, seen) = try await onThread {
      try NetworkNamespace.enterNew()
      let mine = try FileManager.default.destinationOfSymbolicLink(
        atPath: "/proc/thread-self/ns/net")
      let outcome = Self.runBlocking(
        try RootDirectory("/"), "exec /usr/bin/readlink /proc/self/ns/net")
      return (mine, try outcome.lines())
    }
    #expect(seen == [mine])
    #expect(
      try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/net") != mine)
  }

  @Test("One that wants to die with the thread that started it lives to its end")
  func deathSignal() async throws {
    let outcome = try await onThread {
      Self.runBlocking(
        try RootDirectory("/"),
        "exec /usr/bin/setpriv --pdeathsig KILL /bin/sh -c 'sleep 0.3; echo alive'")
    }
    #expect(try outcome.lines() == ["alive"])
  }

  @Test("Root and directory of the process and of all its threads stay, and no descriptor is left")
  func process() async {
    await #expect(processExitsWith: .success) {
      /// The roots and working directories of all threads.
      func places() -> Set<String> {
        var found: Set<String> = []
        for task in (try? Files.list("/proc/self/task")) ?? [] {
          for place in ["root", "cwd"] {
            let path = "/proc/self/task/\(task)/\(place)"
            // A thread may end meanwhile.
            if let led = try? FileManager.default.destinationOfSymbolicLink(atPath: path) {
              found.insert(led)
            }
          }
        }
        return found
      }
      let test = try TestRoot()
      _ = try RootedRunTests.runBlocking(test, "exit 0").result.get()
      let (before, open) = (places(), try Files.list("/proc/self/fd").count)
      for _ in 0..<20 { _ = try RootedRunTests.runBlocking(test, "exit 0").result.get() }
      #expect(places() == before)
      #expect(!before.contains(test.directory.path))
      #expect(try Files.list("/proc/self/fd").count == open)
    }
  }

  @Test("Many threads at once each get their own root")
  func parallel() async throws {
    let roots = try await onThread {
      try (0..<2).map { number in
        let test = try TestRoot()
        try test.write("/which", "\(number)\n")
        return test
      }
    }
    let seen = try await withThrowingTaskGroup(of: (Int, Set<[String]>).self) { group in
      for number in 0..<8 {
        group.addTask {
          try await onThread {
            let root = roots[number % 2]
            let all = try (0..<5).map { _ in
              try Self.runBlocking(root, "read w </which; echo $w", milliseconds: 60_000).lines()
            }
            return (number % 2, Set(all))
          }
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(seen.count == 8)
    #expect(seen.allSatisfy { $0.1 == [["\($0.0)"]] })
  }

  @Test("Its path is one of the root: through absolute links, and never to what is outside")
  func path() async throws {
    let (linked, outside) = try await onThread {
      let test = try TestRoot()
      try Files.makeDirectory(test.directory("opt"))
      let made = try Program.runBlocking(["ln", "-s", "/bin/sh", test.directory("opt/plugin")])
      guard made.succeeded else { throw TestError("\(made)") }
      return (
        Self.runBlocking(test, "echo it runs", executable: "/opt/plugin"),
        Self.runBlocking(test, "", executable: Program.find("ls"))
      )
    }
    #expect(try linked.lines() == ["it runs"])
    #expect(outside.failure == SystemError("spawn", Program.find("ls"), .noEntry))
  }

  @Test("A root that has vanished is an error, as one that never was")
  func vanished() async throws {
    let outcome = try await onThread {
      let test = try TestRoot()
      TemporaryDirectory.removeTree(test.directory.path)
      return Self.runBlocking(test, "echo no")
    }
    #expect(outcome.failure?.errno == .noEntry)
    #expect(throws: SystemError("open", "/no/such", .noEntry)) { try RootDirectory("/no/such") }
    #expect(throws: SystemError("open", "/etc/passwd", .notDirectory)) {
      try RootDirectory("/etc/passwd")
    }
  }

  @Test("Without the right to change its root it does not run at all; with it, it does again")
  func noRight() async {
    await #expect(processExitsWith: .success) {
      let test = try TestRoot()
      try Files.setPermissions(test.directory.path, 0o755)
      let refused = SystemError("chroot", test.directory.path, .notPermitted)
      // All threads lose their capabilities; the directory is open.
      seteuid(65_534)
      #expect(RootedRunTests.runBlocking(test, "echo no").failure == refused)
      #expect(throws: refused) { try test.root.check() }
      seteuid(0)
      #expect(try RootedRunTests.runBlocking(test, "echo yes").lines() == ["yes"])
      try test.root.check()
    }
  }
}
