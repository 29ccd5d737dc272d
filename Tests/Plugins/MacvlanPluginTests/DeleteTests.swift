import Addresses
import CNI
import JSON
import Linux
import PluginKit
import TestSupport
import Testing

@testable import MacvlanPlugin

@Suite("macvlan DEL")
struct DeleteTests {
  @Test("A pod that was never attached, a namespace that has gone, an empty path: success")
  func nothingThere() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let file = node.directory("once-a-mount-point")
    try Files.write(file, [], mode: [.write, .create])
    let socket = node.directory("socket")
    _ = try UnixSocket.listen(socket)
    for path in [pod.netns, "", "/nope", "/proc/self/ns/nope", file, "\(file)/below", socket] {
      var options = CallOptions()
      options.netns = path
      for _ in 0..<2 { try await node.delete(pod, try node.configuration(), options) }
    }
  }

  @Test(
    "The lease is given back although the namespace, the parent or the path has gone",
    arguments: [
      "path", "parent", "empty",
    ])
  func without(what: String) async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration()
    try await node.add(pod, configuration)
    var options = CallOptions()
    switch what {
    case "path": pod.network.closePath()
    case "parent": try await node.network.ip("link delete uplink")
    default: options.netns = ""
    }
    #expect(node.leases == ["pods/10.1.2.2"])
    try await node.delete(pod, configuration, options)
    #expect(node.leases == [])
    try await node.delete(pod, configuration, options)
  }

  @Test(
    "A link that its owner has renamed or moved away goes with its lease, and no other link",
    arguments: ["renamed", "moved", "both"])
  func renamed(what: String) async throws {
    let node = try await MacvlanNode()
    let (pod, other) = (try await TestPod(), try await TestPod("other"))
    let configuration = try node.configuration()
    try await node.add(pod, configuration)
    try await node.add(other, configuration)
    try await pod.network.ip("link add bystander type bridge", "link set eth0 down")
    if what != "moved" {
      try await pod.network.ip("link set eth0 name pod0-nic", "link set pod0-nic up")
    }
    let name = what == "moved" ? "eth0" : "pod0-nic"
    if what != "renamed" {
      let (kernel, target) = (pod.network, other.network.path)
      if what == "moved" { try await kernel.ip("link set \(name) name nested0") }
      let moved = what == "moved" ? "nested0" : name
      _ = try await kernel.run(["ip", "link", "set", moved, "netns", target])
      #expect(try await other.network.links() == ["eth0", moved])
    }
    try await node.delete(pod, configuration)
    #expect(try await pod.network.links() == ["bystander"])
    #expect(try await other.network.links() == ["eth0"])
    #expect(node.leases == ["pods/10.1.2.3"])
  }

  @Test("A configuration that has become invalid does not keep DEL from its work")
  func invalidConfiguration() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try await node.add(pod, try node.configuration())
    let broken = try node.configuration(["mode": "nope", "mtu": -5, "mac": "x", "master": "gone"])
    var options = CallOptions()
    options.arguments = "nonsense=1"
    options.isForgotten = true
    try await node.delete(pod, broken, options)
    #expect(try await pod.network.links() == [] && node.leases == [])
  }

  @Test(
    "A late DEL through a path that leads to another pod's namespace takes nothing of that pod",
    arguments: [
      true, false,
    ])
  func reusedPath(isForgotten: Bool) async throws {
    let node = try await MacvlanNode()
    let (old, new) = (try await TestPod("old"), try await TestPod("new"))
    let configuration = try node.configuration()
    try await node.add(old, configuration)
    try await node.add(new, configuration)
    var options = CallOptions()
    options.netns = new.netns
    options.isForgotten = isForgotten
    try await node.delete(old, configuration, options)
    #expect(try await new.network.links() == ["eth0"])
    #expect(try await new.network.addresses("eth0") == ["10.1.2.3/24"])
    #expect(node.leases == ["pods/10.1.2.3"])
  }

  @Test(
    "A link without a mark is the attachment's if namespace and address are the record's",
    arguments: [
      (true, true, true), (false, true, false), (true, false, false),
    ])
  func unmarked(sameNamespace: Bool, sameAddress: Bool, isGone: Bool) async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration()
    try await node.add(pod, configuration)
    // As if the daemon had been killed between making and marking the link.
    try await pod.network.ip("link set eth0 alias \"\"")
    node.records.edit { record in
      record.result = nil
      if !sameNamespace { record.namespace = NamespaceIdentity(cookie: 1) }
      if !sameAddress {
        let link = PlannedResource("link", [("mac", .string("c2:00:00:00:00:99"))])
        record.plan = [link] + record.planned("lease")
      }
    }
    try await node.delete(pod, configuration)
    #expect(try await pod.network.links() == (isGone ? [] : ["eth0"]))
    #expect(node.leases == [])
  }

  @Test("The attachment's mark is enough, whatever the record says")
  func marked() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try await node.add(pod, try node.configuration())
    node.records.edit { record in
      record.namespace = nil
      record.plan = []
      record.result = nil
    }
    try await node.delete(pod, try node.configuration())
    #expect(try await pod.network.links() == [])
  }

  @Test(
    "Without a record: a macvlan link that nobody marked was the reference's and goes; others stay",
    arguments: [
      ("type macvlan mode bridge", "", true),
      ("type macvlan mode bridge", "somebody's", true),
      ("type macvlan mode bridge", "cnid:other/eth0", false),
      ("type bridge", "", false),
    ])
  func migration(kind: String, alias: String, isGone: Bool) async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try await pod.network.ip(
      "link add inner type veth peer name other",
      "link add \(kind.contains("macvlan") ? "link inner " : "")name eth0 \(kind)",
      "link set eth0 alias \"\(alias)\"")
    try await node.delete(pod, try node.configuration())
    #expect(try await pod.network.links().contains("eth0") == !isGone)
  }

  @Test(
    "An IPAM plugin on disk that fails does not keep the link; its error is told, and a repetition works"
  )
  func failingIPAM() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let broken = node.directory("broken")
    try node.install(
      "moody",
      """
      echo $CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME >> \(node.directory("calls"))
      case $CNI_COMMAND in
      ADD) echo '{"cniVersion": "1.1.0", "ips": [{"address": "10.7.0.2/16"}]}' ;;
      DEL) [ ! -e \(broken) ] || { echo '{"code": 11, "msg": "later"}'; exit 1; } ;;
      esac
      """)
    let configuration = try node.configuration(["ipam": ["type": "moody"]])
    try await node.add(pod, configuration)
    #expect(try await pod.network.addresses("eth0") == ["10.7.0.2/16"])
    try Files.write(broken, [], mode: [.write, .create])
    let error = try await failure { try await node.delete(pod, configuration) }
    #expect(error == CNIError(.tryAgainLater, "later"))
    #expect(try await pod.network.links() == [])
    try Files.remove(broken)
    try await node.delete(pod, configuration)
    let calls = String(decoding: try Files.read(node.directory("calls")), as: UTF8.self)
    #expect(
      calls == "ADD \(pod.containerID) eth0\n"
        + String(repeating: "DEL \(pod.containerID) eth0\n", count: 2))
  }

  @Test("The link is gone when the lease is given back")
  func order() async throws {
    let node = try await MacvlanNode()
    let configuration = try node.configuration([
      "ipam": [
        "type": "host-local", "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.9",
        "rangeEnd": "10.1.2.9",
      ]
    ])
    // The only address there is changes pods; it would be on two links at a time otherwise.
    var pods: [TestPod] = []
    for _ in 0..<5 {
      let pod = try await TestPod()
      try await node.add(pod, configuration)
      pods.append(pod)
      try await node.delete(pod, configuration)
      #expect(try await pod.network.links() == [])
    }
  }

  @Test("Pairs of ADD and DEL leave no descriptor and no thread")
  func leaks() async throws {
    await #expect(processExitsWith: .success) {
      let node = try await MacvlanNode()
      let pod = try await TestPod()
      let configuration = try node.configuration()
      func pair() async throws {
        try await node.add(pod, configuration)
        try await node.delete(pod, configuration)
      }
      for _ in 0..<5 { try await pair() }
      let before = try usage()
      for _ in 0..<60 { try await pair() }
      let settled = try await eventually {
        let now = try usage()
        return now.descriptors <= before.descriptors && now.threads <= before.threads + 1
      }
      let after = try usage()
      precondition(settled, "\(before) \(after)")
      precondition(node.leases.isEmpty)
    }
  }
}

/// This process's open descriptors and threads.
private func usage() throws -> (descriptors: Int, threads: Int) {
  (try Files.list("/proc/self/fd").count, try Files.list("/proc/self/task").count)
}
