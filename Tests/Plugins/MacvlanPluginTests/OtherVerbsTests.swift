import Addresses
import CNI
import JSON
import Linux
import PluginKit
import TestSupport
import Testing

@testable import MacvlanPlugin

@Suite("macvlan's steps")
struct StepTests {
  @Test("Address management in this process comes before the link and, for DEL, after it")
  func inProcess() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let routed: JSONValue = [
      "type": "host-local", "subnet": "10.1.2.0/24", "routes": [["dst": "0.0.0.0/0"]],
    ]
    let configuration = try node.configuration(["ipam": routed])
    try await node.add(pod, configuration)
    #expect(node.steps == ["takeLease", "createLink", "configureLink", "addRoutes"])
    try await node.delete(pod, configuration)
    #expect(node.steps == ["deleteLink", "releaseLease"])
  }

  @Test("A plugin on disk runs when the link is there and marked and, for DEL, before it goes")
  func onDisk() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try node.install(
      "fixed",
      #"[ $CNI_COMMAND = ADD ] && echo '{"ips": [{"address": "10.7.0.2/16"}]}'; exit 0"#)
    let configuration = try node.configuration(["ipam": ["type": "fixed"]])
    try await node.add(pod, configuration)
    #expect(node.steps == ["createLink", "markLink", "runIPAM", "configureLink"])
    try await node.delete(pod, configuration)
    #expect(node.steps == ["runIPAMDelete", "deleteLink"])
    var options = CallOptions()
    options.netns = ""
    try await node.delete(pod, configuration, options)
    #expect(node.steps == ["runIPAMDelete", "deleteLink"])
  }
}

@Suite("macvlan CHECK")
struct CheckTests {
  private static let routed: JSONValue = [
    "type": "host-local", "subnet": "10.1.2.0/24",
    "routes": [["dst": "0.0.0.0/0"], ["dst": "15.5.6.0/24", "gw": "10.1.2.8"]],
  ]

  @Test("What ADD made passes, also in passthru mode and without addresses")
  func passes() async throws {
    let node = try await MacvlanNode()
    for changes in [
      [:], ["mode": "private"], ["ipam": nil], ["ipam": CheckTests.routed],
      ["mtu": 1400, "mode": "passthru"],
    ] as [[String: JSONValue?]] {
      let pod = try await TestPod()
      let configuration = try node.configuration(changes)
      let result = try await node.add(pod, configuration)
      try await node.check(pod, configuration, result)
      try await node.delete(pod, configuration)
    }
  }

  @Test(
    "What is missing or different is told in the reference's words",
    arguments: [
      ("address flush dev eth0", "Failed to match addr 10.1.2.2/24 on interface eth0"),
      (
        "link set eth0 type macvlan mode vepa",
        "container macvlan mode vepa does not match expected value: bridge"
      ),
      ("route delete 15.5.6.0/24", "expected Route 15.5.6.0/24 not found in routing table"),
      ("route delete default", "expected Route 0.0.0.0/0 not found in routing table"),
      ("route delete 10.1.2.0/24", "Failed to find Gateway 10.1.2.1 for interface eth0"),
      ("link delete eth0", "container interface name in prevResult: eth0 not found"),
      (
        "link set eth0 address c2:00:00:00:00:09",
        "interface eth0 Mac c2:00:00:00:00:01 doesn't match container Mac: c2:00:00:00:00:09"
      ),
    ])
  func fails(change: String, text: String) async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration([
      "ipam": CheckTests.routed, "mac": "c2:00:00:00:00:01",
    ])
    let result = try await node.add(pod, configuration)
    try await pod.network.ip(change)
    let error = try await failure { try await node.check(pod, configuration, result) }
    #expect(error?.message == text)
  }

  @Test("A route that a later plugin has moved to another table is no fault, nor another path")
  func moved() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration(["ipam": CheckTests.routed])
    var result = try await node.add(pod, configuration)
    try await pod.network.ip(
      "route delete default", "route add default via 10.1.2.1 dev eth0 table 100")
    result.interfaces[0].sandbox = "/proc/./" + pod.netns.dropFirst(6)
    try await node.check(pod, configuration, result)
    try await pod.network.ip("route delete default table 100")
    let error = try await failure { try await node.check(pod, configuration, result) }
    #expect(error?.message == "expected Route 0.0.0.0/0 not found in routing table")
  }

  @Test("A link of another kind is told")
  func otherKind() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration(["ipam": nil])
    let result = try await node.add(pod, configuration)
    try await pod.network.ip("link delete eth0", "link add eth0 type bridge")
    let error = try await failure { try await node.check(pod, configuration, result) }
    #expect(error?.message == "error: Container interface eth0 not of type macvlan")
  }

  @Test("A lost lease, a missing parent, a missing or foreign prevResult are told")
  func otherFaults() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration()
    var result = try await node.add(pod, configuration)
    let missing = try await failure { try await node.check(pod, configuration, nil) }
    #expect(missing?.message == "required prevResult missing")
    let good = result
    result.interfaces[0].sandbox = "/other"
    let foreign = try await failure { try await node.check(pod, configuration, result) }
    #expect(
      foreign?.message
        == "sandbox in prevResult /other doesn't match configured netns: \(pod.netns)")
    try Files.remove(node.directory("networks/pods/10.1.2.2"))
    let lost = try await failure { try await node.check(pod, configuration, good) }
    #expect(lost?.code == .ipam)
    let gone = try node.configuration(["ipam": nil, "master": "gone"])
    let parent = try await failure { try await node.check(pod, gone, good) }
    #expect(
      parent?.message.hasPrefix("failed to lookup master \"gone\": Link not found; there ") == true)
  }

  @Test("Addresses and a hardware address that later plugins of the chain gave are no fault")
  func chain() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let configuration = try node.configuration()
    var result = try await node.add(pod, configuration)
    result.interfaces.append(.init(name: "lo0", sandbox: pod.netns))
    result.ips.append(.init(interface: 1, address: try #require(IPNetwork("192.0.2.9/32"))))
    try await pod.network.ip("link set eth0 address c2:00:00:00:00:09")
    result.interfaces[0].mac = "c2:00:00:00:00:09"
    try await node.check(pod, configuration, result)
  }
}

