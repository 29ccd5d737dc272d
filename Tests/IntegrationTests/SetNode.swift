import JSON
import Linux
import TestSupport
import Testing

/// A node whose networks are sets, with Debian's reference plugins as the programs.
struct SetNode: Sendable {
  let node: TestNode

  static let programs: [String: String?] = ["CNI_PATH": Program.referencePlugins]

  /// A configuration that the plugin `delegate` serves.
  func network(_ members: [String: JSONValue?]) -> JSONValue {
    let shim: JSONValue = [
      "cniVersion": "1.0.0", "name": "pods", "type": "cni-shim", "plugin": "delegate",
      "daemonSocketDir": .string(node.socketDirectory), "daemonTimeout": 60,
      "cacheDir": .string(node.directory("cache")),
    ]
    return shim.setting(members)
  }

  func macvlan(_ subnet: String, named name: String? = nil) -> JSONValue {
    let plugin: JSONValue = [
      "type": "macvlan", "master": "uplink",
      "ipam": ["type": "host-local", "subnet": .string(subnet)],
    ]
    return name.map { plugin.setting("name", .string($0)) } ?? plugin
  }

  /// The reference bridge, whose name and network are given.
  func bridge(_ link: String, _ subnet: String, named name: String? = nil) -> JSONValue {
    let plugin: JSONValue = [
      "type": "bridge", "bridge": .string(link),
      "ipam": [
        "type": "host-local", "subnet": .string(subnet), "dataDir": .string(node.dataDirectory),
      ],
    ]
    return name.map { plugin.setting("name", .string($0)) } ?? plugin
  }

  /// Stops the daemon, damages the record whose member has this value, and starts the next one.
  func restart(damaging key: String, _ value: JSONValue) async throws {
    try await node.stop()
    let directory = node.directory("state/attachments")
    for name in try Files.list(directory) {
      let path = "\(directory)/\(name)"
      guard try JSONValue.parse(Files.read(path))[key] == value else { continue }
      try Files.write(path, Array("{".utf8), mode: [.write, .truncate])
    }
    try await node.start()
  }

  /// What libcni would keep.
  var cached: [String] { TemporaryDirectory.files(below: node.directory("cache")) }

  func add(_ pod: TestPod, _ network: JSONValue) async throws -> JSONValue {
    try await node.add(pod, network, Self.programs)
  }

  func call(_ command: String, _ pod: TestPod, _ network: JSONValue) async throws -> ProgramResult {
    try await node.shim(command, pod, network, Self.programs)
  }

  /// Has a pod looked at by CHECK, and then passed over by a GC that lists it: nothing changes.
  func expectKept(_ pod: TestPod, _ network: JSONValue, _ result: JSONValue) async throws {
    let check = try await call("CHECK", pod, network.setting("prevResult", result))
    #expect(check.succeeded, "CHECK: \(check)")
    try await expectSpared(pod, network)
  }

  /// Has a pod passed over by a GC that lists it: nothing changes.
  func expectSpared(_ pod: TestPod, _ network: JSONValue) async throws {
    let list: JSONValue = [["containerID": .string(pod.containerID), "ifname": "eth0"]]
    let before = [try await pod.network.links(), node.records, node.leases, cached]
    // Only this version has GC; no plugin of Debian's knows it.
    let collected = try await call(
      "GC", pod, network.setting(["cniVersion": "1.1.0", "cni.dev/valid-attachments": list]))
    #expect(collected.succeeded, "GC: \(collected)")
    let after = [try await pod.network.links(), node.records, node.leases, cached]
    #expect(after == before)
  }

  func delete(_ pod: TestPod, _ network: JSONValue) async throws {
    try await node.delete(pod, network, Self.programs)
  }

  /// A call on `/delegate`, as a controller makes it for a running pod.
  func plug(
    _ command: String, _ pod: TestPod, _ network: JSONValue, _ ifname: String,
    _ attributes: JSONValue? = nil
  ) async throws -> RawHTTP.Response {
    let body = try await DaemonInterfaceTests.body(
      pod.environment(command, ifname: ifname, Self.programs), network, attributes)
    return try await node.http("POST", "/delegate", body, within: 60_000)
  }
}

/// Makes such a node, and takes it down after the body.
func withSetNode(
  _ options: TestNode.Options = TestNode.Options(), _ body: (SetNode) async throws -> Void
) async throws {
  try await withTestNode(options) { node in try await body(SetNode(node: node)) }
}
