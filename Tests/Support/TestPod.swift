/// A pod as a runtime makes it: a container id and a network namespace.
public final class TestPod: Sendable {
  /// Its container id, used once in a run.
  public let containerID: String
  /// Its namespace.
  public let network: TestNamespace

  /// Creates one with a new, empty namespace.
  public init(_ name: String = "pod") async throws {
    containerID = "\(name)-\(try Unique.word())"
    network = try await TestNamespace()
  }

  /// Creates one of a given container id, which other tests may use on their nodes.
  public init(containerID: String) async throws {
    self.containerID = containerID
    network = try await TestNamespace()
  }

  /// The path of its namespace: `CNI_NETNS`.
  public var netns: String { network.path }

  /// The Kubernetes identity as a runtime gives it: `CNI_ARGS`.
  public var arguments: String {
    "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=\(containerID);"
      + "K8S_POD_INFRA_CONTAINER_ID=\(containerID);K8S_POD_UID=uid-\(containerID)"
  }

  /// The environment of a CNI call for it.
  public func environment(
    _ command: String, ifname: String = "eth0", _ changes: [String: String?] = [:]
  ) -> [String: String] {
    var environment = [
      "CNI_COMMAND": command, "CNI_CONTAINERID": containerID, "CNI_NETNS": netns,
      "CNI_IFNAME": ifname, "CNI_ARGS": arguments, "CNI_PATH": Program.referencePlugins,
    ]
    for (key, value) in changes { environment[key] = value }
    return environment
  }
}
