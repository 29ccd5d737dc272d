import JSON
import TestSupport
import Testing

/// Lists of Debian's reference plugins, and what each of them leaves behind: nothing.
@Suite(.daemonLog) struct ReferenceListTests {
  @Test("The reference bridge, bandwidth and sbr: limits in force, and a table of its own")
  func bridged() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      let network = here.network([
        "plugins": [
          here.bridge("cni9", "10.5.0.0/24").setting("isGateway", true),
          ["type": "bandwidth", "capabilities": ["bandwidth": true]], ["type": "sbr"],
        ],
        "capabilities": ["bandwidth": true],
        "runtimeConfig": [
          "bandwidth": [
            "ingressRate": 1_000_000, "ingressBurst": 800_000, "egressRate": 2_000_000,
            "egressBurst": 800_000,
          ]
        ],
      ])
      _ = try await here.add(pod, network)
      let limits = try await here.node.network.run(["tc", "qdisc"]).text
      #expect(limits.contains("rate 1Mbit") && limits.contains("rate 2Mbit"), "\(limits)")
      #expect(try await rules(pod).contains("from 10.5.0.2 lookup 100"))
      // The CHECK of Debian's bridge misses the route that sbr has moved.
      try await here.expectSpared(pod, network)
      try await here.delete(pod, network)
      #expect(try await !rules(pod).contains("10.5.0.2"))
      try await here.node.network.ip("link delete cni9")
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
      #expect(here.cached == [])
    }
  }

  @Test("A macvlan network of the daemon whose routes the reference sbr moves passes its CHECK")
  func moved() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      let macvlan = here.macvlan("10.1.2.0/24").setting(
        "ipam",
        ["type": "host-local", "subnet": "10.1.2.0/24", "routes": [["dst": "0.0.0.0/0"]]])
      let network = here.network(["plugins": [macvlan, ["type": "sbr"]]])
      let result = try await here.add(pod, network)
      #expect(try await rules(pod).contains("from 10.1.2.2 lookup 100"))
      #expect(try await pod.network.routes() == [])
      try await here.expectKept(pod, network, result)
      try await here.delete(pod, network)
      #expect(try await !rules(pod).contains("10.1.2.2"))
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("The reference ptp with tuning behind it, beside a macvlan network of the daemon")
  func pointToPoint() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      let ptp: JSONValue = [
        "type": "ptp",
        "ipam": [
          "type": "host-local", "subnet": "10.6.0.0/24",
          "dataDir": .string(here.node.dataDirectory),
        ],
      ]
      let network = here.network([
        "delegates": [
          ["name": "first", "plugins": [ptp, ["type": "tuning", "mtu": 1400]]],
          here.macvlan("10.1.2.0/24", named: "second"),
        ]
      ])
      let result = try await here.add(pod, network)
      #expect(result.at("ips", 0, "address") == "10.6.0.2/24")
      #expect(try await pod.network.links() == ["eth0", "net1"])
      #expect(try await pod.network.link("eth0")?["mtu"] == 1400)
      try await here.expectKept(pod, network, result)
      try await here.delete(pod, network)
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
      #expect(here.cached == [])
    }
  }

  private func rules(_ pod: TestPod) async throws -> String {
    try await pod.network.run(["ip", "rule"]).text
  }
}
