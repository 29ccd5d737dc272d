import JSON
import Linux
import TestSupport
import Testing

/// Addresses and routes of macvlan's pods, and their change while the pod runs.
@Suite(.daemonLog) struct MacvlanAddressTests {
  @Test("IPv6 addresses are usable when ADD returns, with duplicate address detection done")
  func ipv6() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let ipam: JSONValue = [
        "type": "host-local", "ranges": [[["subnet": "2001:db8:1::/64"]]],
        "routes": [["dst": "::/0"]],
      ]
      let result = try await node.add(pod, node.macvlan(["ipam": ipam]))
      #expect(result.at("ips", 0, "address") == "2001:db8:1::2/64")
      let shown = try await pod.network.show("-6", "address", "show", "dev", "eth0")
      let infos = shown.flatMap { $0["addr_info"]?.array ?? [] }
      #expect(infos.contains { $0["local"] == "2001:db8:1::2" && $0["tentative"] == nil })
      #expect(
        try await pod.network.routes("-6").contains { $0.hasPrefix("default via 2001:db8:1::1") })
    }
  }

  @Test("With dad skip an IPv6 ADD does not wait")
  func skippedDetection() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let ipam: JSONValue = ["type": "host-local", "ranges": [[["subnet": "2001:db8:1::/64"]]]]
      let run = try await node.shim("ADD", pod, node.macvlan(["ipam": ipam, "dad": "skip"]))
      #expect(run.succeeded, "\(run)")
      // A step is counted before the answer.
      let metrics = try await node.http("GET", "/metrics").text
      #expect(metrics.contains("step=\"configureLink\""), "\(metrics)")
      #expect(!metrics.contains("step=\"awaitAddresses\""), "\(metrics)")
      let shown = try await pod.network.show("-6", "address", "show", "dev", "eth0")
      let infos = shown.flatMap { $0["addr_info"]?.array ?? [] }
      #expect(infos.contains { $0["local"] == "2001:db8:1::2" && $0["tentative"] == nil })
    }
  }

  @Test("Routes of the IPAM reach the pod with their gateway, priority and table")
  func routes() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let ipam: JSONValue = [
        "type": "host-local", "subnet": "10.1.2.0/24",
        "routes": [
          ["dst": "0.0.0.0/0"], ["dst": "192.168.0.0/16", "gw": "10.1.2.9", "priority": 77],
          ["dst": "172.16.0.0/12", "mtu": 1300, "advmss": 1200],
          ["dst": "198.51.100.0/24", "table": 100],
        ],
      ]
      try await node.add(pod, node.macvlan(["ipam": ipam]))
      let routes = try await pod.network.routes()
      #expect(routes.contains { $0.hasPrefix("default via 10.1.2.1 dev eth0") })
      #expect(
        routes.contains {
          $0.hasPrefix("192.168.0.0/16 via 10.1.2.9 dev eth0") && $0.contains("metric 77")
        })
      #expect(
        routes.contains {
          $0.hasPrefix("172.16.0.0/12") && $0.contains("mtu 1300") && $0.contains("advmss 1200")
        }, "\(routes)")
      let table = try await pod.network.run(["ip", "route", "show", "table", "100"])
      #expect(table.text.contains("198.51.100.0/24"), "\(table)")
    }
  }

  @Test("UPDATE changes MTU, mode and MAC of a running pod and prints the new result")
  func update() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      let index = try await pod.network.link("eth0")?["ifindex"]
      let changed = node.macvlan(["mtu": 1300, "mode": "private", "mac": "c2:00:00:00:00:05"])
      let run = try await node.shim("UPDATE", pod, changed)
      #expect(run.succeeded, "\(run)")
      #expect(run.json?.at("interfaces", 0, "mac") == "c2:00:00:00:00:05")
      #expect(run.json?.at("ips", 0, "address") == "10.1.2.2/24")
      let link = try #require(try await pod.network.link("eth0"))
      #expect(link["ifindex"] == index)
      #expect(link["mtu"] == 1300)
      #expect(link.at("linkinfo", "info_data", "mode") == "private")
      #expect(link["address"] == "c2:00:00:00:00:05")
    }
  }
}
