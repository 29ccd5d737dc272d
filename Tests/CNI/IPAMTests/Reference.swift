import CNI
import JSON
import Linux
import TestSupport

/// Debian's `host-local`, `static` … on a test's directories.
enum Reference {
  /// The newest version that Debian's plugins (1.1.1) speak.
  static let version = "1.0.0"

  /// Fails, rather than skips, when the plugins are not installed.
  static func require(_ name: String) throws -> String {
    let path = "\(Program.referencePlugins)/\(name)"
    guard (try? Files.status(path)) != nil else {
      throw TestError("\(path) is missing: apt-get install containernetworking-plugins")
    }
    return path
  }

  /// Runs a verb; blocks.
  static func run(
    _ name: String, _ command: String, _ configuration: NetworkConfiguration,
    _ containerID: String, _ ifName: String = "eth0"
  ) throws -> ProgramResult {
    try Program.runBlocking(
      [require(name)],
      environment: [
        "CNI_COMMAND": command, "CNI_CONTAINERID": containerID, "CNI_IFNAME": ifName,
        "CNI_NETNS": "/no/such/netns", "CNI_PATH": Program.referencePlugins,
      ], input: configuration.bytes)
  }
}
