import CNI
@_spi(Journal) import Linux
import TestSupport

@testable import Libcni

/// Plugins of a test's own: shell scripts in a directory.
struct Scripts: Sendable {
  let directory: TemporaryDirectory

  init() throws {
    // A plugin that does not read its input must not end this process.
    Signal.ignoreBrokenPipes()
    directory = try TemporaryDirectory()
  }

  /// Writes an executable script.
  func write(_ name: String, _ body: String) throws {
    try Files.write(
      directory(name), Array("#!/bin/sh\n\(body)\n".utf8), mode: [.write, .create, .truncate],
      permissions: 0o755)
  }

  /// An executor that finds the scripts.
  ///
  /// A program that another test starts at this moment may hold a script that was just written.
  func executor(
    limits: ProgramRun.Limits = ProgramRun.Limits(), busyPause: Int = 500
  ) -> PluginExecutor {
    PluginExecutor(
      searchPath: [directory.path], limits: limits, path: "/usr/bin:/bin", busyPause: busyPause)
  }

  /// Runs a verb of a plugin, with its output or its error as the value.
  func run(
    _ type: String, _ command: CNICommand = .add, environment: [(String, String)] = [],
    input: String = "{}", limits: ProgramRun.Limits = ProgramRun.Limits(),
    milliseconds: Int = 20_000
  ) async -> Result<PluginOutput, PluginError> {
    let executor = executor(limits: limits)
    return await onThread {
      let call = PluginInvocation(
        type: type, command: command, environment: environment, input: Array(input.utf8),
        deadline: .after(milliseconds: milliseconds))
      do throws(PluginError) {
        return .success(try executor.run(call, Permit()))
      } catch {
        return .failure(error)
      }
    }
  }

  /// Runs a plugin that must fail.
  func failure(
    _ type: String, limits: ProgramRun.Limits = ProgramRun.Limits(), milliseconds: Int = 20_000
  ) async throws -> PluginError {
    switch await run(type, limits: limits, milliseconds: milliseconds) {
    case .success(let output): throw TestError("it succeeded: \(output)")
    case .failure(let error): return error
    }
  }
}

extension PluginOutput {
  var text: String { String(decoding: output, as: UTF8.self) }
}
