import Foundation
import Glibc
public import Linux

/// A program that runs beside a test and ends with it.
///
/// A thread of its own starts it, stays and waits for it, because the kernel ends the program
/// (PR_SET_PDEATHSIG) together with that thread: a test process that dies takes its programs along.
public final class RunningProcess: Sendable {
  private struct State: Sendable {
    var pid: Int32?
    var status: ExitStatus?
    var failure: String?
  }
  private let state = Locked(State())

  /// Its process id.
  public let pid: Int32

  /// Starts a program in a mount namespace of its own; blocks until it has been started.
  ///
  /// - Parameters:
  ///   - command: its path and arguments.
  ///   - environment: the whole environment.
  ///   - input: a descriptor that becomes its standard input; nil: nothing to read.
  ///   - log: the file that gets what it prints, at its end.
  ///   - namespace: its network namespace; nil for this process's.
  /// - Throws: when it could not be started.
  public init(
    _ command: [String], environment: [String: String] = [:], input: Int32? = nil, log: String,
    in namespace: TestNamespace? = nil
  ) throws {
    let state = state
    let started = try Cancellation()
    let path = namespace?.path
    let environment = environment.merging(Program.sanitizerEnvironment) { given, _ in given }
    let wrapped =
      ["unshare", "--mount", "--", Program.find("setpriv"), "--pdeathsig", "KILL", "--"] + command
    try OSThread.start {
      do {
        if let path { try NetworkNamespace(path: path).enter() }
        let output = try Files.open(log, [.write, .create, .append])
        let child = try ChildProcess(
          executable: Program.find("unshare"), arguments: wrapped,
          environment: environment.map { "\($0.key)=\($0.value)" }, input: input,
          output: output.rawValue, errorOutput: output.rawValue)
        state.withLock { $0.pid = child.pid }
        started.cancel()
        try Deadline.never.wait(child.descriptor, for: .read, "wait")
        // Under the lock, so that nobody sends a signal to a number that is free again.
        try state.withLock { $0.status = try child.wait(deadline: .never) }
      } catch {
        state.withLock { $0.failure = "\(error)" }
        started.cancel()
      }
    }
    while !started.isCancelled { Clock.pause(milliseconds: 1) }
    guard let pid = state.value.pid else {
      throw TestError("\(command): \(state.value.failure ?? "not started")")
    }
    self.pid = pid
  }

  deinit { signal(.kill) }

  /// How it ended, nil while it runs.
  public var status: ExitStatus? { state.value.status }

  /// Sends it a signal; nothing happens if it has ended.
  public func signal(_ signal: Signal) {
    state.withLock { state in
      if state.status == nil { try? signal.send(to: pid) }
    }
  }

  /// Waits for its end.
  ///
  /// - Returns: how it ended, nil if it has not in time.
  public func ended(within milliseconds: Int = 10_000) async throws -> ExitStatus? {
    _ = try await eventually(within: milliseconds) { self.status != nil }
    return status
  }

  /// What the kernel tells of it.
  public var usage: ProcessUsage { ProcessUsage(pid: pid) }

  /// What its open descriptors lead to, as /proc names it: paths, `socket:[17]`, and more.
  public var openFiles: [String] {
    let directory = "/proc/\(pid)/fd"
    return ((try? Files.list(directory)) ?? []).compactMap {
      try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\($0)")
    }
  }
}

/// What a process holds, from /proc.
public struct ProcessUsage: Equatable, Sendable {
  /// Number of open descriptors.
  public let descriptors: Int
  /// Number of threads.
  public let threads: Int
  /// Resident memory in KiB.
  public let resident: Int
  /// The most resident memory that it ever had, in KiB.
  public let peak: Int

  /// Reads it; all zero if there is no such process.
  public init(pid: Int32) {
    descriptors = (try? Files.list("/proc/\(pid)/fd"))?.count ?? 0
    threads = (try? Files.list("/proc/\(pid)/task"))?.count ?? 0
    var values: [Substring: Int] = [:]
    for file in ["status", "smaps_rollup"] {
      let text = (try? Files.read("/proc/\(pid)/\(file)")) ?? []
      for line in String(decoding: text, as: UTF8.self).split(separator: "\n") {
        let words = line.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == ":" })
        if words.count >= 2, let number = Int(words[1]) { values[words[0]] = number }
      }
    }
    // smaps_rollup counts exactly; VmRSS may be off by some pages for each processor.
    resident = values["Rss"] ?? values["VmRSS"] ?? 0
    peak = max(values["VmHWM"] ?? 0, resident)
  }
}
