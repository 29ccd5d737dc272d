import JSON
import Linux
import TestSupport
import Testing

/// The main job: runtime, shim, daemon, macvlan, kernel, and all of it back again.
@Suite(.daemonLog) struct MacvlanTests {
  @Test("ADD makes the link that was asked for, and DEL removes link and lease")
  func addAndDelete() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let before = try await node.snapshot([pod])
      let result = try await node.add(pod, node.macvlan())

      let link = try #require(try await pod.network.link("eth0"))
      let uplink = try #require(try await node.network.link("uplink"))
      #expect(link.at("linkinfo", "info_kind") == "macvlan")
      #expect(link.at("linkinfo", "info_data", "mode") == "bridge")
      #expect(link["link_index"] == uplink["ifindex"])
      #expect(link["flags"]?.array?.contains("UP") == true)
      #expect(link["ifalias"]?.string == "cnid:\(pod.containerID)/eth0")
      #expect(try await pod.network.addresses("eth0") == ["10.1.2.2/24"])

      #expect(result["cniVersion"] == "1.1.0")
      #expect(result.at("interfaces", 0, "name") == "eth0")
      #expect(result.at("interfaces", 0, "sandbox")?.string == pod.netns)
      #expect(result.at("interfaces", 0, "mac") == link["address"])
      #expect(result.at("ips", 0, "interface") == 0)
      #expect(result.at("ips", 0, "address") == "10.1.2.2/24")
      #expect(result.at("ips", 0, "gateway") == "10.1.2.1")
      #expect(node.leases == ["pods/10.1.2.2"])
      #expect(node.records.count == 1)

      try await node.delete(pod, node.macvlan())
      #expect(try await pod.network.links() == [])
      #expect(node.leases == [] && node.records == [])
      let left = try await node.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("Two pods reach each other through their macvlans, and a third network does not")
  func ping() async throws {
    try await withTestNode { node in
      let (one, two) = (try await TestPod("one"), try await TestPod("two"))
      try await node.add(one, node.macvlan())
      let second = try await node.add(two, node.macvlan())
      #expect(second.at("ips", 0, "address") == "10.1.2.3/24")
      #expect(try await one.network.pings("10.1.2.3"))
      #expect(try await two.network.pings("10.1.2.2"))
      try await node.delete(two, node.macvlan())
      #expect(try await one.network.run(["ping", "-c1", "-W1", "10.1.2.3"]).succeeded == false)
    }
  }

