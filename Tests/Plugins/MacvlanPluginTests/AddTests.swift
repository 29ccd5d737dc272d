import Addresses
import CNI
import JSON
@_spi(Journal) import Linux
import Netlink
import PluginKit
import TestSupport
import Testing

@testable import MacvlanPlugin

private let known = "; there are bridge, passthru, private and vepa"

@Suite("macvlan ADD")
struct AddTests {
  @Test(
    "A link of each mode appears with parent, address and lease, and DEL removes all",
    arguments: [
      ("", "bridge"), ("bridge", "bridge"), ("private", "private"), ("vepa", "vepa"),
      ("passthru", "passthru"),
    ])
  func modes(given: String, mode: String) async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration(["mode": .string(given)])
    let result = try await node.add(pod, configuration)
    #expect(result.ips.map(\.address) == [IPNetwork("10.1.2.2/24")])
    #expect(result.ips.first?.gateway == IPAddress("10.1.2.1") && result.ips.first?.interface == 0)
    let interface = try #require(result.interfaces.first)
    #expect(interface.name == "eth0" && interface.sandbox == pod.netns && interface.mtu == nil)

    let link = try #require(try await pod.network.link("eth0"))
    #expect(link.at("linkinfo", "info_kind")?.string == "macvlan")
    #expect(link.at("linkinfo", "info_data", "mode")?.string == mode)
    #expect(link["address"]?.string == interface.mac && link["mtu"]?.int == 1500)
    #expect(link["ifalias"]?.string == "cnid:\(pod.containerID)/eth0")
    #expect(link["flags"]?.array?.contains("UP") == true)
    let parent = try #require(try await node.network.link("uplink"))
    #expect(link["link_index"]?.int == parent["ifindex"]?.int)
    #expect(try await pod.network.addresses("eth0") == ["10.1.2.2/24"])
    #expect(node.leases == ["pods/10.1.2.2"])

