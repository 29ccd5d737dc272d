import JSON
import TestSupport
import Testing

/// Addresses and limits of the pod's annotations, as the runtime gives them.
@Suite(.daemonLog, .openVSwitch) struct AnnotationTests {
  private static let capability = "io.kubernetes.cri.pod-annotations"

  private static func annotated(_ annotations: JSONValue?) -> [String: JSONValue?] {
    var runtime: JSONValue = [:]
    if let annotations { runtime = JSONValue.empty.setting(capability, annotations) }
    return [
      "ipam": nil, "capabilities": JSONValue.empty.setting(capability, true),
      "runtimeConfig": runtime,
    ]
  }

  private static let networks = #"""
    {"default": {"ip_addresses": ["10.7.0.5/24", "fd00:7::5/64"], "mac_address": "0a:58:0a:07:00:05",
     "gateway_ips": ["10.7.0.1", "fd00:7::1"], "routes": [{"dest": "10.96.0.0/16", "nextHop": "10.7.0.1"}]},
     "blue/net-1": {"ip_address": "10.8.0.5/24", "mac_address": "0a:58:0a:08:00:05", "gateway_ip": ""}}
    """#

  @Test("Addresses, routes, hardware address and OVN's name come from k8s.ovn.org/pod-networks")
  func networks() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let network = here.network(
        Self.annotated(["k8s.ovn.org/pod-networks": .string(Self.networks)]))
      let result = try await here.node.add(pod, network)
      #expect(result.at("ips", 0, "address") == "10.7.0.5/24")
      #expect(result.at("ips", 1, "gateway") == "fd00:7::1")
      #expect(result.at("interfaces", 1, "mac") == "0a:58:0a:07:00:05")
      #expect(try await pod.network.addresses("eth0") == ["10.7.0.5/24", "fd00:7::5/64"])
      let routes = try await pod.network.routes()
      #expect(routes.contains("default via 10.7.0.1 dev eth0"))
      #expect(routes.contains("10.96.0.0/16 via 10.7.0.1 dev eth0"))
      let ids = try #require(try await here.interface(of: pod)).map("external_ids")
      #expect(ids["iface-id"] == "default_\(pod.containerID)")
      #expect(ids["ip_addresses"] == "10.7.0.5/24,fd00:7::5/64")
      try await here.node.delete(pod, network)
      #expect(try await here.ovs.ports("br0") == [])
    }
  }

  @Test("A secondary network has its own entry and its own name for OVN")
  func secondary() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      var changes = Self.annotated(["k8s.ovn.org/pod-networks": .string(Self.networks)])
      changes["netAttachDefName"] = .some("blue/net-1")
      try await here.node.add(pod, here.network(changes), ifname: "net1")
      let ids = try #require(try await here.interface(of: pod, ifname: "net1")).map("external_ids")
      #expect(ids["iface-id"] == "blue.net.1_default_\(pod.containerID)")
      #expect(ids["k8s.ovn.org/nad"] == "blue/net-1")
      #expect(try await pod.network.routes().contains { $0.hasPrefix("default") } == false)
    }
  }

  @Test("An entry of a network without address management is a link with its hardware address")
  func withoutAddresses() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let text = #"{"default": {"ip_addresses": null, "mac_address": "0a:58:0a:07:00:09"}}"#
      let network = here.network(Self.annotated(["k8s.ovn.org/pod-networks": .string(text)]))
      let result = try await here.node.add(pod, network)
      #expect(result["ips"] == nil && result.at("interfaces", 1, "mac") == "0a:58:0a:07:00:09")
      #expect(try await pod.network.addresses("eth0") == [])
      let ids = try #require(try await here.interface(of: pod)).map("external_ids")
      #expect(ids["attached_mac"] == "0a:58:0a:07:00:09" && ids["ip_addresses"] == nil)
      let check = try await here.node.shim("CHECK", pod, network.setting("prevResult", result))
      #expect(check.succeeded, "\(check)")
    }
  }

  @Test("The older annotation works too")
  func older() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let text =
        #"{"ip_address": "10.7.0.9/24", "mac_address": "0a:58:0a:07:00:09", "gateway_ip": "10.7.0.1"}"#
      let result = try await here.node.add(
        pod, here.network(Self.annotated(["ovn": .string(text)])))
      #expect(result.at("ips", 0, "address") == "10.7.0.9/24")
    }
  }

  /// What is wrong with the annotation, and how ADD ends.
  static let faults: [(String, JSONValue?, Int, String)] = [
    ("missing", [:], 11, "has no annotation k8s.ovn.org/pod-networks"),
    ("no object", ["k8s.ovn.org/pod-networks": "[]"], 7, "not a JSON object"),
    ("no JSON", ["k8s.ovn.org/pod-networks": "{"], 7, "ends inside an object"),
    (
      "no address of a link",
      [
        "k8s.ovn.org/pod-networks":
          #"{"default": {"mac_address": "0a:58:0a:07:00:09", "ip_addresses": ["0.0.0.0/0"]}}"#
      ], 6, "0.0.0.0/0 is no address that a link can have"
    ),
    (
      "no address",
      ["k8s.ovn.org/pod-networks": #"{"default": {"mac_address": "0a:58:0a:07:00:09"}}"#], 6,
      "ip_addresses"
    ),
    (
      "no hardware address",
      ["k8s.ovn.org/pod-networks": #"{"default": {"ip_address": "10.7.0.9/24"}}"#],
      7, "mac_address \"\": must be six bytes"
    ),
    (
      "a limit that is none",
      [
        "ovn":
          #"{"ip_address": "10.7.0.9/24", "mac_address": "0a:58:0a:07:00:09", "gateway_ip": "10.7.0.1"}"#,
        "kubernetes.io/ingress-bandwidth": "much",
      ], 7, "is no quantity"
    ),
    (
      "Too small a limit",
      [
        "ovn":
          #"{"ip_address": "10.7.0.9/24", "mac_address": "0a:58:0a:07:00:09", "gateway_ip": "10.7.0.1"}"#,
        "kubernetes.io/egress-bandwidth": "500",
      ], 7, "egress-bandwidth: 500 bit/s is less than 1000 bit/s"
    ),
  ]

  @Test("An annotation that cannot be used is refused with its reason", arguments: faults)
  func refused(fault: (String, JSONValue?, Int, String)) async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let run = try await here.node.shim("ADD", pod, here.network(Self.annotated(fault.1)))
      #expect(run.code == fault.2 && run.message?.contains(fault.3) == true, "\(run)")
      #expect(here.node.records == [])
    }
  }

  @Test(
    "A network that wants annotations and does not declare the capability is refused with code 7")
  func undeclared() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let run = try await here.node.shim("ADD", pod, here.flat(["addresses": "annotation"]))
      #expect(
        run.code == 7 && run.message?.contains("does not declare the capability") == true, "\(run)")
    }
  }

  @Test("The pod must be named where its name is OVN's")
  func identity() async throws {
    try await withOVSNode { here in
      let pod = try await TestPod()
      let run = try await here.node.shim(
        "ADD", pod, here.network(Self.annotated(["ovn": "{}"])), ["CNI_ARGS": "IgnoreUnknown=1"])
      #expect(run.code == 4 && run.message?.contains("missing K8S_POD_NAMESPACE") == true, "\(run)")
    }
  }
}

extension JSONValue {
  fileprivate static let empty: JSONValue = [:]
}
