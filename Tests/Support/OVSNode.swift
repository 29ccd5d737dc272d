public import JSON
import Linux

/// A node with a real Open vSwitch of its own and a bridge `br0` in it.
public struct OVSNode: Sendable {
  /// The node.
  public let node: TestNode
  /// Its switch.
  public let ovs: OpenVSwitch

  /// Makes the switch and the bridge on a node.
  public init(_ node: TestNode) async throws {
    self.node = node
    ovs = try await OpenVSwitch(
      in: node.network, directory: try TemporaryDirectory(), datapath: OVSNode.datapath)
    try await ovs.addBridge("br0")
  }

  /// A network configuration for the shim: bridge `br0`, host-local 10.1.2.0/24; members are set
  /// or, for nil, removed.
  public func network(_ changes: [String: JSONValue?] = [:]) -> JSONValue {
    let configuration: JSONValue = [
      "cniVersion": "1.1.0", "name": "pods", "type": "cni-shim", "plugin": "ovs", "bridge": "br0",
      "daemonSocketDir": .string(node.socketDirectory), "daemonTimeout": 30,
      "socket_file": .string(ovs.address),
      "ipam": ["type": "host-local", "subnet": "10.1.2.0/24"],
    ]
    return configuration.setting(changes)
  }

  /// A network without addresses.
  public func flat(_ changes: [String: JSONValue?] = [:]) -> JSONValue {
    network(["ipam": nil].merging(changes) { $1 })
  }

  /// The port that a pod's interface has, by its marks; nil for none.
  public func port(of pod: TestPod, ifname: String = "eth0") async throws -> OVSRecord? {
    try await ovs.records("Port").first {
      let marks = $0.map("external_ids")
      return marks["sandbox"] == pod.containerID && marks["contIface"] == ifname
    }
  }

  /// The interface behind that port.
  public func interface(of pod: TestPod, ifname: String = "eth0") async throws -> OVSRecord? {
    guard let name = try await port(of: pod, ifname: ifname)?.text("name") else { return nil }
    return try await ovs.interface(name)
  }

  /// The name of the pair's end on the node.
  public func hostLink(of pod: TestPod, ifname: String = "eth0") async throws -> String {
    guard let name = try await port(of: pod, ifname: ifname)?.text("name") else {
      throw TestError("no port of \(pod.containerID)")
    }
    return name
  }

  /// All that there is: links, leases, records, ports and queues.
  public func state(_ pods: [TestPod] = []) async throws -> State {
    State(
      snapshot: try await node.snapshot(pods), ports: try await ovs.ports("br0"),
      queues: try await ovs.records("QoS").count)
  }

  /// What differs from an earlier state, once it has had its time.
  public func leftovers(
    since before: State, _ pods: [TestPod] = [], within milliseconds: Int = patience
  ) async throws -> [String] {
    try await settled(within: milliseconds) {
      let now = try await state(pods)
      var left = Snapshot.difference(before.snapshot, now.snapshot, process: false)
      if now.ports != before.ports { left.append("ports: \(before.ports) -> \(now.ports)") }
      if now.queues != before.queues { left.append("queues: \(before.queues) -> \(now.queues)") }
      return left
    }
  }

  /// What there is.
  public struct State: Sendable {
    /// Links, leases and records.
    public let snapshot: Snapshot
    /// The bridge's ports.
    public let ports: [String]
    /// How many queues.
    public let queues: Int
  }
}

/// Creates a node with Open vSwitch, hands it to a test and takes it down again.
///
/// - Parameters:
///   - options: how the node is made.
///   - body: the test.
/// - Returns: what `body` returned.
/// - Throws: what making the node or `body` threw.
public func withOVSNode<Value: Sendable>(
  _ options: TestNode.Options = TestNode.Options(), _ body: (OVSNode) async throws -> Value
) async throws -> Value {
  try await withTestNode(options) { node in
    try await body(try await OVSNode(node))
  }
}

extension OVSNode {
  /// The kernel's where it has one (scripts/test --kernel), else the switch's own.
  public static let datapath: OpenVSwitch.Datapath = Program.hasFullKernel ? .kernel : .userspace
}
