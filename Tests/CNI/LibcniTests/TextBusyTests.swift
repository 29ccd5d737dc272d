import CNI
@_spi(Journal) import Linux
import TestSupport
import Testing

@testable import Libcni

@Suite("A plugin's file that is being written")
struct TextBusyTests {
  private let scripts: Scripts

  init() throws { scripts = try Scripts() }

  private func call(_ milliseconds: Int) -> PluginInvocation {
    PluginInvocation(
      type: "true", command: .add, environment: [], input: [],
      deadline: .after(milliseconds: milliseconds))
  }

  /// Copies a real program, because a script that is being written can be executed.
  private func copyProgram() throws {
    try Files.write(
      scripts.directory("true"), try Files.read("/bin/true"), mode: [.write, .create],
      permissions: 0o755)
  }

  @Test("It is tried again until it is whole")
  func retried() async throws {
    try copyProgram()
    let (executor, path) = (scripts.executor(busyPause: 1000), scripts.directory("true"))
    let ran = try await onThread { () throws -> Bool in
      let writer = try Files.open(path, [.write])
      let number = writer.release()
      try OSThread.start {
        Clock.pause(milliseconds: 50)
        _ = FileDescriptor(adopting: number)
      }
      return (try? executor.run(call(20_000), Permit())) != nil
    }
    #expect(ran)
  }

  @Test("It is tried six times in all, and then the error says why")
  func givenUp() async throws {
    try copyProgram()
    let (executor, path) = (scripts.executor(busyPause: 30), scripts.directory("true"))
    let (error, elapsed) = try await onThread { () throws -> (PluginError?, UInt64) in
      let writer = try Files.open(path, [.write])
      let start = KernelClock.monotonic
      do throws(PluginError) {
        _ = try executor.run(call(20_000), Permit())
        return (nil, 0)
      } catch {
        _ = consume writer
        return (error, KernelClock.monotonic - start)
      }
    }
    guard case .notStarted(let cause) = error?.reason else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(cause.errno == .textBusy)
    #expect(elapsed >= 5 * 30_000_000)
  }

  @Test("The deadline ends the tries")
  func deadline() async throws {
    try copyProgram()
    let executor = scripts.executor(busyPause: 60_000)
    let path = scripts.directory("true")
    let (reason, elapsed) = try await onThread { () throws -> (PluginError.Reason?, UInt64) in
      let writer = try Files.open(path, [.write])
      let start = KernelClock.monotonic
      do throws(PluginError) {
        _ = try executor.run(call(200), Permit())
        return (nil, 0)
      } catch {
        _ = consume writer
        return (error.reason, KernelClock.monotonic - start)
      }
    }
    #expect(reason == .deadline)
    #expect(elapsed < 30_000_000_000)
  }
}
