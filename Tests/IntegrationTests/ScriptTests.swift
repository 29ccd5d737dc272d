import Linux
import TestSupport
import Testing

/// The scripts as a newcomer meets them.
@Suite struct ScriptTests {
  static let scripts =
    ["build", "lint", "test", "demo", "bench", "soak", "docs", "vm"].map { "scripts/\($0)" }
    + [".ci/run"]

  @Test("Every script says what it does", arguments: scripts)
  func help(script: String) async throws {
    let run = try await Program.run(["\(Program.packageDirectory)/\(script)", "--help"])
    #expect(run.succeeded, "\(run)")
    #expect(run.text.contains(script), "\(run)")
  }

  @Test(
    "A script that needs root says so to anybody else",
    arguments: ["test", "demo", "bench", "soak"])
  func withoutRoot(script: String) async throws {
    // From a copy that nobody needs root to reach.
    let directory = try TemporaryDirectory()
    try Files.setPermissions(directory.path, 0o755)
    _ = try await Program.run([
      "cp", "-r", "\(Program.packageDirectory)/scripts", directory("scripts"),
    ])
    _ = try await Program.run(["chmod", "-R", "a+rX", directory.path])
    let run = try await Program.run([
      "setpriv", "--reuid", "65534", "--clear-groups", directory("scripts/\(script)"),
    ])
    #expect(run.status != .exited(0))
    #expect(run.errorText.contains("needs root"), "\(run)")
  }

  @Test("A demo that there is not is named, and the help has those that there are")
  func demos() async throws {
    let demo = "\(Program.packageDirectory)/scripts/demo"
    let run = try await Program.run([demo, "bridge"])
    #expect(run.status == .exited(1))
    #expect(run.errorText.contains("no demo of bridge"), "\(run)")
    let help = try await Program.run([demo, "ovs", "--help"])
    #expect(help.text.contains("macvlan | ovs | vrouter"), "\(help)")
  }

  @Test(
    "An option that nobody knows is named", arguments: ["build", "lint", "demo", "bench", "soak"])
  func unknownOption(script: String) async throws {
    let run = try await Program.run(["\(Program.packageDirectory)/scripts/\(script)", "--nope"])
    #expect(run.status == .exited(1))
    #expect(run.errorText.contains("--nope"), "\(run)")
  }
}
