import JSON
import Linux
import TestSupport
import Testing

/// What ADD makes in the kernel and in the database.
@Suite(.daemonLog, .openVSwitch) struct AddTests {
  @Test("ADD makes a veth pair, a port and their marks, and DEL takes all of it away")
  func addAndDelete() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let before = try await here.state([pod])
      let result = try await here.node.add(pod, here.network())

      let name = try await here.hostLink(of: pod)
      let port = try #require(try await here.port(of: pod))
      let interface = try #require(try await here.interface(of: pod))
      let near = try #require(try await here.node.network.link(name))
      let far = try #require(try await pod.network.link("eth0"))
      #expect(name.utf8.count == 15)
      #expect(
        near.at("linkinfo", "info_kind") == "veth" && far.at("linkinfo", "info_kind") == "veth")
      for link in [near, far] {
        #expect(link["ifalias"]?.string == "cnid:\(pod.containerID)/eth0")
        #expect(link["flags"]?.array?.contains("LOWER_UP") == true)
      }
      #expect(try await here.ovs.ports("br0") == [name])
      #expect(
        port.map("external_ids") == [
          "owner": "cnid", "sandbox": pod.containerID, "contNetns": pod.netns, "contIface": "eth0",
          "contPodUid": "uid-\(pod.containerID)", "network": "pods",
        ])
      #expect(port.map("other_config") == ["transient": "true"])
      #expect(port.text("vlan_mode") == "trunk" && port.list("trunks") == [])
      #expect(
        interface.map("external_ids") == [
          "attached_mac": "0a:58:0a:01:02:02", "sandbox": pod.containerID,
          "ip_addresses": "10.1.2.2/24",
        ])
      #expect(interface.text("link_state") == "up" && interface.text("error") == nil)

      #expect(far["address"] == "0a:58:0a:01:02:02")
      #expect(try await pod.network.addresses("eth0") == ["10.1.2.2/24"])
      #expect(result.at("interfaces", 0, "name")?.string == name)
      #expect(result.at("interfaces", 0, "mac") == near["address"])
      #expect(result.at("interfaces", 0, "sandbox") == nil)
      #expect(result.at("interfaces", 1, "name") == "eth0")
      #expect(result.at("interfaces", 1, "sandbox")?.string == pod.netns)
      #expect(result.at("interfaces", 1, "mac") == far["address"])
      #expect(result.at("ips", 0, "interface") == 1)
      #expect(result.at("ips", 0, "address") == "10.1.2.2/24")

      try await here.node.delete(pod, here.network())
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("With dad: skip neighbours hear at once that an IPv6 address has another hardware address")
  func announcesIPv6() async throws {
    try await withOVSNode { here in
      func network(_ address: String) -> JSONValue {
        here.network([
          "dad": "skip",
          "ipam": ["type": "static", "addresses": [["address": .string(address)]]],
        ])
      }
      let (peer, old, new) = (
        try await TestPod("peer"), try await TestPod("old"), try await TestPod("new")
      )
      try await here.node.add(peer, network("fd00::1/64"))
      let second = network("fd00::2/64")
      try await here.node.add(old, second)
      #expect(try await peer.network.pings("fd00::2"))
      let before = try await old.network.link("eth0")?["address"]
      try await here.node.delete(old, second)
      try await here.node.add(new, second)
      let address = try #require(try await new.network.link("eth0")?["address"])
      #expect(address != before)
      // Nothing is sent to the address here, so nobody asks for it.
      let wrong = try await settled(within: 4000) {
        let known = try await peer.network.show("-6", "neighbor", "show", "fd00::2")
        return known.first?["lladdr"] == address ? [] : ["\(known)"]
      }
      #expect(wrong == [])
    }
  }

  @Test("Several interfaces of one pod have a port each, and DEL of one leaves the others")
  func several() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      for ifname in ["eth0", "net1", "net2"] {
        try await here.node.add(pod, here.network(), ifname: ifname)
      }
      #expect(try await here.ovs.ports("br0").count == 3)
      try await here.node.delete(pod, here.network(), ifname: "net1")
      #expect(try await here.port(of: pod, ifname: "net1") == nil)
      #expect(try await pod.network.links() == ["eth0", "net2"])
      #expect(try await here.ovs.ports("br0").count == 2)
    }
  }

  @Test("The requested hardware address and OVN port are taken, the runtime's first")
  func requested() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let arguments = pod.arguments + ";MAC=0a:00:00:00:00:80;OvnPort=test-port"
      let network = here.flat(["args": ["cni": ["MAC": "0a:00:00:00:00:99", "ovnport": "other"]]])
      let result = try await here.node.add(pod, network, ["CNI_ARGS": arguments])
      #expect(result.at("interfaces", 1, "mac") == "0a:00:00:00:00:80")
      let ids = try #require(try await here.interface(of: pod)).map("external_ids")
      #expect(ids["iface-id"] == "test-port" && ids["attached_mac"] == "0a:00:00:00:00:80")
      #expect(ids["iface-id-ver"] == "uid-\(pod.containerID)")

      let other = try await TestPod()
      let runtime = here.flat([
        "args": ["cni": ["mac": "0a:00:00:00:00:99", "ovnPort": "by-args"]],
        "runtimeConfig": ["mac": "0a:00:00:00:00:81"],
      ])
      let second = try await here.node.add(other, runtime)
      #expect(second.at("interfaces", 1, "mac") == "0a:00:00:00:00:81")
      let others = try #require(try await here.interface(of: other)).map("external_ids")
      #expect(others["iface-id"] == "by-args")
    }
  }

  @Test("The OpenFlow port and the MTU of both ends are as asked for")
  func numbers() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let result = try await here.node.add(pod, here.network(["ofport_request": 42, "mtu": 1456]))
      let interface = try #require(try await here.interface(of: pod))
      #expect(interface.text("ofport") == "42")
      #expect(try await pod.network.link("eth0")?["mtu"] == 1456)
      let name = try await here.hostLink(of: pod)
      #expect(try await here.node.network.link(name)?["mtu"] == 1456)
      #expect(result.at("interfaces", 1, "mtu") == 1456)
    }
  }

  @Test("A chained call gives the results of the plugins before it, then its own")
  func chained() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let result = try await here.node.add(
        pod,
        here.network([
          "prevResult": [
            "cniVersion": "1.1.0", "interfaces": [["name": "before"]],
            "ips": [["address": "192.0.2.7/24", "interface": 0]],
          ]
        ]))
      #expect(result["interfaces"]?.array?.compactMap { $0["name"]?.string }.first == "before")
      #expect(result["interfaces"]?.array?.count == 3)
      #expect(result.at("ips", 0, "address") == "192.0.2.7/24")
      #expect(result.at("ips", 1, "interface") == 2)
    }
  }

  @Test("Without address management there are no addresses, unless the runtime gives some")
  func flat() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let result = try await here.node.add(pod, here.flat())
      #expect(result["ips"] == nil)
      #expect(try await pod.network.addresses("eth0") == [])
      let given = try await TestPod()
      let fixed = here.flat(["runtimeConfig": ["ips": ["192.0.2.9/24"]]])
      let second = try await here.node.add(given, fixed)
      #expect(second.at("ips", 0, "address") == "192.0.2.9/24")
      #expect(try await given.network.addresses("eth0") == ["192.0.2.9/24"])
      try await here.node.delete(given, fixed)
      try await here.node.delete(pod, here.flat())
      #expect(try await here.ovs.ports("br0") == [])
    }
  }

  @Test("IPv6 addresses and routes work when ADD returns")
  func ipv6() async throws {
    try await withOVSNode { here in
      let network = here.network([
        "ipam": [
          "type": "host-local",
          "ranges": [[["subnet": "2001:db8:1::/64"]], [["subnet": "10.1.2.0/24"]]],
          "routes": [["dst": "198.51.100.0/24"], ["dst": "2001:db8:f::/48"]],
        ]
      ])
      let (one, two) = (try await TestPod("one"), try await TestPod("two"))
      try await here.node.add(one, network)
      try await here.node.add(two, network)
      #expect(try await one.network.pings("2001:db8:1::3"))
      #expect(try await two.network.pings("10.1.2.2"))
      #expect(
        try await one.network.routes("-6").contains {
          $0.hasPrefix("2001:db8:f::/48 via 2001:db8:1::1")
        })
    }
  }

  @Test("The file of defaults counts where the configuration has nothing")
  func defaults() async throws {
    try await withOVSNode { here in
      let file = here.node.directory("ovs.conf")
      let text =
        #"{"bridge": "br0", "socket_file": "\#(here.ovs.address)", "vlan": 7, "mtu": 1300}"#
      try Files.write(file, Array(text.utf8), mode: [.write, .create])
      let pod = try await TestPod()
      let network = here.network([
        "bridge": nil, "socket_file": nil, "mtu": 1200, "configuration_path": .string(file),
      ])
      try await here.node.add(pod, network)
      #expect(try #require(try await here.port(of: pod)).text("tag") == "7")
      #expect(try await pod.network.link("eth0")?["mtu"] == 1200)
      // What the ADD has read counts for the DEL, whatever has become of the file.
      try Files.remove(file)
      try await here.node.delete(pod, network)
      #expect(try await here.ovs.ports("br0") == [])
    }
  }

  /// What an ADD may be refused for.
  struct Refusal: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let changes: [String: JSONValue?]
    let code: Int
    let text: String

    init(_ name: String, _ changes: [String: JSONValue?], _ code: Int, _ text: String) {
      testDescription = name
      self.changes = changes
      self.code = code
      self.text = text
    }

    static let all = [
      Refusal("A VLAN that there is not", ["vlan": 9999], 7, "invalid vlan 9999"),
      Refusal("vlan and trunk", ["vlan": 1, "trunk": [["id": 2]]], 7, "exclude each other"),
      Refusal(
        "a trunk of numbers", ["trunk": [10, 20]], 6,
        "trunk[0]: number found where an object belongs: write {\"id\": 10}"),
      Refusal(
        "a trunk backwards", ["trunk": [["minID": 5, "maxID": 3]]], 7, "minID is greater than maxID"
      ),
      Refusal("no such bridge", ["bridge": "br9"], 7, "failed to find bridge br9; there is br0"),
      Refusal(
        "no bridge", ["bridge": nil], 7,
        "failed to get bridge name: the network has neither bridge nor an OVN port"),
      Refusal("a device", ["deviceID": "0000:00:1f.6"], 2, "deviceID"),
      Refusal("a DPDK interface", ["interface_type": "dpdk"], 2, "interface_type"),
      Refusal("an OpenFlow port", ["ofport_request": 65280], 7, "invalid ofport_request 65280"),
      Refusal("no address of a server", ["socket_file": "ssl:127.0.0.1:6640"], 7, "ssl:"),
      Refusal(
        "no server", ["socket_file": "unix:/run/openvswitch/no"], 101, "is Open vSwitch running?"),
      Refusal(
        "Too little", ["runtimeConfig": ["bandwidth": ["ingressRate": 500]]], 7,
        "runtimeConfig.bandwidth.ingressRate: 500 bit/s is less than 1000 bit/s"),
      Refusal(
        "Too much", ["runtimeConfig": ["bandwidth": ["egressRate": 2_000_000_000_000_000]]], 7,
        "runtimeConfig.bandwidth.egressRate: 2000000000000000 bit/s is more than 1 Pbit/s"),
      Refusal(
        "addresses that are all taken",
        ["ipam": ["type": "host-local", "subnet": "10.1.2.0/30", "rangeStart": "10.1.2.3"]], 7, ""),
    ]
  }

  @Test("What cannot be is refused with its reason, and nothing is left", arguments: Refusal.all)
  func refused(refusal: Refusal) async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let before = try await here.state([pod])
      let run = try await here.node.shim("ADD", pod, here.network(refusal.changes))
      #expect(run.code == refusal.code, "\(run)")
      #expect(run.message?.contains(refusal.text) == true, "\(run)")
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("A plugin on disk that gives no address: no port, no pair, no address stays")
  func noAddress() async throws {
    try await withOVSNode { here in
      try Files.makeDirectories(here.node.directory("bin"))
      let script =
        "#!/bin/sh\n[ $CNI_COMMAND = ADD ] && echo '{\"code\": 150, \"msg\": \"none left\"}' && exit 1\nexit 0\n"
      try Files.write(
        here.node.directory("bin/empty"), Array(script.utf8), mode: [.write, .create],
        permissions: 0o755)
      let pod = try await TestPod()
      let before = try await here.state([pod])
      let run = try await here.node.shim(
        "ADD", pod, here.network(["ipam": ["type": "empty"]]),
        ["CNI_PATH": here.node.directory("bin")])
      #expect(run.code == 150 && run.message == "none left", "\(run)")
      let left = try await here.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }
}
