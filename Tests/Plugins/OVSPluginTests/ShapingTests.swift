import JSON
import Linux
import TestSupport
import Testing

/// Who enforces a limit, and what becomes of it.
@Suite(.daemonLog, .openVSwitch) struct ShapingTests {
  @Test("Limits are a queue and policing in the database, and DEL takes them away")
  func database() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let network = here.network([
        "runtimeConfig": ["bandwidth": ["ingressRate": 1_000_000, "egressRate": 2_000_000]]
      ])
      try await here.node.add(pod, network)
      let queue = try #require(try await here.ovs.records("QoS").first)
      #expect(queue.text("type") == "linux-htb")
      #expect(queue.map("other_config") == ["max-rate": "1000000"])
      #expect(queue.map("external_ids")["sandbox"] == pod.containerID)
      #expect(try #require(try await here.port(of: pod)).text("qos") == queue.text("_uuid"))
      let interface = try #require(try await here.interface(of: pod))
      #expect(interface.text("ingress_policing_rate") == "2000")
      // A fifth of a second: with less TCP does not reach the rate.
      #expect(interface.text("ingress_policing_burst") == "400")
      try await here.node.delete(pod, network)
      #expect(try await here.ovs.records("QoS").isEmpty)
    }
  }

  @Test(
    "On a bridge in user space the pod's end has the token bucket, whatever the kernel can police")
  func userspace() async throws {
    try await withOVSNode { here in
      try await here.ovs.vsctl(
        "add-br", "br1", "--", "set", "Bridge", "br1", "datapath_type=netdev")
      let pod = try await TestPod()
      try await here.node.add(
        pod,
        here.network([
          "bridge": "br1", "runtimeConfig": ["bandwidth": ["egressRate": 8_000_000]],
        ]))
      #expect(try await pod.rate() == 1_000_000)
      #expect(here.node.log.contains("by a token bucket on eth0"))
    }
  }

  @Test("An UPDATE that is refused puts limits back as they were, also those of token buckets")
  func restored() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let limit: JSONValue = ["bandwidth": ["ingressRate": 16_000_000, "egressRate": 8_000_000]]
      let more: JSONValue = ["bandwidth": ["ingressRate": 32_000_000, "egressRate": 24_000_000]]
      try await here.node.add(pod, here.network(["runtimeConfig": limit]))
      let before = try await pod.rate()
      let run = try await here.node.shim(
        "UPDATE", pod, here.network(["runtimeConfig": more, "mtu": 50]))
      #expect(run.code == 100, "\(run)")
      #expect(try await pod.rate() == before)
      let interface = try #require(try await here.interface(of: pod))
      #expect(interface.text("ingress_policing_rate") == "8000")
      let queues = try await here.ovs.records("QoS")
      #expect(queues.map { $0.map("other_config")["max-rate"] } == ["16000000"])
      let again = try await here.node.shim("UPDATE", pod, here.network(["runtimeConfig": more]))
      #expect(again.succeeded, "\(again)")
      let after = try await pod.rate()
      #expect(after == nil || after == 3_000_000)
    }
  }

  @Test("A rate that somebody else wrote, however great, ends no daemon")
  func greatRate() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      try await here.node.add(pod, here.network())
      let name = try await here.hostLink(of: pod)
      try await here.ovs.vsctl(
        "--no-wait", "set", "Interface", name, "ingress_policing_rate=\(Int64.max)")
      let limit: JSONValue = ["bandwidth": ["egressRate": 8_000_000]]
      let run = try await here.node.shim(
        "UPDATE", pod, here.network(["runtimeConfig": limit, "mtu": 50]))
      #expect(run.code == 100, "\(run)")
      #expect(here.node.daemon?.status == nil)
      try await here.node.delete(pod, here.network())
    }
  }

  @Test("An OVN port that a member of a bond has is refused at once")
  func bond() async throws {
    try await withOVSNode { here in
      try await here.node.network.ip(
        "link add m1 type veth peer name m1-peer", "link add m2 type veth peer name m2-peer")
      try await here.ovs.vsctl(
        "add-bond", "br0", "bond0", "m1", "m2", "--", "set", "Interface", "m1",
        "external_ids:iface-id=pod-port")
      let pod = try await TestPod()
      let run = try await here.node.shim(
        "ADD", pod, here.network(["args": ["cni": ["ovnPort": "pod-port"]]]))
      #expect(run.code == 101 && run.message?.contains("interface m1") == true, "\(run)")
      // The port would be waited for twenty seconds.
      #expect(run.milliseconds < 10_000 * Program.patience)
    }
  }
}

extension TestPod {
  /// The rate of the token bucket on its interface in bytes per second; nil for none.
  func rate() async throws -> Int? {
    let shown = try await network.run(["tc", "-json", "qdisc", "show", "dev", "eth0"])
    return shown.json?.array?.first { $0["kind"] == "tbf" }?.at("options", "rate")?.int
  }
}
