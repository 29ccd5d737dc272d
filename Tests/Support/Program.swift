import Glibc
public import JSON
public import Linux

/// A program that a test runs: what it printed and how it ended.
public struct ProgramResult: Sendable, CustomStringConvertible {
  /// How it ended.
  public let status: ExitStatus
  /// Its standard output.
  public let output: [UInt8]
  /// The end of its standard error.
  public let errorOutput: [UInt8]
  /// How long it ran.
  public let milliseconds: Int

  /// Whether it ended with status 0.
  public var succeeded: Bool { status == .exited(0) }
  /// Its standard output as text.
  public var text: String { String(decoding: output, as: UTF8.self) }
  /// Its standard error as text.
  public var errorText: String { String(decoding: errorOutput, as: UTF8.self) }
  /// Its standard output as JSON, nil if it is none.
  public var json: JSONValue? { try? JSONValue.parse(output) }

  /// The member `code` of an error that it printed.
  public var code: Int? { json?["code"]?.int }
  /// The member `msg` of an error that it printed.
  public var message: String? { json?["msg"]?.string }
  /// The member `details` of an error that it printed.
  public var details: String? { json?["details"]?.string }

  /// Everything, for a failed expectation.
  public var description: String {
    "\(status) after \(milliseconds) ms; stdout: \(text); stderr: \(errorText)"
  }
}

/// Running the machine's and our own programs.
public enum Program {
  /// The directory of the programs under test: `$CNI_PROGRAMS`, else `.build/dist`.
  public static var directory: String {
    if let given = environment["CNI_PROGRAMS"] { return given }
    return "\(packageDirectory)/.build/dist"
  }

  /// The package's directory.
  public static var packageDirectory: String {
    let here = #filePath
    // Tests/Support/Program.swift
    return here.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" }
  }

  /// The real shim.
  public static var shim: String { "\(directory)/cni-shim" }
  /// The real daemon.
  public static var daemon: String { "\(directory)/cnid" }
  /// Where Debian's `containernetworking-plugins` are.
  public static let referencePlugins = "/usr/lib/cni"

  /// This process's environment.
  public static var environment: [String: String] {
    var result: [String: String] = [:]
    let bytes = (try? Files.read("/proc/self/environ")) ?? []
    for entry in bytes.split(separator: 0) {
      let text = String(decoding: entry, as: UTF8.self)
      guard let equals = text.firstIndex(of: "=") else { continue }
      result[String(text[..<equals])] = String(text[text.index(after: equals)...])
    }
    return result
  }

  /// The sanitizer that tests and programs are built with
  /// (`scripts/test --sanitize`), nil for none.
  public static let sanitizer = environment["CNI_SANITIZER"]

  /// Whether the tests run on Debian's kernel in a virtual machine (`scripts/test --kernel`), which
  /// can do everything that Open vSwitch wants of one.
  public static let hasFullKernel = environment["CNI_KERNEL"] == "1"

  /// How many times slower everything is here than elsewhere, always: under a sanitizer, or on an
  /// emulated machine (`$CNI_TEST_SLOWNESS`).
  public static let slowness =
    (sanitizer == nil ? 1 : 5) * max(environment["CNI_TEST_SLOWNESS"].flatMap { Int($0) } ?? 1, 1)

  /// How many times longer than usual something may take, on this machine as busy as it is now.
  public static var patience: Int { slowness * Slowness.factor }

  /// So many rounds, or a tenth where everything is slow.
  public static func rounds(_ count: Int) -> Int { slowness == 1 ? count : count / 10 }

  /// What a program that is built with a sanitizer must have in its environment, so that its
  /// reports are found.
  static let sanitizerEnvironment = environment.filter {
    ["TSAN_OPTIONS", "ASAN_OPTIONS", "LSAN_OPTIONS", "SWIFT_BACKTRACE"].contains($0.key)
      && sanitizer != nil
  }

  /// The path of a program: as given if it has a slash, else searched where Debian installs.
  public static func find(_ name: String) -> String {
    if name.contains("/") { return name }
    let places = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
    return places.map { "\($0)/\(name)" }.first { (try? Files.status($0)) != nil } ?? name
  }

  /// Runs a program to its end; blocks, and the calling thread's namespaces are the program's.
  ///
  /// - Parameters:
  ///   - command: the program and its arguments.
  ///   - environment: the whole environment.
  ///   - input: its standard input.
  ///   - milliseconds: when it is killed.
  /// - Returns: what it printed and how it ended; a status other than 0 is no error here.
  /// - Throws: when it cannot be started or did not end in time.
  public static func runBlocking(
    _ command: [String], environment: [String: String] = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"],
    input: [UInt8] = [], within milliseconds: Int = 30_000
  ) throws -> ProgramResult {
    guard let name = command.first else { throw TestError("no program to run") }
    var limits = ProgramRun.Limits()
    limits.output = 64 << 20
    limits.errorOutput = 1 << 20
    let start = KernelClock.monotonic
    let environment = environment.merging(sanitizerEnvironment) { given, _ in given }
    do {
      let run = try ProgramRun.run(
        executable: find(name), arguments: command,
        environment: environment.map { "\($0.key)=\($0.value)" }.sorted(), input: input,
        limits: limits, deadline: .after(milliseconds: milliseconds * patience))
      return ProgramResult(
        status: run.status, output: run.output, errorOutput: run.errorOutput,
        milliseconds: Int((KernelClock.monotonic - start) / 1_000_000))
    } catch {
      throw TestError("\(command.joined(separator: " ")): \(error)")
    }
  }

  /// Runs a program to its end on a thread of its own, in this process's namespaces.
  public static func run(
    _ command: [String], environment: [String: String] = ["PATH": "/usr/sbin:/usr/bin:/sbin:/bin"],
    input: [UInt8] = [], within milliseconds: Int = 30_000
  ) async throws -> ProgramResult {
    try await onThread {
      try runBlocking(command, environment: environment, input: input, within: milliseconds)
    }
  }
}
