public import FakeVRouter
public import JSON
import Linux

/// A node with a vRouter agent, as the specification's test cases have it.
///
/// The daemon has an `/etc`, `/var/log` and `/var/lib` of its own. The agent listens at port 9091
/// and knows the pod `default/web-0` with one interface, unless a test tells it otherwise.
public struct VRouterNode: Sendable {
  /// The node.
  public let node: TestNode
  /// Its agent.
  public let agent: FakeAgent
  /// What stands for `/etc`, `/var/log`, `/var/lib` and `/var/lib/contrail/ports`.
  public let directory: TemporaryDirectory

  fileprivate init(_ node: TestNode, _ directory: TemporaryDirectory) throws {
    self.node = node
    self.directory = directory
    agent = FakeAgent(
      namespace: node.network.path, port: 9091, portFiles: directory("ports/vm"))
    agent.change {
      $0.configure(VRouterFixture.name, uuid: VRouterFixture.podUID, VRouterFixture.one)
    }
    try disk("10-contrail.conf", network().bytes)
    try agent.start()
  }

  /// The agent's directory: port files are in `vm` below it.
  public var ports: String { directory("ports") }
  /// `config-dir`.
  public var portFiles: String { directory("ports/vm") }

  // MARK: Configuration

  /// A network's configuration with the agent's address and directories.
  ///
  /// - Parameters:
  ///   - contrail: members of `contrail` that are set or, for nil, removed.
  ///   - top: the same for the members around it.
  /// - Returns: what the shim gets on its standard input.
  public func network(
    _ contrail: [String: JSONValue?] = [:], top: [String: JSONValue?] = [:]
  ) -> JSONValue {
    var inner: JSONValue = [
      "cluster-name": "k8s", "meta-plugin": "multus", "vrouter-ip": "127.0.0.1",
      "vrouter-port": 9091, "config-dir": .string(portFiles), "poll-timeout": 1,
      "poll-retries": 3, "mtu": 1500,
    ]
    for key in contrail.keys.sorted() { inner = inner.setting(key, contrail[key] ?? nil) }
    var outer: JSONValue = [
      "cniVersion": "0.3.1", "name": "contrail-k8s-cni", "type": "contrail-k8s-cni",
      "plugin": "vrouter", "daemonSocketDir": .string(node.socketDirectory), "daemonTimeout": 30,
      "contrail": inner,
    ]
    for key in top.keys.sorted() { outer = outer.setting(key, top[key] ?? nil) }
    return outer
  }

  /// Writes a file that the daemon sees in `/etc/cni/net.d`.
  public func disk(_ name: String, _ bytes: [UInt8]) throws {
    try Files.write(
      directory("etc/cni/net.d/\(name)"), bytes, mode: [.write, .create, .truncate],
      permissions: 0o644)
  }

  /// Empties `/etc/cni/net.d`.
  public func clearDisk() throws {
    for name in try Files.list(directory("etc/cni/net.d")) {
      try Files.remove(directory("etc/cni/net.d/\(name)"))
    }
  }

  // MARK: Calls

  /// Calls the shim.
  ///
  /// - Parameters:
  ///   - command: `ADD`, …
  ///   - pod: its container id and namespace.
  ///   - network: its configuration; nil for the node's own.
  ///   - ifname: `CNI_IFNAME`.
  ///   - identity: who the pod is to Kubernetes.
  ///   - parent: the name (comm) of the process that calls it, such as `multus`; nil for the
  ///     test's.
  ///   - changes: environment variables that are set; nil removes one.
  ///   - milliseconds: when the shim is killed.
  /// - Returns: what it printed and how it ended.
  /// - Throws: when it could not be run.
  public func shim(
    _ command: String, _ pod: TestPod, _ network: JSONValue? = nil, ifname: String = "eth0",
    as identity: PodIdentity = .web0, parent: String? = nil,
    environment changes: [String: String?] = [:],
    within milliseconds: Int = 60_000
  ) async throws -> ProgramResult {
    var words = [Program.shim]
    if let parent {
      // A shell of that name, which stays the parent until the shim has ended.
      let shell = directory(parent)
      if (try? Files.status(shell)) == nil {
        // Not written here: a program that this process starts meanwhile would have the file open,
        // and it could not be executed.
        let copy = directory("\(parent)-\(try Unique.word())")
        let run = try await Program.run(["install", "-m", "0755", Program.find("sh"), copy])
        guard run.succeeded else { throw TestError("\(run)") }
        try Files.rename(copy, shell)
      }
      words = [shell, "-c", "\"$0\"; exit $?", Program.shim]
    }
    let own: [String: String?] = ["CNI_ARGS": identity.arguments(pod.containerID)]
    return try await node.network.run(
      words,
      environment: pod.environment(command, ifname: ifname, own.merging(changes) { $1 }),
      input: (network ?? self.network()).bytes, within: milliseconds)
  }