@Suite("macvlan STATUS and GC")
struct NodeVerbTests {
  @Test("STATUS is ready, or says what is wrong with the configuration or address management")
  func status() async throws {
    let node = try await MacvlanNode()
    try await node.status(try node.configuration())
    try await node.status(try node.configuration(["ipam": nil]))
    let bad = try await failure { try await node.status(try node.configuration(["mode": "foo"])) }
    #expect(
      bad?.message == "unknown macvlan mode: \"foo\"; there are bridge, passthru, private and vepa")
    let ranges = try await failure {
      try await node.status(try node.configuration(["ipam": ["type": "host-local"]]))
    }
    #expect(ranges != nil)
    try node.install("tired", #"echo '{"code": 50, "msg": "not now"}'; exit 1"#)
    let tired = try await failure {
      try await node.status(try node.configuration(["ipam": ["type": "tired"]]))
    }
    #expect(tired == CNIError(.notAvailable, "not now"))
  }

  @Test("STATUS is 50 with ADD's own text where no ADD can succeed")
  func unable() async throws {
    let node = try await MacvlanNode()
    let full: JSONValue = [
      "type": "host-local", "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.2",
      "rangeEnd": "10.1.2.2",
    ]
    try await node.status(try node.configuration(["ipam": full]))
    try await node.add(try await TestPod(), try node.configuration(["ipam": full]))
    let cases: [[String: JSONValue?]] = [
      ["master": "gone"], ["master": ""], ["mtu": 9000], ["ipam": full],
    ]
    for changes in cases {
      let configuration = try node.configuration(changes)
      let status = try await failure { try await node.status(configuration) }
      let add = try await failure { try await node.add(try await TestPod(), configuration) }
      #expect(status?.code == .notAvailable && status?.message == add?.message, "\(changes)")
    }
  }

  @Test("GC gives back the leases of pods that are not listed and whose addresses no link has")
  func collectDead() async throws {
    let node = try await MacvlanNode()
    let (kept, living, dead) = (try await TestPod(), try await TestPod(), try await TestPod())
    let configuration = try node.configuration()
    for pod in [kept, living, dead] { try await node.add(pod, configuration) }
    try await dead.network.ip("link del eth0")
    try await node.collect(configuration, valid: [kept])
    #expect(node.leases == ["pods/10.1.2.2", "pods/10.1.2.3"])
  }

  @Test("With gcLiving GC gives back the leases of all pods that are not listed")
  func collect() async throws {
    let node = try await MacvlanNode()
    let (kept, lost) = (try await TestPod(), try await TestPod())
    let configuration = try node.configuration(["gcLiving": true])
    try await node.add(kept, configuration)
    try await node.add(lost, configuration)
    try await node.collect(configuration, valid: [kept])
    #expect(node.leases == ["pods/10.1.2.2"])
    #expect(try await kept.network.links() == ["eth0"])
    try await node.collect(try node.configuration(["ipam": nil]), valid: [])
    #expect(node.leases == ["pods/10.1.2.2"])
  }

