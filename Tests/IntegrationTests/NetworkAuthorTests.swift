import JSON
import Linux
import TestSupport
import Testing

/// What a network's author, who need not be root, may have opened or made.
@Suite(.daemonLog) struct NetworkAuthorTests {
  /// A node whose `cnid.json` allows no further directories.
  private static let strict = TestNode.Options(settings: ["allowedPaths": []])

  private func refused(
    _ node: TestNode, _ network: JSONValue, _ text: String
  ) async throws {
    let pod = try await TestPod()
    let run = try await node.shim("ADD", pod, network)
    #expect(run.code == 7 && run.message?.contains(text) == true, "\(run)")
    #expect(try await node.shim("STATUS", pod, network).status != .exited(0))
    // No ADD can have worked, so there is nothing to remove.
    #expect(try await pod.network.link("eth0") == nil)
  }

  @Test("leases are kept below the daemon's directory and those of CNI, unless cnid.json says so")
  func leases() async throws {
    try await withTestNode(Self.strict) { node in
      let elsewhere = node.directory("elsewhere")
      try await refused(
        node,
        node.macvlan([
          "ipam": ["type": "host-local", "subnet": "10.1.2.0/24", "dataDir": .string(elsewhere)]
        ]), "ipam.dataDir: \"\(elsewhere)/pods\" is outside of \(node.dataDirectory), ")
      #expect((try? Files.linkStatus(elsewhere)) == nil)
    }
  }

  @Test("a resolv.conf is read from where the node has them")
  func resolvConf() async throws {
    try await withTestNode(Self.strict) { node in
      try await refused(
        node,
        node.macvlan([
          "ipam": [
            "type": "host-local", "subnet": "10.1.2.0/24",
            "resolvConf": .string(node.settingsFile),
          ]
        ]), "ipam.resolvConf: \"\(node.settingsFile)\" is outside of /etc, ")
    }
  }

  @Test("allowedPaths of cnid.json allows more, also after a reload; what was attached can go")
  func allowed() async throws {
    try await withTestNode(Self.strict) { node in
      let elsewhere = node.directory("elsewhere")
      let network = node.macvlan([
        "ipam": ["type": "host-local", "subnet": "10.1.2.0/24", "dataDir": .string(elsewhere)]
      ])
      let pod = try await TestPod()
      #expect(try await node.shim("ADD", pod, network).code == 7)
      try await reload(node, ["allowedPaths": [.string(elsewhere)]])
      let result = try await node.add(pod, network)
      let leases = { TemporaryDirectory.files(below: elsewhere).filter { $0.contains("10.1.2.") } }
      #expect(leases().count == 1)
      try await reload(node, ["allowedPaths": []])
      let check = try await node.shim("CHECK", pod, network.setting("prevResult", result))
      #expect(check.succeeded, "\(check)")
      try await node.delete(pod, network)
      #expect(leases().isEmpty)
    }
  }

  private func reload(_ node: TestNode, _ settings: JSONValue) async throws {
    let before = node.log.split(separator: "\n").count
    try node.changeSettings(settings)
    node.daemon?.signal(.hangUp)
    let isRead = try await eventually {
      node.log.split(separator: "\n").dropFirst(before).contains {
        $0.contains("configuration read again")
      }
    }
    #expect(isRead, "\(node.log)")
  }

  @Test("a database and a file of defaults are those of Open vSwitch and CNI; a DEL asks no other")
  func openVSwitch() async throws {
    try await withTestNode(Self.strict) { node in
      let network = node.macvlan(["plugin": "ovs", "bridge": "br0", "ipam": nil])
      let socket = node.directory("db.sock")
      let database = network.setting("socket_file", .string("unix:\(socket)"))
      try await refused(node, database, "socket_file: \"\(socket)\" is outside of /run/openvswitch")
      try await refused(
        node, network.setting("configuration_path", .string(node.settingsFile)),
        "configuration_path: \"\(node.settingsFile)\" is outside of /etc/cni, ")
      let pod = try await TestPod()
      try await node.delete(pod, database)
    }
  }

  @Test("port files are written where the agent has them; a DEL looks nowhere else")
  func portFiles() async throws {
    try await withVRouterNode(Self.strict) { here in
      try here.clearDisk()
      let elsewhere = here.directory("elsewhere")
      let network = here.network(["config-dir": .string(elsewhere)])
      let pod = try await TestPod()
      let run = try await here.shim("ADD", pod, network)
      let text = "contrail.config-dir: \"\(elsewhere)\" is outside of /var/lib/contrail"
      #expect(run.code == 7 && run.message?.contains(text) == true, "\(run)")
      try await here.delete(pod, network)
      #expect((try? Files.linkStatus(elsewhere)) == nil)
    }
  }

  @Test("the file on the node is root's, and names any directory")
  func fileOnNode() async throws {
    try await withVRouterNode(Self.strict) { here in
      let pod = try await TestPod()
      let network = here.network(["config-dir": nil])
      try await here.add(pod, network)
      #expect(try Files.list(here.portFiles).count == 1)
      try await here.delete(pod, network)
    }
  }
}
