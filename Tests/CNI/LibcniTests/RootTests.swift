import CNI
import Glibc
@_spi(Journal) import Linux
import TestSupport
import Testing

@testable import Libcni

@Suite("Plugins below another root")
struct RootTests {
  private static func executor(_ test: TestRoot, _ searchPath: [String] = ["/no", "/opt/bin"])
    -> PluginExecutor
  {
    PluginExecutor(
      searchPath: searchPath, limits: ProgramRun.Limits(), path: "/usr/bin:/bin", root: test.root,
      busyPause: 500)
  }

  /// What plugin `x` printed or why not; blocks.
  private static func run(
    _ test: TestRoot, milliseconds: Int = 20_000
  ) -> Result<PluginOutput, PluginError> {
    let call = PluginInvocation(
      type: "x", command: .add, environment: [("CNI_IFNAME", "eth0")], input: Array("in".utf8),
      deadline: .after(milliseconds: milliseconds))
    // The directory is there until the plugin has ended.
    defer { withExtendedLifetime(test) {} }
    do throws(PluginError) {
      return .success(try executor(test).run(call, Permit()))
    } catch {
      return .failure(error)
    }
  }

  /// A root with a script as plugin `x`; blocks.
  private static func root(_ script: String) throws -> TestRoot {
    let test = try TestRoot()
    try test.write("/opt/real/x", "#!/bin/sh\n\(script)\n", permissions: 0o755)
    // As hosts have it: absolute.
    guard unsafe symlink("/opt/real", test.directory("opt/bin")) == 0 else {
      throw TestError("no link")
    }
    return test
  }

  @Test("One is found below it through absolute links, and runs with it as its root, in /")
  func runs() async throws {
    let (found, output, names) = try await onThread {
      let test = try Self.root("read w; echo $0 $CNI_IFNAME $w; pwd -P; echo /*")
      let executor = Self.executor(test)
      return (
        try executor.find("x", for: .add), try Self.run(test).get(),
        try Files.list(test.directory.path).sorted().map { "/\($0)" }
      )
    }
    #expect(found == "/opt/bin/x")
    #expect(output.text == "/opt/bin/x eth0 in\n/\n\(names.joined(separator: " "))\n")
  }

  @Test("What is only outside is not found, and the error names the root")
  func outside() async throws {
    let (test, outside) = (try await onThread { try Self.root("") }, try TemporaryDirectory())
    try Files.write(outside("only"), [], mode: [.write, .create])
    let executor = Self.executor(test, [outside.path, "/../../..\(outside.path)", "/opt"])
    for type in ["only", "bin", ".."] {
      let error = #expect(throws: PluginError.self) { try executor.find(type, for: .add) }
      let path = executor.searchPath.joined(separator: " ")
      #expect(
        error?.description
          == "failed to find plugin \"\(type)\" in path [\(path)] below \(test.directory.path)")
    }
  }

  @Test("Its errors are a plugin's errors")
  func failures() async throws {
    let (refused, late) = try await onThread {
      (
        Self.run(try Self.root(#"echo '{"code":7,"msg":"no"}'; exit 1"#)),
        Self.run(try Self.root("kill -STOP $$"), milliseconds: 500)
      )
    }
    #expect(throws: PluginError.self) { try refused.get() }
    if case .failure(let error) = refused { #expect(error.description == "no") }
    if case .failure(let error) = late { #expect(error.reason == .deadline) }
    #expect(throws: PluginError.self) { try late.get() }
  }

  @Test("A lack of descriptors or of the right to change root is not the lack of a program")
  func scarcity() async {
    await #expect(processExitsWith: .success) {
      let test = try RootTests.root("echo '{}'")
      try Files.setPermissions(test.directory.path, 0o755)
      guard case .success = RootTests.run(test) else { fatalError("it does not run") }
      let lacking = try withDescriptors(more: 0) { RootTests.run(test) }
      // All threads lose their capabilities.
      seteuid(65_534)
      let refused = RootTests.run(test)
      seteuid(0)
      for (run, errno) in [(lacking, Errno.tooManyFiles), (refused, .notPermitted)] {
        guard case .failure(let error) = run, case .notStarted(let cause) = error.reason,
          cause.errno == errno, !error.hasRunNothing
        else { fatalError("\(run)") }
      }
    }
  }
}