  @Test("An owner's mark is at most 255 bytes and whole characters")
  func mark() {
    let long = OwnerMark(containerID: String(repeating: "a", count: 300), ifName: "eth0")
    #expect(long.text.utf8.count == 255)
    let wide = OwnerMark(
      containerID: String(repeating: "a", count: 240), ifName: "ééééééé")
    #expect(wide.text.utf8.count == 254 && wide.matches(alias: wide.text))
    #expect(OwnerMark.isMark(long.text) && !OwnerMark.isMark("eth0"))
    #expect(!OwnerMark(containerID: "a", ifName: "b").matches(alias: "cnid:a/bc"))
  }
}

@Suite("macvlan UPDATE")
struct UpdateTests {
  @Test("MTU, mode and hardware address change in place; addresses stay")
  func changes() async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    let before = try await node.add(pod, try node.configuration())
    let index = try await pod.network.link("eth0")?["ifindex"]?.int
    let new = try node.configuration(["mtu": 1400, "mode": "vepa", "mac": "c2:11:22:33:44:55"])
    let result = try await node.update(pod, new)
    var expected = before
    expected.interfaces[0].mac = "c2:11:22:33:44:55"
    #expect(result == expected)
    let link = try #require(try await pod.network.link("eth0"))
    #expect(link["ifindex"]?.int == index && link["mtu"]?.int == 1400)
    #expect(link["address"]?.string == "c2:11:22:33:44:55")
    #expect(link.at("linkinfo", "info_data", "mode")?.string == "vepa")
    #expect(try await pod.network.addresses("eth0") == ["10.1.2.2/24"])

    node.records.edit { $0.result = result }
    let back = try await node.update(pod, try node.configuration())
    #expect(back.interfaces.first?.mac == "c2:11:22:33:44:55")
    let again = try #require(try await pod.network.link("eth0"))
    #expect(again["mtu"]?.int == 1500)
    #expect(again.at("linkinfo", "info_data", "mode")?.string == "bridge")
    try await node.check(pod, try node.configuration(), back)
    try await node.delete(pod, try node.configuration())
    #expect(try await pod.network.links() == [])
  }

  @Test("If the address is taken, nothing has changed")
  func restored() async throws {
    let node = try await MacvlanNode()
    let (pod, other) = (try await TestPod(), try await TestPod())
    try await node.add(other, try node.configuration(["mac": "c2:11:22:33:44:55"]))
    try await node.add(pod, try node.configuration())
    let before = try await pod.network.link("eth0")?.settledLink
    let new = try node.configuration(["mtu": 1400, "mode": "vepa", "mac": "c2:11:22:33:44:55"])
    let error = try await failure { _ = try await node.update(pod, new) }
    #expect(error?.message == "failed to update \"eth0\"")
    #expect(error?.details.contains("EADDRINUSE") == true)
    #expect(try await pod.network.link("eth0")?.settledLink == before)
  }

  @Test(
    "What cannot be changed is refused",
    arguments: [
      ("mtu", 9999, "invalid MTU 9999, must be [0, master MTU(1500)]"),
      (
        "mode", "foo", "unknown macvlan mode: \"foo\"; there are bridge, passthru, private and vepa"
      ),
      ("mode", "passthru", "failed to update \"eth0\""),
      ("master", "wire", "UPDATE cannot change the master of a macvlan link"),
    ] as [(String, JSONValue, String)])
  func refused(key: String, value: JSONValue, text: String) async throws {
    let node = try await MacvlanNode()
    let pod = try await TestPod()
    try await node.add(pod, try node.configuration())
    let error = try await failure {
      _ = try await node.update(pod, try node.configuration([key: value]))
    }
    #expect(error?.message == text)
    #expect(try await pod.network.link("eth0")?["mtu"]?.int == 1500)
  }

  @Test("Another's link, or none, is refused")
  func foreign() async throws {
    let node = try await MacvlanNode()
    let (pod, other) = (try await TestPod(), try await TestPod())
    try await node.add(pod, try node.configuration())
    try await node.add(other, try node.configuration())
    var options = CallOptions()
    options.netns = other.netns
    let error = try await failure {
      _ = try await node.update(pod, try node.configuration(["mtu": 1400]), options)
    }
    #expect(error?.code == .invalidEnvironment)
    #expect(try await other.network.link("eth0")?["mtu"]?.int == 1500)
    let stranger = try await TestPod()
    let unknown = try await failure {
      _ = try await node.update(stranger, try node.configuration())
    }
    #expect(unknown?.code == .invalidEnvironment)
  }
}
