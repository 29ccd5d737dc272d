import JSON
import Linux
import TestSupport
import Testing

/// Pods on the logical switch of a real OVN.
@Suite("Pods of OVN", .daemonLog, .openVSwitch)
struct OVNTests {
  @Test("ADD returns when OVN has installed the port's flows: the first packet arrives")
  func reach() async throws {
    try await withOVN { cloud in
      let pods = [try await TestPod(), try await TestPod()]
      try await cloud.addPorts(pods.map(\.containerID))
      let before = try await cloud.state(pods)
      for (index, pod) in pods.enumerated() {
        let result = try await cloud.here.node.add(pod, cloud.network(index))
        #expect(result.at("ips", 0, "address")?.string == "10.7.0.\(10 + index)/24")
        let interface = try #require(try await cloud.here.interface(of: pod))
        let ids = interface.map("external_ids")
        #expect(ids["ovn-installed"] == "true")
        #expect(ids["iface-id"] == "default_\(pod.containerID)")
        #expect(ids["iface-id-ver"] == "uid-\(pod.containerID)")
        #expect(try await cloud.binds(pod.containerID))
      }
      #expect(try await pods[0].network.pings("10.7.0.11"))
      #expect(try await pods[1].network.pings("fd00:7::10"))

      // OVN's flows are the switch's: they stay without it.
      try await cloud.ovn.killController()
      #expect(try await pods[1].network.pings("10.7.0.10"))
      try await cloud.ovn.startController()
      #expect(try await pods[0].network.pings("10.7.0.11"))

      for (index, pod) in pods.enumerated() {
        try await cloud.here.node.delete(pod, cloud.network(index))
        let isReleased = try await cloud.eventuallyBinds(pod.containerID, false)
        #expect(isReleased)
      }
      #expect(try await cloud.leftovers(since: before, pods) == [])
    }
  }

  @Test("A pod that is made again under its name works while its old sandbox is still there")
  func again() async throws {
    try await withOVN { cloud in
      let (old, new, other) = (try await TestPod(), try await TestPod(), try await TestPod())
      try await cloud.addPorts([old.containerID, other.containerID])
      try await cloud.here.node.add(old, cloud.network(0))
      try await cloud.here.node.add(other, cloud.network(1))
      #expect(try await old.network.pings("10.7.0.11"))

      let arguments = cloud.arguments(of: new, named: old.containerID)
      try await cloud.here.node.add(new, cloud.network(0), arguments)
      #expect(try await new.network.pings("10.7.0.11"))
      let left = try await cloud.here.interface(of: old)?.map("external_ids")["iface-id"]
      #expect(left == nil)

      try await cloud.here.node.delete(old, cloud.network(0))
      #expect(try await new.network.pings("10.7.0.11"))
      let ids = try #require(try await cloud.here.interface(of: new)).map("external_ids")
      #expect(ids["iface-id"] == "default_\(old.containerID)" && ids["ovn-installed"] == "true")
      try await cloud.here.node.delete(new, cloud.network(0), arguments)
      let isReleased = try await cloud.eventuallyBinds(old.containerID, false)
      #expect(isReleased)
    }
  }

  @Test("ADD waits for an ovn-controller that stands still")
  func waits() async throws {
    try await withOVN { cloud in
      let pod = try await TestPod()
      try await cloud.addPorts([pod.containerID])
      cloud.ovn.pauseController()
      async let result = cloud.here.node.shim("ADD", pod, cloud.network(0))
      let isThere = try await cloud.eventually { try await cloud.here.port(of: pod) != nil }
      #expect(isThere)
      #expect(cloud.here.node.records.count == 1)
      cloud.ovn.resumeController()
      #expect(try await result.succeeded)
      let ids = try #require(try await cloud.here.interface(of: pod)).map("external_ids")
      #expect(ids["ovn-installed"] == "true")
    }
  }

