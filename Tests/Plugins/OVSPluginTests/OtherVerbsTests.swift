import JSON
import Linux
import TestSupport
import Testing

/// CHECK, STATUS, GC and UPDATE.
@Suite(.daemonLog, .openVSwitch) struct OtherVerbsTests {
  /// A fault that CHECK finds, as words for `ovs-vsctl`, and what it says.
  static let faults: [(String, [String], String)] = [
    ("another tag", ["set", "Port", "NAME", "tag=11"], "vlan tag mismatch. ovs=11,netconf=10"),
    (
      "another mode", ["set", "Port", "NAME", "vlan_mode=native-tagged"],
      "vlan mode mismatch. expected=access,real=native-tagged"
    ),
    ("trunks", ["set", "Port", "NAME", "trunks=3,4"], "trunk mismatch. ovs=[3, 4],netconf=[]"),
    ("no port", ["del-port", "br0", "NAME"], "is not found in OVS"),
    ("no bridge", ["del-br", "br0"], "Error: bridge br0 is not found in OVS"),
  ]

  @Test("CHECK is content with what ADD made and names what has changed since", arguments: faults)
  func check(fault: (String, [String], String)) async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let network = here.network(["vlan": 10])
      let result = try await here.node.add(pod, network)
      let name = try await here.hostLink(of: pod)
      let checked = network.setting("prevResult", result)
      let fine = try await here.node.shim("CHECK", pod, checked)
      #expect(fine.succeeded && fine.output.isEmpty, "\(fine)")
      try await here.ovs.vsctl(fault.1.map { $0 == "NAME" ? name : $0 })
      let run = try await here.shim("CHECK", pod, checked, until: 101)
      #expect(run.code == 101 && run.message?.contains(fault.2) == true, "\(run)")
    }
  }

  @Test("CHECK finds a port behind which ovs-vswitchd has another link")
  func otherLink() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let network = here.network()
      let checked = network.setting("prevResult", try await here.node.add(pod, network))
      let name = try await here.hostLink(of: pod)
      // It would put the right number there again.
      here.ovs.pauseSwitch()
      defer { here.ovs.resumeSwitch() }
      try await here.ovs.vsctl(["--no-wait", "set", "Interface", name, "ifindex=424242"])
      let run = try await here.shim("CHECK", pod, checked, until: 101)
      #expect(
        run.code == 101
          && run.message == "Error: port \(name) has another link than the attachment",
        "\(run)")
    }
  }

  @Test("While the database is away CHECK looks at the kernel's side, and warns")
  func checkWithoutDatabase() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let network = here.network()
      let checked = network.setting("prevResult", try await here.node.add(pod, network))
      try await here.ovs.stopDatabase()
      // The daemon hears of it a little later.
      var metrics = ""
      let isNoticed = try await pollAsync {
        metrics = try await here.node.http("GET", "/metrics").text
        return metrics.contains("cnid_plugin_ready{plugin=\"ovs\"} 0\n")
      }
      #expect(isNoticed, "\(metrics)")
      let run = try await here.node.shim("CHECK", pod, checked)
      #expect(run.succeeded, "\(run)")
      #expect(here.node.log.contains("without its port"))
      #expect(!metrics.contains("cnid_plugin_ready{plugin=\"vrouter\"}"))
      try await pod.network.ip("address flush dev eth0")
      let wrong = try await here.node.shim("CHECK", pod, checked)
      #expect(wrong.code == 100, "\(wrong)")
    }
  }

  @Test("STATUS: well; 51 without ovs-vswitchd; 50 without the database or the bridge")
  func status() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let fine = try await here.node.shim("STATUS", pod, here.network())
      #expect(fine.succeeded && fine.output.isEmpty, "\(fine)")
      let bridge = try await here.node.shim("STATUS", pod, here.network(["bridge": "br9"]))
      #expect(
        bridge.code == 50 && bridge.message == "failed to find bridge br9; there is br0",
        "\(bridge)")
      let annotated = here.network([
        "bridge": nil, "ipam": nil,
        "capabilities": ["io.kubernetes.cri.pod-annotations": true],
      ])
      let ovn = try await here.node.shim("STATUS", pod, annotated)
      #expect(
        ovn.code == 50 && ovn.message == "failed to find bridge br-int; there is br0", "\(ovn)")
      try await here.ovs.stopSwitch()
      let limited = try await here.shim("STATUS", pod, here.network(), until: 51)
      #expect(limited.code == 51 && limited.message == "ovs-vswitchd is not running", "\(limited)")
      try await here.ovs.stopDatabase()
      let none = try await here.node.shim("STATUS", pod, here.network())
      #expect(
        none.code == 50 && none.message == "OVSDB cannot be reached; is Open vSwitch running?",
        "\(none)")
      try await here.ovs.startDatabase()
      try await here.ovs.startSwitch()
      let again = try await here.node.shim("STATUS", pod, here.network())
      #expect(again.succeeded, "\(again)")
    }
  }

  @Test("GC takes away what is not listed, with and without a record, and nothing of others")
  func collect() async throws {
    try await withOVSNode { here in
      let (kept, gone, lost) = (
        try await TestPod("kept"), try await TestPod("gone"), try await TestPod("lost")
      )
      for pod in [kept, gone, lost] { try await here.node.add(pod, here.network()) }
      let other = try await TestPod("other")
      try await here.node.add(other, here.flat(["name": "others"]))
      try await here.node.network.ip("link add foreign type veth peer name foreign-peer")
      try await here.ovs.vsctl("add-port", "br0", "foreign")
      // A daemon that has lost a record finds the port by its marks.
      try await here.node.kill()
      let file = try #require(try await here.record(of: lost))
      try Files.remove(file)
      try await here.node.start()
      let list: JSONValue = [["containerID": .string(kept.containerID), "ifname": "eth0"]]
      let network = here.network(["cni.dev/valid-attachments": list])
      // All of them live.
      let spared = try await here.node.shim("GC", kept, network)
      #expect(spared.succeeded, "\(spared)")
      for pod in [kept, gone, lost] { #expect(try await pod.network.links() == ["eth0"]) }
      #expect(here.node.leases.count == 3)
      let run = try await here.node.shim("GC", kept, network.setting("gcLiving", true))
      #expect(run.succeeded, "\(run)")
      for pod in [gone, lost] {
        #expect(try await here.port(of: pod) == nil)
        #expect(try await pod.network.links() == [])
      }
      let stay = [
        try await here.hostLink(of: kept), try await here.hostLink(of: other), "foreign",
      ]
      #expect(try await here.ovs.ports("br0") == stay.sorted())
      #expect(here.node.leases == ["pods/10.1.2.2"])
    }
  }

  @Test("UPDATE changes VLAN, limits and MTU, and one that changes nothing loses no packet")
  func update() async throws {
    try await withOVSNode { here in
      let (pod, other) = (try await TestPod(), try await TestPod("other"))
      let network = here.network(["vlan": 10])
      try await here.node.add(pod, network)
      try await here.node.add(other, here.network(["vlan": 20]))
      let moved = here.network([
        "vlan": 20, "mtu": 1400, "runtimeConfig": ["bandwidth": ["ingressRate": 8_000_000]],
      ])
      let run = try await here.node.shim("UPDATE", pod, moved)
      #expect(run.succeeded && run.json?.at("interfaces", 1, "mtu") == 1400, "\(run)")
      let port = try #require(try await here.port(of: pod))
      #expect(port.text("tag") == "20" && port.text("qos") != nil)
      #expect(try await pod.network.link("eth0")?["mtu"] == 1400)
      #expect(try await pod.network.pings("10.1.2.3"))

      let generation = try await here.ovs.vsctl("get", "Open_vSwitch", ".", "next_cfg")
      async let pings = pod.network.run(["ping", "-c20", "-i0.05", "-W10", "10.1.2.3"])
      for _ in 0..<3 {
        let same = try await here.node.shim("UPDATE", pod, moved)
        #expect(same.succeeded, "\(same)")
      }
      let pinged = try await pings
      #expect(pinged.succeeded && pinged.text.contains(" 0% packet loss"), "\(pinged)")
      #expect(try await here.ovs.vsctl("get", "Open_vSwitch", ".", "next_cfg") == generation)

      let trunk = here.network(["trunk": [["id": 20], ["id": 30]]])
      let free = try await here.node.shim("UPDATE", pod, trunk)
      #expect(free.succeeded, "\(free)")
      let open = try #require(try await here.port(of: pod))
      #expect(open.list("trunks") == ["20", "30"] && open.text("tag") == nil)
      #expect(try await here.ovs.records("QoS").isEmpty)
      try await here.node.delete(pod, network)
      #expect(try await here.port(of: pod) == nil)
    }
  }

  @Test("What UPDATE cannot change is refused, and everything is as before")
  func refused() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      try await here.node.add(pod, here.network(["vlan": 10]))
      try await here.ovs.addBridge("br1")
      let bridge = try await here.node.shim("UPDATE", pod, here.network(["bridge": "br1"]))
      #expect(bridge.code == 7 && bridge.message?.contains("another bridge") == true, "\(bridge)")
      // The kernel refuses so small an MTU when the VLAN has been changed already.
      let small = try await here.node.shim("UPDATE", pod, here.network(["vlan": 20, "mtu": 50]))
      #expect(small.code == 100, "\(small)")
      #expect(try #require(try await here.port(of: pod)).text("tag") == "10")
      #expect(try await pod.network.link("eth0")?["mtu"] == 1500)
    }
  }
}

extension OVSNode {
  /// The first of repeated calls that ends with a code, else the last one: what somebody else has
  /// done to the switch, the daemon hears a little later.
  func shim(
    _ command: String, _ pod: TestPod, _ network: JSONValue, until code: Int
  ) async throws -> ProgramResult {
    var run = try await node.shim(command, pod, network)
    _ = try await pollAsync {
      if run.code != code { run = try await node.shim(command, pod, network) }
      return run.code == code
    }
    return run
  }

  /// The file of a pod's record.
  func record(of pod: TestPod) async throws -> String? {
    for record in node.records {
      let path = "\(node.stateDirectory)/attachments/\(record)"
      let text = String(decoding: try Files.read(path), as: UTF8.self)
      if text.contains(pod.containerID) { return path }
    }
    return nil
  }
}
