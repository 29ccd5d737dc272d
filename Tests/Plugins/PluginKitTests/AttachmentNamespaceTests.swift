import CNI
import DaemonAPI
import Linux
import Netlink
import PluginKit
import TestSupport
import Testing

/// A node, a pod that it knows by an id, and the record of the pod's attachment.
private struct Attached {
  let node: TestNamespace
  let pod: TestNamespace
  let record: AttachmentRecord

  /// Makes all of it, with an `eth0` that carries the attachment's mark.
  init(id: Int32? = nil) async throws {
    node = try await TestNamespace()
    pod = try await TestNamespace()
    try await pod.ip("link add eth0 type bridge", "link set eth0 alias cnid:box/eth0")
    let path = pod.path
    var record = AttachmentRecord(
      key: AttachmentKey(network: "net", containerID: "box", ifName: "eth0", plugin: "p"),
      configuration: [], environment: ["CNI_NETNS": path], origin: "cni", requestID: "",
      stamp: Stamp(bootID: "b", nanoseconds: 1))
    let identity = try await node.run {
      var socket = try NetlinkSocket()
      let namespace = try NetworkNamespace(path: path)
      return try NamespaceIdentity(
        of: namespace, cookie: namespace.cookie(), &socket, deadline: soon)
    }
    record.namespace = NamespaceIdentity(cookie: identity.cookie, id: id ?? identity.id)
    self.record = record
  }

  /// Whether the namespace counts as alive, asked from the node.
  func isAlive(_ change: @Sendable (inout AttachmentRecord) -> Void = { _ in }) async throws -> Bool
  {
    var changed = record
    change(&changed)
    let record = changed
    return try await node.run {
      var socket = try NetlinkSocket()
      let trace = try #require(AttachmentNamespace.Trace(record))
      return try AttachmentNamespace.isAlive(trace, &socket, deadline: soon)
    }
  }
}

@Suite("AttachmentNamespace: whether a namespace is still there")
struct AttachmentNamespaceTests {
  @Test("an identity has the cookie and an id; the daemon's own namespace gets no id")
  func identity() async throws {
    let test = try await Attached()
    #expect(test.record.namespace?.id == 0)
    let own = try await test.node.run {
      var socket = try NetlinkSocket()
      let identity = try NamespaceIdentity(
        of: try .current(), cookie: try socket.namespaceCookie(), &socket,
        deadline: soon)
      let cookie = try socket.namespaceCookie()
      return identity.id == nil && identity.cookie == cookie
    }
    #expect(own)
  }

  @Test("alive by its path, though nothing is in it")
  func path() async throws {
    let test = try await Attached()
    try await test.pod.ip("link delete eth0")
    #expect(try await test.isAlive())
  }

  @Test("alive by its link's mark, though no path leads there and the recorded id is another's")
  func mark() async throws {
    for id in [nil, 4711 as Int32?] {
      let test = try await Attached(id: id)
      test.pod.closePath()
      #expect(try await test.isAlive())
    }
  }

  @Test("dead without path and link, also when the path leads to another namespace by now")
  func dead() async throws {
    let test = try await Attached()
    let other = try await TestNamespace()
    try await test.pod.ip("link delete eth0")
    test.pod.closePath()
    #expect(try await test.isAlive() == false)
    #expect(try await test.isAlive { $0.environment["CNI_NETNS"] = other.path } == false)
    #expect(try await test.isAlive { $0.environment["CNI_NETNS"] = nil } == false)
  }

  @Test("dead when the id has become another pod's, whose eth0 has another mark")
  func reusedID() async throws {
    let test = try await Attached()
    try await test.pod.ip("link set eth0 alias cnid:other/eth0")
    test.pod.closePath()
    #expect(try await test.isAlive() == false)
  }

  @Test("an attachment in the daemon's own namespace is never dead; one without leaves no trace")
  func never() async throws {
    let test = try await Attached()
    try await test.pod.ip("link delete eth0")
    test.pod.closePath()
    var without = test.record
    without.namespace = nil
    #expect(AttachmentNamespace.Trace(without) == nil)
    let own = try await test.node.run { try NetlinkSocket().namespaceCookie() }
    #expect(try await test.isAlive { $0.namespace = NamespaceIdentity(cookie: own) })
  }
}