  /// ADD that must succeed.
  ///
  /// - Returns: the result.
  @discardableResult
  public func add(
    _ pod: TestPod, _ network: JSONValue? = nil, ifname: String = "eth0",
    as identity: PodIdentity = .web0, parent: String? = nil,
    environment changes: [String: String?] = [:]
  ) async throws -> JSONValue {
    let run = try await shim(
      "ADD", pod, network, ifname: ifname, as: identity, parent: parent, environment: changes)
    guard run.succeeded, let json = run.json else { throw TestError("ADD: \(run)") }
    return json
  }

  /// DEL that must succeed.
  public func delete(
    _ pod: TestPod, _ network: JSONValue? = nil, ifname: String = "eth0",
    as identity: PodIdentity = .web0, parent: String? = nil,
    environment changes: [String: String?] = [:]
  ) async throws {
    let run = try await shim(
      "DEL", pod, network, ifname: ifname, as: identity, parent: parent, environment: changes)
    guard run.succeeded, run.output.isEmpty else { throw TestError("DEL: \(run)") }
    try await node.waitForSpool(after: run)
  }

  // MARK: What there is

  /// A port file of the pod of the examples, nil if there is none.
  public func portFile(_ interface: String, name: String = VRouterFixture.name) -> JSONValue? {
    (try? Files.read("\(portFiles)/\(name)/\(interface)")).flatMap { try? JSONValue.parse($0) }
  }

  /// All that there is: links, records, files below the agent's directory, ports at the agent.
  public func state(_ pods: [TestPod] = []) async throws -> State {
    State(
      snapshot: try await node.snapshot(pods),
      files: TemporaryDirectory.files(below: ports),
      names: ((try? Files.list(portFiles)) ?? []).sorted(),
      subscriptions: agent.subscriptions.map(\.description))
  }

  /// What differs from an earlier state, once it has had its time, and what the
  /// agent was wronged by.
  public func leftovers(
    since before: State, _ pods: [TestPod] = [], within milliseconds: Int = patience
  ) async throws -> [String] {
    try await settled(within: milliseconds) {
      let now = try await state(pods)
      var left = Snapshot.difference(before.snapshot, now.snapshot, process: false)
      let lists = [
        ("files", before.files, now.files), ("directories", before.names, now.names),
        ("subscriptions", before.subscriptions, now.subscriptions),
      ]
      for (what, old, new) in lists where old != new { left.append("\(what): \(old) -> \(new)") }
      left += agent.violations
      return left
    }
  }

  /// What there is.
  public struct State: Sendable {
    /// Links and records.
    public let snapshot: Snapshot
    /// Files below the agent's directory.
    public let files: [String]
    /// Pods that have a directory of port files.
    public let names: [String]
    /// Ports that the agent has been told of.
    public let subscriptions: [String]
  }
}

/// Creates a node with an agent, hands it to a test and takes it down again.
///
/// - Parameters:
///   - options: how the node is made.
///   - body: the test.
/// - Returns: what `body` returned.
/// - Throws: what making the node or `body` threw.
public func withVRouterNode<Value: Sendable>(
  _ options: TestNode.Options = TestNode.Options(), _ body: (VRouterNode) async throws -> Value
) async throws -> Value {
  let directory = try TemporaryDirectory()
  for name in ["etc/cni/net.d", "log", "lib", "ports/vm"] {
    try Files.makeDirectories(directory(name), permissions: 0o755)
  }
  var options = options
  options.preparation =
    "mount --bind \(directory("etc")) /etc && mount --bind \(directory("log")) /var/log"
    + " && mount --bind \(directory("lib")) /var/lib"
  let result = try await withTestNode(options) { node in
    try await body(try VRouterNode(node, directory))
  }
  return result
}