  @Test("The printed result is indented by four spaces with sorted keys")
  func printing() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let run = try await node.shim("ADD", pod, node.macvlan())
      #expect(
        run.text.hasPrefix("{\n    \"cniVersion\": \"1.1.0\",\n    \"interfaces\": ["), "\(run)")
    }
  }

  @Test("DEL of what never was, of what is gone and of what is gone twice succeeds")
  func deleteTwice() async throws {
    try await withTestNode { node in
      let (pod, other) = (try await TestPod(), try await TestPod())
      try await node.delete(pod, node.macvlan())
      try await node.add(pod, node.macvlan())
      try await node.add(other, node.macvlan())
      try await node.delete(pod, node.macvlan())
      try await node.delete(pod, node.macvlan())
      #expect(node.leases == ["pods/10.1.2.3"])

      // The runtime has closed the namespace before it comes again, as containerd does.
      try await node.delete(other, node.macvlan(), ["CNI_NETNS": ""])
      #expect(try await other.network.links() == [])
      #expect(node.leases == [] && node.records == [])
      try await node.delete(other, node.macvlan(), ["CNI_NETNS": nil])
      try await node.delete(other, node.macvlan(), ["CNI_NETNS": "/var/run/netns/gone"])
    }
  }

  @Test("DEL succeeds when the namespace's path has gone, and gives the address back")
  func deleteWithoutPath() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      let environment = pod.environment("DEL")
      pod.network.closePath()
      let result = try await Program.run(
        [Program.shim], environment: environment, input: node.macvlan().bytes)
      #expect(result.succeeded, "\(result)")
      // It lives on by a descriptor of the test's, and is found without a path.
      #expect(try await pod.network.links() == [])
      #expect(node.leases == [] && node.records == [])
    }
  }

  @Test("DEL succeeds after somebody else removed the link, or the node lost its master")
  func deleteWithoutLink() async throws {
    try await withTestNode { node in
      let (one, two) = (try await TestPod(), try await TestPod())
      try await node.add(one, node.macvlan())
      try await node.add(two, node.macvlan())
      try await one.network.ip("link delete eth0")
      try await node.delete(one, node.macvlan())
      try await node.network.ip("link delete uplink")
      try await node.delete(two, node.macvlan())
      #expect(node.leases == [] && node.records == [])
    }
  }

  @Test("Without an ipam type the link is up and has no address")
  func layer2() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let result = try await node.add(pod, node.macvlan(["ipam": [:]]))
      #expect(result["ips"] == nil)
      #expect(result.at("interfaces", 0, "name") == "eth0")
      let link = try #require(try await pod.network.link("eth0"))
      #expect(link["flags"]?.array?.contains("UP") == true)
      #expect(try await pod.network.addresses("eth0") == [])
      try await node.delete(pod, node.macvlan(["ipam": [:]]))
      #expect(try await pod.network.links() == [])
    }
  }

  @Test(
    "A configuration that cannot work is refused before anything is made",
    arguments: [
      (["mode": "foo"], #"unknown macvlan mode: "foo"; there are bridge"#),
      (["mtu": 9999], "invalid MTU 9999, must be [0, master MTU(1500)]"),
      (["mtu": -1], "invalid MTU -1, must be [0, master MTU(1500)]"),
      (["master": "nolink"], "Link not found; there are uplink"),
    ] as [([String: JSONValue], String)])
  func refused(changes: [String: JSONValue], text: String) async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let before = try await node.snapshot([pod])
      let result = try await node.shim("ADD", pod, node.macvlan(changes))
      #expect(result.status == .exited(1))
      #expect(result.message?.contains(text) == true, "\(result)")
      let left = try await node.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test(
    "The mode and the MTU that were asked for are the kernel's", arguments: ["private", "vepa"])
  func modeAndMTU(mode: String) async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan(["mode": .string(mode), "mtu": 1400]))
      let link = try #require(try await pod.network.link("eth0"))
      #expect(link["mtu"] == 1400)
      #expect(link.at("linkinfo", "info_data", "mode")?.string == mode)
    }
  }

  @Test("Without a master the default route's interface is it")
  func defaultMaster() async throws {
    try await withTestNode { node in
      try await node.network.ip(
        "address add 192.0.2.10/24 dev uplink", "route add default via 192.0.2.1")
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan(["master": .none]))
      let link = try #require(try await pod.network.link("eth0"))
      let uplink = try #require(try await node.network.link("uplink"))
      #expect(link["link_index"] == uplink["ifindex"])
    }
  }

  @Test("Without a master and a default route ADD says so")
  func noDefaultRoute() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let result = try await node.shim("ADD", pod, node.macvlan(["master": .none]))
      #expect(result.message?.contains("no default route interface found") == true, "\(result)")
    }
  }

  @Test("linkInContainer takes the master from the pod's namespace")
  func linkInContainer() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try await pod.network.ip(
        "link add inner type veth peer name innerwire", "link set innerwire up",
        "link set inner up")
      let configuration = node.macvlan(["master": "inner", "linkInContainer": true])
      try await node.add(pod, configuration)
      let (link, inner) = (
        try await pod.network.link("eth0"), try await pod.network.link("inner")
      )
      #expect(link?["link"] == "inner")
      #expect(inner != nil)
      try await node.delete(pod, configuration)
      #expect(try await pod.network.links() == ["inner", "innerwire"])
    }
  }

  @Test(
    "Of three MAC addresses runtimeConfig's wins, then CNI_ARGS', then the configuration's")
  func macAddress() async throws {
    try await withTestNode { node in
      let runtime = node.macvlan([
        "mac": "c2:11:22:33:44:77", "runtimeConfig": ["mac": "c2:11:22:33:44:66"],
      ])
      let own = node.macvlan(["mac": "c2:11:22:33:44:77"])
      let arguments = "IgnoreUnknown=1;MAC=c2:11:22:33:44:55"
      for (configuration, arguments, expected) in [
        (runtime, arguments, "c2:11:22:33:44:66"), (own, arguments, "c2:11:22:33:44:55"),
        (own, "", "c2:11:22:33:44:77"),
      ] {
        let pod = try await TestPod()
        let result = try await node.add(pod, configuration, ["CNI_ARGS": arguments])
        #expect(result.at("interfaces", 0, "mac")?.string == expected)
        #expect(try await pod.network.link("eth0")?["address"]?.string == expected)
        try await node.delete(pod, configuration)
      }
    }
  }

  @Test("An interface that exists is refused and left as it is")
  func existingInterface() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try await pod.network.ip("link add eth0 type veth peer name peer")
      let existing = try await pod.network.link("eth0")?["ifindex"]
      let before = try await node.snapshot([pod])
      let result = try await node.shim("ADD", pod, node.macvlan())
      #expect(result.status == .exited(1))
      #expect(result.message?.contains("eth0") == true, "\(result)")
      #expect(try await pod.network.link("eth0")?["ifindex"] == existing)
      // The runtime's DEL after a failed ADD does not take it either.
      try await node.delete(pod, node.macvlan())
      #expect(try await pod.network.link("eth0")?["ifindex"] == existing)
      let left = try await node.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("CHECK passes after ADD and fails when the address is gone")
  func check() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let result = try await node.add(pod, node.macvlan())
      let configuration = node.macvlan(["prevResult": result])
      let good = try await node.shim("CHECK", pod, configuration)
      #expect(good.succeeded && good.output.isEmpty, "\(good)")

      try await pod.network.ip("address delete 10.1.2.2/24 dev eth0")
      let bad = try await node.shim("CHECK", pod, configuration)
      #expect(bad.status == .exited(1))
      #expect(bad.message?.contains("10.1.2.2") == true, "\(bad)")

      let old = try await node.shim(
        "CHECK", pod, configuration.setting("cniVersion", "0.3.1"))
      #expect(old.message == "CHECK needs cniVersion 0.4.0, the network says 0.3.1")
    }
  }

  @Test("CHECK notices a link that is gone, has another MAC or never was")
  func checkLink() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let result = try await node.add(pod, node.macvlan())
      let configuration = node.macvlan(["prevResult": result])
      try await pod.network.ip("link set eth0 address 02:00:00:00:00:01")
      let other = try await node.shim("CHECK", pod, configuration)
      #expect(other.message?.contains("doesn't match container Mac") == true, "\(other)")
      try await pod.network.ip("link delete eth0")
      #expect(try await node.shim("CHECK", pod, configuration).status == .exited(1))
      let without = try await node.shim("CHECK", pod, node.macvlan())
      #expect(without.message?.contains("required prevResult missing") == true, "\(without)")
    }
  }

  @Test("What a plugin before it made stays in the result")
  func chained() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let previous: JSONValue = [
        "cniVersion": "1.1.0", "interfaces": [["name": "before0", "mac": "02:00:00:00:00:09"]],
        "ips": [["address": "192.0.2.77/24", "interface": 0]],
        "routes": [["dst": "198.51.100.0/24"]],
      ]
      let configuration = node.macvlan(["prevResult": previous])
      let result = try await node.add(pod, configuration)
      let names = result["interfaces"]?.array?.map { $0["name"]?.string }
      #expect(names?.contains("before0") == true && names?.contains("eth0") == true)
      let addresses = result["ips"]?.array ?? []
      #expect(addresses.contains { $0["address"] == "192.0.2.77/24" })
      let own = try #require(addresses.first { $0["address"] == "10.1.2.2/24" })
      let index = try #require(own["interface"]?.int)
      #expect(names?[index] == "eth0")
      #expect(result["routes"]?.array?.contains { $0["dst"] == "198.51.100.0/24" } == true)
    }
  }

  @Test("A DEL that comes late through a reused path does not take the next container's link")
  func reusedPath() async throws {
    try await withTestNode { node in
      let (old, new) = (try await TestPod("old"), try await TestPod("new"))
      // A path of the runtime's own making, which leads to one namespace and then to another.
      let path = node.directory("netns")
      _ = try await Program.run(["ln", "-s", old.netns, path])
      try await node.add(old, node.macvlan(), ["CNI_NETNS": path])
      _ = try await Program.run(["ln", "-sfn", new.netns, path])
      let added = try await node.add(new, node.macvlan(), ["CNI_NETNS": path])
      #expect(added.at("ips", 0, "address") == "10.1.2.3/24")
      try await node.delete(old, node.macvlan(), ["CNI_NETNS": path])
      #expect(try await new.network.links() == ["eth0"])
      #expect(node.leases == ["pods/10.1.2.3"])
      try await node.delete(new, node.macvlan(), ["CNI_NETNS": path])
      #expect(try await new.network.links() == [])
    }
  }

  @Test("Without a record DEL still takes its own link and lease, and only those")
  func deleteWithoutRecord() async throws {
    try await withTestNode { node in
      let (one, two) = (try await TestPod(), try await TestPod())
      try await node.add(one, node.macvlan())
      try await node.add(two, node.macvlan())
      try await node.stop()
      TemporaryDirectory.removeTree("\(node.stateDirectory)/attachments")
      try await node.start()
      // Its container id, the other's namespace: the mark on the link says whose it is.
      try await node.delete(one, node.macvlan(), ["CNI_NETNS": two.netns])
      #expect(try await two.network.links() == ["eth0"])
      try await node.delete(two, node.macvlan())
      #expect(try await two.network.links() == [])
      #expect(node.leases == [])
    }
  }

  @Test("Two interfaces of one pod come and go by themselves")
  func twoInterfaces() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let second = node.macvlan([
        "name": "second", "ipam": ["type": "host-local", "subnet": "10.3.0.0/24"],
      ])
      try await node.add(pod, node.macvlan())
      try await node.add(pod, second, ifname: "net1")
      #expect(try await pod.network.links() == ["eth0", "net1"])
      try await node.delete(pod, second, ifname: "net1")
      #expect(try await pod.network.links() == ["eth0"])
      #expect(node.leases == ["pods/10.1.2.2"])
    }
  }
}