    try await node.delete(pod, configuration)
    #expect(try await pod.network.links() == [])
    #expect(node.leases == [])
  }

  @Test(
    "Without address management the link is up and has no address", arguments: [true, false])
  func layer2(isEmpty: Bool) async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let result = try await node.add(
      pod, try node.configuration(["ipam": isEmpty ? JSONValue.object(JSONObject()) : nil]))
    #expect(result.ips.isEmpty && result.interfaces.count == 1)
    let link = try await pod.network.link("eth0")
    #expect(link?["flags"]?.array?.contains("UP") == true)
    #expect(try await pod.network.addresses("eth0") == [])
  }

  @Test(
    "A configuration that cannot be is refused with what is right, and nothing is made",
    arguments: [
      ("mode", .string("foo"), "unknown macvlan mode: \"foo\"\(known)"),
      ("mode", .string("source"), "unknown macvlan mode: \"source\"\(known)"),
      ("mtu", 9999, "invalid MTU 9999, must be [0, master MTU(1500)]"),
      ("mtu", -1, "invalid MTU -1, must be [0, master MTU(1500)]"),
      ("master", .string("nope"), "failed to lookup master \"nope\": Link not found; there "),
      (
        "master", "a-name-that-no-link-has",
        "failed to lookup master \"a-name-that-no-link-has\": Link not found; there "
      ),
      (
        "master", "m0\0x",
        "error unmarshall network config: master: the text has a zero byte"
      ),
      ("Mode", "foo", "unknown macvlan mode: \"foo\"\(known)"),
      ("mac", .string("nope"), "mac \"nope\": must be six bytes such as 0a:58:0a:58:00:02"),
      (
        "mac", "01:00:5e:00:00:01",
        "mac \"01:00:5e:00:00:01\": a multicast address, which no interface can have"
      ),
      ("dad", .string("later"), "unknown dad: \"later\", must be \"wait\" or \"skip\""),
      (
        "bcqueuelen", -1,
        "error unmarshall network config: bcqueuelen: number found where a whole number from 0 to 4294967295 belongs"
      ),
      (
        "linkInContainer", .string("yes"),
        "error unmarshall network config: linkInContainer: string found where true or false belongs"
      ),
    ] as [(String, JSONValue, String)])
  func refused(key: String, value: JSONValue, text: String) async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let error = try await failure { try await node.add(pod, try node.configuration([key: value])) }
    #expect(error?.message.hasPrefix(text) == true, "\(String(describing: error))")
    #expect(try await pod.network.links() == [] && node.leases == [] && node.records.all.isEmpty)
  }

  @Test("MTU and broadcast queue are as configured; 0 means the parent's")
  func mtu() async throws {
    let node = try await MacvlanNode()
    let (first, second) = (try await TestPod(), try await TestPod())
    try await node.add(first, try node.configuration(["mtu": 1400, "bcqueuelen": 5000]))
    try await node.add(second, try node.configuration(["mtu": 0]))
    let link = try #require(try await first.network.link("eth0"))
    #expect(link["mtu"]?.int == 1400)
    #expect(link.at("linkinfo", "info_data", "bcqueuelen")?.int == 5000)
    #expect(try await second.network.link("eth0")?["mtu"]?.int == 1500)
  }

  @Test("The kernel announces the addresses by itself")
  func announcing() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try await node.add(pod, try node.configuration())
    for setting in ["ipv4/conf/eth0/arp_notify", "ipv6/conf/eth0/ndisc_notify"] {
      #expect(try await pod.network.run(["cat", "/proc/sys/net/\(setting)"]).text == "1\n")
    }
  }

  @Test(
    "Without master the default route's link is the parent; without one there is an error")
  func defaultMaster() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration(["master": nil])
    let error = try await failure { try await node.add(pod, configuration) }
    #expect(
      error?.message == "no default route interface found: the network has no \"master\", and "
        + "there is no default route to take it from")
    try await node.network.ip(
      "address add 192.0.2.2/24 dev uplink", "route add default via 192.0.2.1")
    try await node.add(pod, configuration)
    let parent = try await node.network.link("uplink")
    #expect(try await pod.network.link("eth0")?["link_index"]?.int == parent?["ifindex"]?.int)
  }

  @Test("With linkInContainer the parent, named or by default route, is in the pod")
  func linkInContainer() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try await pod.network.ip(
      "link add inner type veth peer name other", "link set inner up", "link set other up")
    let byName = try node.configuration(["linkInContainer": true, "master": "inner"])
    try await node.add(pod, byName)
    let parent = try await pod.network.link("inner")
    #expect(try await pod.network.link("eth0")?["link"]?.string == "inner")
    try await node.check(pod, byName, node.records.all.first?.result)
    try await node.delete(pod, byName)
    let byRoute = try node.configuration(["linkInContainer": true, "master": nil])
    let error = try await failure { try await node.add(pod, byRoute) }
    #expect(error?.message.hasPrefix("no default route interface found") == true)
    let outside = try node.configuration(["linkInContainer": true])
    let absent = try await failure { try await node.add(pod, outside) }
    #expect(
      absent?.message
        == "failed to lookup master \"uplink\": Link not found; there are inner and other")
    try await pod.network.ip(
      "address add 192.0.2.2/24 dev inner", "route add default via 192.0.2.1")
    try await node.add(pod, byRoute)
    #expect(parent != nil)
    #expect(try await pod.network.link("eth0")?["link"]?.string == "inner")
  }

  @Test(
    "The hardware address: runtimeConfig before CNI_ARGS before mac",
    arguments: [
      (nil, nil, "c2:11:22:33:44:03", "c2:11:22:33:44:03"),
      (nil, "c2:11:22:33:44:55", "c2:11:22:33:44:03", "c2:11:22:33:44:55"),
      ("c2:11:22:33:44:01", "c2:11:22:33:44:55", "c2:11:22:33:44:03", "c2:11:22:33:44:01"),
    ] as [(String?, String?, String?, String)])
  func mac(runtime: String?, argued: String?, configured: String?, expected: String) async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration([
      "mac": configured.map { .string($0) },
      "runtimeConfig": runtime.map { ["mac": .string($0)] },
    ])
    var options = CallOptions()
    options.arguments = argued.map { "MAC=\($0)" } ?? ""
    let result = try await node.add(pod, configuration, options)
    #expect(result.interfaces.first?.mac == expected)
    #expect(try await pod.network.link("eth0")?["address"]?.string == expected)
  }

  @Test("Without a request the address is a random local one; in passthru mode it is the parent's")
  func chosenMac() async throws {
    let node = try await MacvlanNode()
    let (first, second) = (try await TestPod(), try await TestPod())
    var macs: [MACAddress] = []
    for pod in [first, second] {
      let result = try await node.add(pod, try node.configuration())
      macs.append(try #require(MACAddress(result.interfaces[0].mac)))
    }
    #expect(macs[0] != macs[1])
    #expect(macs.allSatisfy { $0.isLocallyAdministered && !$0.isMulticast })
    for pod in [first, second] { try await node.delete(pod, try node.configuration()) }
    let passthru = try node.configuration(["mode": "passthru"])
    let result = try await node.add(first, passthru)
    let parent = try await node.network.link("uplink")?["address"]?.string
    #expect(result.interfaces.first?.mac == parent)
  }

  @Test("In passthru mode a requested address becomes the parent's for as long as the link lives")
  func passthruMac() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration(["mode": "passthru", "mac": "c2:11:22:33:44:55"])
    let before = try await node.network.link("uplink")?["address"]?.string
    let result = try await node.add(pod, configuration)
    #expect(result.interfaces.first?.mac == "c2:11:22:33:44:55")
    #expect(try await pod.network.link("eth0")?["address"]?.string == "c2:11:22:33:44:55")
    #expect(try await node.network.link("uplink")?["address"]?.string == "c2:11:22:33:44:55")
    try await node.check(pod, configuration, result)
    try await node.delete(pod, configuration)
    #expect(try await node.network.link("uplink")?["address"]?.string == before)
  }

  @Test("An interface that exists is an error and stays as it is")
  func existing() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try await pod.network.ip("link add eth0 type bridge")
    let before = try await pod.network.link("eth0")
    let error = try await failure { try await node.add(pod, try node.configuration()) }
    #expect(error?.code == .invalidEnvironment)
    #expect(error?.message == "interface \"eth0\" already exists in \(pod.netns)")
    #expect(try await pod.network.link("eth0") == before)
    #expect(node.leases == [] && node.records.all.isEmpty)
  }

  @Test(
    "A path that is no network namespace is an error", arguments: ["/nope", "/proc/self/ns/mnt"])
  func noNamespace(path: String) async throws {
    let node = try await MacvlanNode()
    var options = CallOptions()
    options.netns = path
    let error = try await failure {
      try await node.add(try await TestPod(), try node.configuration(), options)
    }
    #expect(error?.message.hasPrefix("failed to open netns \"\(path)\": ") == true)
    // A file on which nothing is mounted here.
    #expect(error?.message.hasSuffix("(mountPropagation?)") == (path != "/nope"))
    #expect(node.leases == [])
  }

  @Test("The node's own namespace is no pod's, for ADD and for DEL without a record")
  func ownNamespace() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    var options = CallOptions()
    options.netns = node.network.path
    options.isForgotten = true
    let configuration = try node.configuration()
    let error = try await failure { try await node.add(pod, configuration, options) }
    #expect(error?.code == .invalidNamespace)
    #expect(
      error?.message == "plugin's netns and netns from CNI_NETNS should not be the same")
    try await node.network.ip("link add eth0 link uplink type macvlan mode bridge")
    try await node.delete(pod, configuration, options)
    #expect(try await node.network.links() == ["eth0", "uplink", "wire"])
  }

  @Test("The result continues prevResult; name servers are the configuration's, else IPAM's")
  func chained() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let previous: JSONValue = [
      "cniVersion": "1.1.0", "interfaces": [["name": "net9", "sandbox": "/other"]],
      "ips": [["address": "192.0.2.9/24", "interface": 0]],
      "routes": [["dst": "198.51.100.0/24", "gw": "192.0.2.1"]],
    ]
    let result = try await node.add(
      pod,
      try node.configuration([
        "prevResult": previous, "dns": ["nameservers": ["192.0.2.53"]],
      ]))
    #expect(result.interfaces.map(\.name) == ["net9", "eth0"])
    #expect(result.ips.map(\.interface) == [0, 1])
    #expect(result.routes.map(\.dst) == [IPNetwork("198.51.100.0/24")])
    #expect(result.dns.nameservers == ["192.0.2.53"])

    let other = try await TestPod()
    let fixed: JSONValue = [
      "type": "static", "addresses": [["address": "10.9.0.2/24"]],
      "dns": ["nameservers": ["192.0.2.54"]],
    ]
    let second = try await node.add(other, try node.configuration(["ipam": fixed]))
    #expect(second.dns.nameservers == ["192.0.2.54"])
  }

  @Test("Routes have every member; one without a gateway gets the first of its family")
  func routes() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let ipam: JSONValue = [
      "type": "static",
      "addresses": [
        ["address": "10.1.2.2/24", "gateway": "10.1.2.1"],
        ["address": "2001:db8::2/64", "gateway": "2001:db8::1"],
      ],
      "routes": [
        ["dst": "0.0.0.0/0"], ["dst": "::/0"],
        ["dst": "15.5.6.0/24", "gw": "10.1.2.8", "mtu": 1400, "advmss": 1360, "priority": 7],
        ["dst": "15.5.7.0/24", "gw": "10.1.2.8", "table": 1000],
        ["dst": "15.5.8.0/24", "scope": 0],
        ["dst": "15.5.9.0/24", "gw": "10.1.2.8"], ["dst": "15.5.9.0/24", "gw": "10.1.2.8"],
        ["dst": "15.5.9.0/24", "gw": "10.1.2.9"],
      ],
    ]
    let configuration = try node.configuration(["ipam": ipam, "dad": "skip"])
    let result = try await node.add(pod, configuration)
    let four = try await pod.network.routes()
    #expect(four.contains("default via 10.1.2.1 dev eth0"))
    #expect(four.contains("15.5.6.0/24 via 10.1.2.8 dev eth0 metric 7 mtu 1400 advmss 1360"))
    #expect(four.contains("15.5.8.0/24 via 10.1.2.1 dev eth0"))
    #expect(
      four.filter { $0.hasPrefix("15.5.9.0/24") } == [
        "15.5.9.0/24 via 10.1.2.8 dev eth0", "15.5.9.0/24 via 10.1.2.9 dev eth0",
      ])
    let six = try await pod.network.routes("-6")
    #expect(six.contains { $0.hasPrefix("default via 2001:db8::1 dev eth0") })
    let table = try await pod.network.run(["ip", "route", "show", "table", "1000"]).text
    #expect(table.hasPrefix("15.5.7.0/24 via 10.1.2.8 dev eth0"))
    #expect(result.routes.count == 8)
    try await node.check(pod, configuration, result)
  }

  @Test("CNI_ARGS that nobody knows are refused unless IgnoreUnknown is set")
  func unknownArguments() async throws {
    let node = try await MacvlanNode()
    var options = CallOptions()
    options.arguments = "FOO=bar;MAC=c2:11:22:33:44:55;IP=10.1.2.9"
    let pod = try await TestPod()
    let error = try await failure { try await node.add(pod, try node.configuration(), options) }
    #expect(error?.message == "ARGS: unknown args [\"FOO=bar\"]")
    options.arguments = "MAC=c2:11:22:33:44:55;IP=10.1.2.9"
    let result = try await node.add(pod, try node.configuration(), options)
    #expect(result.ips.first?.address == IPNetwork("10.1.2.9/24"))
    #expect(result.interfaces.first?.mac == "c2:11:22:33:44:55")
  }

  @Test("Two pods on one card reach each other")
  func ping() async throws {
    let node = try await MacvlanNode()
    let (first, second) = (try await TestPod(), try await TestPod())
    try await node.add(first, try node.configuration())
    try await node.add(second, try node.configuration())
    #expect(try await first.network.pings("10.1.2.3"))
  }

  @Test("An address that a link on its way out still holds is waited for")
  func dyingAddress() async throws {
    let node = try await MacvlanNode()
    let configuration = try node.configuration(["mac": "c2:11:22:33:44:55", "ipam": nil])
    let (old, pod) = (try await TestPod(), try await TestPod())
    try await node.add(old, configuration)
    let door = Door()
    async let lowered: Void = lowerLink(of: old, after: door)
    #expect(await door.isReached())
    async let added = node.add(pod, configuration)
    // The mark comes just before the refusal.
    let isMarked = try await pod.network.run { () throws -> Bool in
      var socket = try NetlinkSocket()
      let deadline = soon
      while try socket.link(named: "eth0", deadline: deadline)?.alias.isEmpty != false {
        Clock.pause(milliseconds: 1)
      }
      door.open()
      return true
    }
    try await lowered
    let result = try await added
    #expect(isMarked && result.interfaces.first?.mac == "c2:11:22:33:44:55")
    #expect(try await pod.network.link("eth0")?["flags"]?.array?.contains("UP") == true)
  }

  /// Takes a pod's link down as soon as a door opens: for a second only the address is waited for.
  private func lowerLink(of pod: TestPod, after door: Door) async throws {
    try await pod.network.run {
      var socket = try NetlinkSocket()
      let link = try socket.link(named: "eth0", deadline: soon)
      door.pass()
      guard let link else { return }
      var settings = LinkSettings()
      settings.isUp = false
      try socket.apply([.changeLink(index: link.index, settings)], Permit(), deadline: soon)
    }
  }
}
