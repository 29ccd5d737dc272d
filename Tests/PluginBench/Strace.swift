import Linux
package import TestSupport

/// strace at work on a node's daemon.
package struct Strace: Sendable {
  private let process: RunningProcess
  private let output: String

  /// Attaches to every thread of the daemon.
  package init(_ node: TestNode, inject: String) async throws {
    let (output, log) = (node.directory("trace"), node.directory("strace.log"))
    let call = inject.split(separator: ":")[0]
    for file in [output, log] { _ = try? Files.remove(file) }
    guard let pid = node.daemon?.pid else { throw TestError("no daemon to trace") }
    process = try await onThread {
      try RunningProcess(
        [
          Program.find("strace"), "-f", "-p", "\(pid)", "-o", output, "-e", "trace=\(call)", "-e",
          "inject=\(inject)",
        ], log: log)
    }
    self.output = output
    let attached = try await eventually {
      String(decoding: (try? Files.read(log)) ?? [], as: UTF8.self).contains(" attached")
    }
    guard attached else {
      throw TestError("strace did not attach: \(process.status.map { "\($0)" } ?? "runs")")
    }
  }

  /// Lets the daemon go, and tells what was traced.
  ///
  /// Not before it is quiet: a call that strace is about to fail when it ends fails with ENOSYS.
  package func end() async throws -> String {
    var size: Int?
    while let now = (try? Files.status(output))?.size, now != size {
      size = now
      // Shorter than the daemon's own tick, in which it always says something.
      await onThread { Clock.pause(milliseconds: 50) }
    }
    process.signal(.terminate)
    guard try await process.ended() != nil else { throw TestError("strace does not end") }
    return String(decoding: try Files.read(output), as: UTF8.self)
  }
}
