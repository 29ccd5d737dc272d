import Linux
import TestSupport
import Testing

@Suite("Programs that are run")
struct ProgramRunTests {
  /// Runs a shell script on a thread of its own.
  private func run(
    _ script: String, input: [UInt8] = [], limits: ProgramRun.Limits = .init(),
    environment: [String] = [], milliseconds: Int = 20_000
  ) async -> Result<ProgramRun, SystemError> {
    await onThread {
      do throws(SystemError) {
        return .success(
          try ProgramRun.run(
            executable: "/bin/sh", arguments: ["sh", "-c", script], environment: environment,
            input: input, limits: limits, deadline: .after(milliseconds: milliseconds)))
      } catch {
        return .failure(error)
      }
    }
  }

  @Test("Output, errors and status come back")
  func output() async throws {
    let result = try await run("cat; echo bad >&2; exit 3", input: Array("in".utf8)).get()
    #expect(result.status == .exited(3))
    #expect(result.output == Array("in".utf8))
    #expect(result.errorOutput == Array("bad\n".utf8))
  }

  @Test("A death by signal is told from an exit")
  func signal() async throws {
    #expect(try await run("kill -TERM $$").get().status == .signalled(15))
  }

  @Test("The environment is exactly what was given, the directory is /")
  func environment() async throws {
    let result = try await run(
      "/usr/bin/env | /usr/bin/sort; pwd", environment: ["A=1", "B=x y"]
    ).get()
    #expect(String(decoding: result.output, as: UTF8.self) == "A=1\nB=x y\nPWD=/\n/\n")
  }

  @Test("Input that the program does not read is no error")
  func unreadInput() async throws {
    let result = try await run("exit 0", input: [UInt8](repeating: 65, count: 1 << 20)).get()
    #expect(result.status == .exited(0))
  }

  @Test("Large input and output pass whole")
  func large() async throws {
    let bytes = [UInt8](repeating: 66, count: 3 << 20)
    #expect(try await run("cat", input: bytes).get().output == bytes)
  }

  @Test("Output beyond the limit ends the program")
  func outputLimit() async {
    var limits = ProgramRun.Limits()
    limits.output = 65_536
    #expect(
      await run("exec yes", limits: limits) == .failure(SystemError("run", "/bin/sh", .tooBig)))
  }

  @Test("Of the errors the last part is kept")
  func errorLimit() async throws {
    var limits = ProgramRun.Limits()
    limits.errorOutput = 5
    let result = try await run("echo 0123456789 >&2", limits: limits).get()
    #expect(result.errorOutput == Array("6789\n".utf8))
  }

  @Test("At the deadline the whole process group dies")
  func deadline() async throws {
    let marker = try Random.bytes(6).map { String($0, radix: 16) }.joined()
    let began = KernelClock.monotonic
    let result = await run(
      "sleep 1000 & exec /bin/sh -c 'sleep 1000; : \(marker)'", milliseconds: 200)
    #expect(result == .failure(SystemError("run", "/bin/sh", .timedOut)))
    // The pool on which this goes on may be busy with other tests for long.
    #expect(KernelClock.monotonic - began < 120_000_000_000)
    // A killed process is still listed until the kernel has come to its end.
    #expect(try await becomes { processes(containing: marker) == 0 })
  }

  @Test("A grandchild that keeps the pipes open delays nothing and is ended")
  func grandchild() async throws {
    let marker = try Random.bytes(6).map { String($0, radix: 16) }.joined()
    let result = try await run("/bin/sh -c 'sleep 1000; : \(marker)' & echo done").get()
    #expect(result.output == Array("done\n".utf8))
    #expect(try await becomes { processes(containing: marker) == 0 })
  }

  @Test("A program that is not there is ENOENT")
  func missing() async {
    let error = await onThread { () -> SystemError? in
      do throws(SystemError) {
        _ = try ProgramRun.run(
          executable: "/nonexistent", arguments: ["x"], environment: [],
          deadline: .after(seconds: 5))
        return nil
      } catch {
        return error
      }
    }
    #expect(error == SystemError("spawn", "/nonexistent", .noEntry))
  }

  @Test("Nothing is left open in the child or here")
  func descriptors() async {
    await #expect(processExitsWith: .success) {
      func count() -> Int { ((try? Files.list("/proc/self/fd")) ?? []).count }
      func children() throws -> String {
        let run = try ProgramRun.run(
          executable: "/bin/sh", arguments: ["sh", "-c", "echo /proc/$$/fd/*"], environment: [],
          deadline: .after(seconds: 100))
        return String(decoding: run.output, as: UTF8.self)
      }
      let held = try Files.open("/dev/null", [.read])
      _ = try children()
      let before = count()
      for _ in 0..<20 {
        let open = try children().split(separator: " ").count
        #expect(open == 3 || open == 4)
      }
      #expect(count() == before)
      _ = held.rawValue
    }
  }

  /// How many processes have a text in their command line.
  private func processes(containing marker: String) -> Int {
    let names = (try? Files.list("/proc")) ?? []
    return names.filter { name in
      guard Int(name) != nil, let line = try? Files.read("/proc/\(name)/cmdline") else {
        return false
      }
      return String(decoding: line, as: UTF8.self).contains(marker)
    }.count
  }
}
