import CNI
import Linux
import Netlink
import PluginKit
import TestSupport
import Testing

@testable import MacvlanPlugin

@Suite("macvlan finds its link when no path leads to it")
struct NamespaceTests {
  /// How the path of a DEL differs from that of the ADD.
  enum Path: String, CaseIterable, Sendable {
    case empty
    case vanished
    /// It leads to another pod's namespace, which has a marked eth0.
    case reused
    /// It leads to a namespace that has an eth0 of another kind.
    case foreign
    /// It leads to a namespace without an eth0.
    case bare
    /// It leads to the node's own namespace.
    case own
  }

  @Test("ADD records the namespace with its cookie and id, for each interface the same")
  func identity() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration()
    try await node.add(pod, configuration)
    var options = CallOptions()
    options.ifName = "net1"
    try await node.add(pod, configuration, options)
    let path = pod.netns
    let expected = try await node.network.run {
      let namespace = try NetworkNamespace(path: path)
      var socket = try NetlinkSocket()
      return NamespaceIdentity(
        cookie: try namespace.cookie(),
        id: try socket.namespaceID(of: namespace, deadline: soon))
    }
    #expect(expected.id != nil)
    #expect(node.records.all.map(\.namespace) == [expected, expected])
  }

  @Test(
    "DEL takes the link from a namespace that lives on, whatever has become of its path",
    arguments: Path.allCases, [false, true])
  func livingNamespace(path: Path, isForgotten: Bool) async throws {
    let node = try await MacvlanNode()
    let (pod, other) = (try await TestPod("old"), try await TestPod("new"))
    let configuration = try node.configuration()
    try await node.add(pod, configuration)
    var options = CallOptions()
    options.isForgotten = isForgotten
    options.netns = other.netns
    switch path {
    case .empty: options.netns = ""
    case .vanished: options.netns = pod.netns
    case .reused: try await node.add(other, configuration)
    case .foreign: try await other.network.ip("link add eth0 type veth peer name peer")
    case .bare: break
    case .own: options.netns = node.network.path
    }
    let before = try await other.network.show("link").map(\.settledLink)
    pod.network.closePath()
    try await node.delete(pod, configuration, options)
    #expect(try await pod.network.links() == [])
    #expect(try await other.network.show("link").map(\.settledLink) == before)
    #expect(node.leases == (path == .reused ? ["pods/10.1.2.3"] : []))
    #expect(try await node.network.links() == ["uplink", "wire"])
    // And again, as containerd comes twice.
    try await node.delete(pod, configuration, options)
  }

  @Test("A recorded id that another namespace has got since is no way to that one's link")
  func reusedID() async throws {
    let node = try await MacvlanNode()
    let (pod, other) = (try await TestPod("old"), try await TestPod("new"))
    let configuration = try node.configuration()
    try await node.add(pod, configuration)
    try await node.add(other, configuration)
    let id = try #require(node.record(other)?.namespace?.id)
    node.records.edit { record in
      if record.key.containerID == pod.containerID {
        record.namespace = NamespaceIdentity(cookie: record.namespace?.cookie ?? 0, id: id)
      }
    }
    pod.network.closePath()
    try await node.delete(pod, configuration)
    #expect(try await pod.network.links() == [])
    #expect(try await other.network.links() == ["eth0"])
    #expect(node.leases == ["pods/10.1.2.3"])
  }

  @Test("A record of before there were ids, and one of another boot, do as well")
  func oldRecord() async throws {
    for isRebooted in [false, true] {
      let node = try await MacvlanNode()
      let pod = try await TestPod()
      try await node.add(pod, try node.configuration())
      node.records.edit { record in
        record.namespace =
          isRebooted ? nil : NamespaceIdentity(cookie: record.namespace?.cookie ?? 0)
      }
      pod.network.closePath()
      try await node.delete(pod, try node.configuration())
      #expect(try await pod.network.links() == [] && node.leases == [])
    }
  }

  @Test("A link without the mark is not taken by an id, whatever its name")
  func unmarked() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try await node.add(pod, try node.configuration())
    try await pod.network.ip("link set eth0 alias somebody's")
    pod.network.closePath()
    try await node.delete(pod, try node.configuration())
    #expect(try await pod.network.links() == ["eth0"])
  }

  @Test("While it cannot be found out whether the link is gone its address stays taken")
  func lease() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration()
    try await node.add(pod, configuration)
    var options = CallOptions()
    options.netns = ""
    options.deadline = .after(milliseconds: 0)
    let error = try await failure { try await node.delete(pod, configuration, options) }
    #expect(error?.code == .deadline)
    #expect(try await pod.network.links() == ["eth0"])
    #expect(node.leases == ["pods/10.1.2.2"])
  }

  @Test("A process' number that has become another's leads to no link of that one")
  func reusedPid() async throws {
    let node = try await MacvlanNode()
    let (pod, other) = (try await TestPod("old"), try await TestPod("new"))
    let configuration = try node.configuration()
    try await node.add(other, configuration)
    let (go, target) = (node.directory("go"), other.netns)
    let log = node.directory("log")
    let network = pod.network
    // The same number in one namespace and then in another.
    let process = try await onThread {
      try RunningProcess(
        [
          "/bin/sh", "-c",
          "while [ ! -e \(go) ]; do sleep 0.02; done; exec nsenter --net=\(target) sleep 1000",
        ], environment: ["PATH": "/usr/bin:/bin"], log: log, in: network)
    }
    var options = CallOptions()
    options.netns = "/proc/\(process.pid)/ns/net"
    try await node.add(pod, configuration, options)
    #expect(try await pod.network.links() == ["eth0"])
    try Files.write(go, [], mode: [.write, .create])
    let path = "/proc/\(process.pid)/ns/net"
    let moved = try await eventually {
      try NetworkNamespace(path: path).isSame(as: NetworkNamespace(path: target))
    }
    #expect(moved)
    try await node.delete(pod, configuration, options)
    #expect(try await pod.network.links() == [])
    #expect(try await other.network.links() == ["eth0"])
    #expect(node.leases == ["pods/10.1.2.2"])
  }

  @Test("ADD and DEL hold no namespace: it ends with its pod, and its id with it")
  func nothingHeld() async throws {
    let node = try await MacvlanNode()
    func pass(deletes: Bool) async throws {
      let pod = try await TestPod()
      try await node.add(pod, try node.configuration())
      if deletes { try await node.delete(pod, try node.configuration()) }
    }
    for deletes in [true, false] {
      try await pass(deletes: deletes)
      // The kernel ends namespaces one after another, those of all tests.
      let left = try await settled(within: patience) {
        try await node.namespaceIDs().map { "id \($0)" }
      }
      #expect(left == [])
    }
  }
}

extension MacvlanNode {
  /// The record of a pod's eth0.
  fileprivate func record(_ pod: TestPod) -> AttachmentRecord? {
    records.all.first { $0.key.containerID == pod.containerID }
  }

  /// The ids that the node has for other namespaces.
  fileprivate func namespaceIDs() async throws -> [Int32] {
    try await network.run {
      var socket = try NetlinkSocket()
      return try socket.namespaceIDs(deadline: soon)
    }
  }
}