  @Test("An ADD whose pod is made again while it waits is superseded, the new one succeeds")
  func superseded() async throws {
    try await withOVN { cloud in
      let (old, new) = (try await TestPod(), try await TestPod())
      try await cloud.addPorts([old.containerID])
      cloud.ovn.pauseController()
      async let first = cloud.here.node.shim("ADD", old, cloud.network(0))
      let isThere = try await cloud.eventually { try await cloud.here.port(of: old) != nil }
      #expect(isThere)
      let arguments = cloud.arguments(of: new, named: old.containerID)
      async let second = cloud.here.node.shim("ADD", new, cloud.network(0), arguments)
      let failed = try await first
      #expect(failed.code == 11, "\(failed)")
      #expect(
        failed.message == "superseded by sandbox \(new.containerID), whose ADD is newer",
        "\(failed)")
      cloud.ovn.resumeController()
      let succeeded = try await second
      #expect(succeeded.succeeded, "\(succeeded)")
      #expect(try await cloud.here.port(of: old) == nil)
    }
  }

  @Test(
    "Without a logical switch port of that name ADD ends with its time, says so and leaves nothing")
  func nobody() async throws {
    try await withOVN { cloud in
      let pod = try await TestPod()
      let before = try await cloud.state([pod])
      let network = cloud.network(0).setting(
        "daemonTimeout", .number(JSONNumber(min(60, 10 * Program.patience))))
      let run = try await cloud.here.node.shim("ADD", pod, network)
      #expect(run.code == 105 && run.message == "deadline passed in step ovs.awaitFlows", "\(run)")
      #expect(run.details?.contains("default_\(pod.containerID)") == true, "\(run)")
      #expect(try await cloud.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("A logical switch port can be named by CNI_ARGS, with addresses of address management")
  func named() async throws {
    try await withOVN { cloud in
      let pod = try await TestPod()
      try await cloud.ovn.nbctl(
        "lsp-add", "pods", "blue", "--", "lsp-set-addresses", "blue", "unknown")
      let network = cloud.here.network(["bridge": nil])
      try await cloud.here.node.add(
        pod, network, ["CNI_ARGS": pod.arguments + ";OvnPort=blue"])
      let ids = try #require(try await cloud.here.interface(of: pod)).map("external_ids")
      #expect(ids["iface-id"] == "blue" && ids["ovn-installed"] == "true")
      #expect(try await cloud.here.ovs.ports("br-int").count == 1)
    }
  }
}

/// A node with Open vSwitch and OVN, and a logical switch `pods`.
private struct Cloud: Sendable {
  let here: OVSNode
  let ovn: OVN

  static func addresses(_ index: Int) -> (mac: String, ipv4: String, ipv6: String) {
    ("0a:58:0a:07:00:\(10 + index)", "10.7.0.\(10 + index)", "fd00:7::\(10 + index)")
  }

  /// Adds logical switch ports for the pods with these names; the first one's
  /// addresses are number 0.
  func addPorts(_ pods: [String]) async throws {
    var words = ["--wait=hv"]
    for (index, pod) in pods.enumerated() {
      let (mac, ipv4, ipv6) = Self.addresses(index)
      words += [
        "--", "lsp-add", "pods", "default_\(pod)", "--", "lsp-set-addresses", "default_\(pod)",
        "\(mac) \(ipv4) \(ipv6)",
      ]
    }
    try await ovn.nbctl(words)
  }

  /// The configuration that the runtime makes for a pod with these addresses; OVN's bridge is
  /// found by itself.
  func network(_ index: Int) -> JSONValue {
    let (mac, ipv4, ipv6) = Self.addresses(index)
    let entry: JSONValue = [
      "default": [
        "ip_addresses": [.string("\(ipv4)/24"), .string("\(ipv6)/64")],
        "mac_address": .string(mac), "gateway_ips": ["10.7.0.1"],
      ]
    ]
    let annotation = JSONValue.string(String(decoding: entry.bytes, as: UTF8.self))
    return here.network([
      "bridge": nil, "ipam": nil,
      "capabilities": ["io.kubernetes.cri.pod-annotations": true],
      "runtimeConfig": [
        "io.kubernetes.cri.pod-annotations": ["k8s.ovn.org/pod-networks": annotation]
      ],
    ])
  }

  /// CNI_ARGS of a pod that was made again under another's name.
  func arguments(of pod: TestPod, named name: String) -> [String: String?] {
    [
      "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=\(name);"
        + "K8S_POD_INFRA_CONTAINER_ID=\(pod.containerID);K8S_POD_UID=uid-\(pod.containerID)"
    ]
  }

  /// Whether the node has the logical switch port of a pod.
  func binds(_ pod: String) async throws -> Bool {
    try await ovn.sbctl("show").contains("default_\(pod)")
  }

  func eventuallyBinds(_ pod: String, _ expected: Bool) async throws -> Bool {
    try await eventually { try await binds(pod) == expected }
  }

  /// Looks again and again until something is true.
  func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
    let start = KernelClock.monotonic
    while true {
      if try await condition() { return true }
      if isOver(since: start, 5000) { return false }
      await onThread { Clock.pause(milliseconds: 20) }
    }
  }

  /// What there is on the node and on OVN's bridge.
  func state(_ pods: [TestPod]) async throws -> (OVSNode.State, [String]) {
    (try await here.state(pods), try await here.ovs.ports("br-int"))
  }

  /// What differs from an earlier state, once it has had its time.
  func leftovers(
    since before: (OVSNode.State, [String]), _ pods: [TestPod]
  ) async throws -> [String] {
    let ports = try await here.ovs.ports("br-int")
    return try await here.leftovers(since: before.0, pods)
      + (ports == before.1 ? [] : ["ports of br-int: \(before.1) -> \(ports)"])
  }
}

/// Creates a node with OVN, hands it to a test and takes it down again.
private func withOVN(_ body: (Cloud) async throws -> Void) async throws {
  try await withOVSNode { here in
    let ovn = try await OVN(on: here.ovs, directory: TemporaryDirectory())
    try await ovn.addSwitch("pods", ports: [:])
    try await body(Cloud(here: here, ovn: ovn))
  }
}
