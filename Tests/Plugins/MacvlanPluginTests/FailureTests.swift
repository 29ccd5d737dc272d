import Addresses
import CNI
import JSON
import Linux
import PluginKit
import TestSupport
import Testing

@testable import MacvlanPlugin

@Suite("macvlan ADD that fails leaves nothing")
struct FailureTests {
  /// A failing ADD, and what is left of it in the pod and in host-local.
  private func leftovers(
    _ node: MacvlanNode, _ pod: TestPod, _ configuration: NetworkConfiguration,
    _ options: CallOptions = CallOptions()
  ) async throws -> (error: CNIError?, left: [String]) {
    let error = try await failure { try await node.add(pod, configuration, options) }
    let left =
      try await pod.network.links() + node.leases + node.records.all.map(\.key.description)
    return (error, left)
  }

  @Test("No address is free: takeLease")
  func noAddress() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let one: JSONValue = [
      "type": "host-local", "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9",
      "rangeEnd": "10.1.2.9",
    ]
    let configuration = try node.configuration(["ipam": one])
    let other = try await TestPod()
    try await node.add(other, configuration)
    let error = try await failure { try await node.add(pod, configuration) }
    #expect(error?.code == .ipam)
    #expect(try await pod.network.links() == [] && node.leases == ["pods/10.1.2.9"])
  }

  @Test("Somebody else makes a link of that name first: createLink leaves it alone")
  func collision() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let made = Locked(false)
    let network = pod.network
    node.records.onNextPlan {
      let path = network.path
      let outcome = try? OSThread.run { () -> Bool in
        guard let namespace = try? NetworkNamespace(path: path), (try? namespace.enter()) != nil
        else { return false }
        let command = ["ip", "link", "add", "eth0", "type", "bridge"]
        return (try? Program.runBlocking(command).succeeded) == true
      }
      made.withLock { $0 = outcome == true }
    }
    let error = try await failure { try await node.add(pod, try node.configuration()) }
    #expect(made.value)
    #expect(error?.code == .invalidEnvironment)
    #expect(error?.message == "interface \"eth0\" already exists in \(pod.netns)")
    #expect(try await pod.network.link("eth0")?.at("linkinfo", "info_kind")?.string == "bridge")
    #expect(node.leases == [])
  }

  @Test("The parent goes: createLink")
  func noParent() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let network = node.network
    node.records.onNextPlan {
      let path = network.path
      _ = try? OSThread.run { () -> Bool in
        guard let namespace = try? NetworkNamespace(path: path), (try? namespace.enter()) != nil
        else { return false }
        return (try? Program.runBlocking(["ip", "link", "delete", "uplink"]).succeeded) == true
      }
    }
    let (error, left) = try await leftovers(node, pod, try node.configuration())
    #expect(error?.message == "failed to create macvlan" && error?.code == .kernel)
    #expect(left == [])
  }

  @Test("The parent is a bridge's port: nothing is made")
  func enslavedParent() async throws {
    let node = try await MacvlanNode()
    try await node.network.ip("link add br0 type bridge", "link set uplink master br0")
    let (error, left) = try await leftovers(node, try await TestPod(), try node.configuration())
    #expect(error?.message.hasPrefix("uplink is a port of bridge br0") == true && left == [])
  }

  @Test("An IPAM plugin on disk fails: its DEL is run, the link goes, its error is told: runIPAM")
  func failingIPAM() async throws {
    let node = try await MacvlanNode()
    let calls = node.directory("calls")
    try node.install(
      "failing",
      """
      echo $CNI_COMMAND >> \(calls)
      [ $CNI_COMMAND = DEL ] && exit 0
      echo '{"code": 123, "msg": "no more addresses", "details": "ask again"}'
      exit 1
      """)
    let (error, left) = try await leftovers(
      node, try await TestPod(), try node.configuration(["ipam": ["type": "failing"]]))
    #expect(
      error == CNIError(CNIErrorCode(rawValue: 123), "no more addresses", details: "ask again"))
    #expect(left == [])
    let text = String(decoding: try Files.read(calls), as: UTF8.self)
    #expect(text.hasPrefix("ADD\nDEL\n"))
  }

  @Test(
    "An IPAM plugin that cannot be started, or whose DEL always fails, is in nobody's way",
    arguments: [("exit 1", 0o755), ("kill -9 $$", 0o755), ("exit 0", 0o644)] as [(String, UInt32)])
  func brokenIPAM(script: String, permissions: UInt32) async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try node.install("broken", script)
    try Files.setPermissions(node.directory("bin/broken"), permissions)
    let (error, left) = try await leftovers(
      node, pod, try node.configuration(["ipam": ["type": "broken"]]))
    #expect(error?.code == .ipam && left == [], "\(String(describing: error))")
    try await node.add(pod, try node.configuration())
  }

  @Test(
    "A DEL without a record does not need an IPAM plugin that cannot be run",
    arguments: [nil, 0o644] as [UInt32?])
  func unrunnableIPAM(permissions: UInt32?) async throws {
    let node = try await MacvlanNode()
    if let permissions {
      try node.install("nope", "exit 0")
      try Files.setPermissions(node.directory("bin/nope"), permissions)
    }
    try await node.delete(try await TestPod(), try node.configuration(["ipam": ["type": "nope"]]))
  }

  @Test("An IPAM plugin on disk that is not there is found before anything is recorded")
  func missingIPAM() async throws {
    let node = try await MacvlanNode()
    let seen = Locked(false)
    node.records.onNextPlan { seen.withLock { $0 = true } }
    let (error, left) = try await leftovers(
      node, try await TestPod(), try node.configuration(["ipam": ["type": "nope"]]))
    #expect(error?.code == .ipam && !seen.value && left == [])
  }

  @Test("Address management gives no address", arguments: ["disk", "static"])
  func noAddresses(kind: String) async throws {
    let node = try await MacvlanNode()
    try node.install("empty", #"[ $CNI_COMMAND = ADD ] && echo '{"cniVersion": "1.1.0"}'; exit 0"#)
    let ipam: JSONValue = kind == "disk" ? ["type": "empty"] : ["type": "static"]
    let (error, left) = try await leftovers(
      node, try await TestPod(), try node.configuration(["ipam": ipam]))
    #expect(error?.message.hasPrefix("IPAM plugin returned missing IP config") == true)
    #expect(left == [])
  }

  @Test("An address is refused: configureLink names it")
  func refusedAddress() async throws {
    let node = try await MacvlanNode()
    let twice: JSONValue = [
      "type": "static", "addresses": [["address": "10.1.2.2/24"], ["address": "10.1.2.2/24"]],
    ]
    let (error, left) = try await leftovers(
      node, try await TestPod(), try node.configuration(["ipam": twice]))
    #expect(error?.message == "failed to add IP addr 10.1.2.2/24 to \"eth0\"")
    #expect(error?.details.contains("EEXIST") == true && left == [])
  }

  @Test("The hardware address is in use and stays so: configureLink, after a second")
  func addressInUse() async throws {
    let node = try await MacvlanNode()
    let configuration = try node.configuration(["mac": "c2:11:22:33:44:55", "ipam": nil])
    let (first, second) = (try await TestPod(), try await TestPod())
    try await node.add(first, configuration)
    let start = KernelClock.monotonic
    let error = try await failure { try await node.add(second, configuration) }
    let milliseconds = (KernelClock.monotonic - start) / 1_000_000
    #expect(
      error?.message == "failed to set \"eth0\" UP: MAC c2:11:22:33:44:55 is in use on uplink")
    #expect(error?.details.contains("EADDRINUSE") == true)
    #expect(milliseconds >= 1000)
    #expect(try await second.network.links() == [])
    #expect(try await first.network.links() == ["eth0"])
  }

  @Test("A route is refused: addRoutes")
  func refusedRoute() async throws {
    let node = try await MacvlanNode()
    let ipam: JSONValue = [
      "type": "host-local", "subnet": "10.1.2.0/24",
      "routes": [["dst": "15.5.6.0/24", "gw": "192.0.2.1"]],
    ]
    let (error, left) = try await leftovers(
      node, try await TestPod(), try node.configuration(["ipam": ipam]))
    #expect(
      error?.message == "failed to add route 15.5.6.0/24 on \"eth0\": gateway 192.0.2.1 is in no "
        + "network of \"eth0\" (10.1.2.2/24)")
    #expect(left == [])
    #expect(error?.details.contains("Nexthop has invalid gateway") == true)
  }

  @Test("The caller has gone: the next step does not begin")
  func cancelled() async throws {
    let node = try await MacvlanNode()
    let cancellation = try Cancellation()
    node.records.onNextPlan { cancellation.cancel() }
    var options = CallOptions()
    options.deadline = .after(seconds: 30, cancellation: cancellation)
    let (error, left) = try await leftovers(
      node, try await TestPod(), try node.configuration(), options)
    #expect(error?.message == "cancelled in step macvlan.takeLease" && left == [])
  }

  @Test("After a failure the same ADD works")
  func again() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let bad: JSONValue = [
      "type": "host-local", "subnet": "10.1.2.0/24",
      "routes": [["dst": "15.5.6.0/24", "gw": "192.0.2.1"]],
    ]
    let (error, left) = try await leftovers(node, pod, try node.configuration(["ipam": bad]))
    #expect(error != nil && left == [])
    try await node.add(pod, try node.configuration())
    #expect(try await pod.network.links() == ["eth0"])
  }
}
