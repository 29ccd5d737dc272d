import JSON
import TestSupport

/// A call of the real shim with exactly the given environment and standard input,
/// outside of any node.
struct ShimCall {
  var environment = [
    "CNI_COMMAND": "ADD", "CNI_CONTAINERID": "some-container-id",
    "CNI_NETNS": "/some/netns/path", "CNI_IFNAME": "eth0",
    "CNI_ARGS": "K8S_POD_NAMESPACE=awesome-namespace;K8S_POD_NAME=awesome-name",
    "CNI_PATH": "/some/cni/path",
  ]
  var configuration: JSONValue = ["cniVersion": "1.1.0", "name": "skel-test", "type": "cni-shim"]

  init(_ command: String = "ADD", _ changes: [String: String?] = [:]) {
    environment["CNI_COMMAND"] = command
    for (key, value) in changes { environment[key] = value }
  }

  /// The same call with a member of the configuration set; nil removes it.
  func with(_ key: String, _ value: JSONValue?) -> ShimCall {
    var call = self
    call.configuration = configuration.setting(key, value)
    return call
  }

  /// The same call for a daemon in this directory.
  func to(_ directory: TemporaryDirectory, timeout: Int = 10) -> ShimCall {
    with("daemonSocketDir", .string(directory.path)).with("daemonTimeout", .number(.init(timeout)))
  }

  func run(within milliseconds: Int = 30_000) async throws -> ProgramResult {
    try await Program.run(
      [Program.shim], environment: environment, input: configuration.bytes, within: milliseconds)
  }

  /// The same through bash, which gives the shim another standard input: `exec "$0" < /`.
  func run(redirected: String, within milliseconds: Int = 30_000) async throws -> ProgramResult {
    try await Program.run(
      ["bash", "-c", "exec \"$0\" \(redirected)", Program.shim], environment: environment,
      within: milliseconds)
  }
}

extension TemporaryDirectory {
  /// Where the shim looks for the daemon's socket in here.
  var socket: String { self("cnid.sock") }
}
