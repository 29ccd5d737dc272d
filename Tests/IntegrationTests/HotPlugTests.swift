import JSON
import Linux
import TestSupport
import Testing

/// Networks that are plugged into running pods, and out of them, on `/delegate`.
@Suite(.daemonLog) struct HotPlugTests {
  /// Macvlan with Debian's tuning behind it, as a list.
  private func list(_ here: SetNode) -> JSONValue {
    [
      "cniVersion": "1.0.0", "name": "plugged", "cacheDir": .string(here.node.directory("cache")),
      "plugins": [
        here.macvlan("10.1.9.0/24").setting("capabilities", ["mac": true]),
        ["type": "tuning", "mtu": 1400],
      ],
    ]
  }

  @Test("A list is a set of one network; mac reaches the plugin that declares it")
  func plugged() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let base = here.node.macvlan()
      let before = try await here.node.snapshot([pod])
      try await here.node.add(pod, base)
      let attributes: JSONValue = ["mac": "c2:11:22:33:44:55"]
      for _ in 0..<2 {
        // The second time it is there already.
        let answer = try await here.plug("ADD", pod, list(here), "net1", attributes)
        #expect(answer.status == 200, "\(answer)")
        #expect(answer.json?.at("Result", "ips", 0, "address") == "10.1.9.2/24", "\(answer)")
      }
      let link = try #require(try await pod.network.link("net1"))
      #expect(link["mtu"] == 1400 && link["address"] == "c2:11:22:33:44:55")
      let out = try await here.plug("DEL", pod, list(here), "net1")
      #expect(out.status == 200, "\(out)")
      #expect(try await pod.network.links() == ["eth0"])
      #expect(here.node.records.count == 1 && here.cached == [])
      try await here.node.delete(pod, base)
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
    }
  }

  @Test(
    "The pod's DEL takes along what was plugged in, also after a restart",
    arguments: [false, true])
  func takenAlong(isRestarted: Bool) async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let base = here.node.macvlan()
      let before = try await here.node.snapshot([pod])
      try await here.node.add(pod, base)
      for (network, ifname) in [
        (list(here), "net1"),
        (here.macvlan("10.1.8.0/24", named: "other").setting("cniVersion", "1.0.0"), "net2"),
      ] {
        let answer = try await here.plug("ADD", pod, network, ifname)
        #expect(answer.status == 200, "\(answer)")
      }
      #expect(try await pod.network.links() == ["eth0", "net1", "net2"])
      if isRestarted {
        try await here.node.kill()
        try await here.node.start()
      }
      try await here.node.delete(pod, base)
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
      #expect(here.cached == [])
    }
  }

  @Test("What is plugged into a pod of another plugin stands for itself")
  func strangersPod() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      let networks = ["one", "two"].enumerated().map {
        here.macvlan("10.1.\($0 + 6).0/24", named: $1).setting("cniVersion", "1.0.0")
      }
      for (index, network) in networks.enumerated() {
        let answer = try await here.plug("ADD", pod, network, "net\(index + 1)")
        #expect(answer.status == 200, "\(answer)")
      }
      let out = try await here.plug("DEL", pod, networks[0], "net1")
      #expect(out.status == 200, "\(out)")
      #expect(try await pod.network.links() == ["net2"])
      let last = try await here.plug("DEL", pod, networks[1], "net2")
      #expect(last.status == 200, "\(last)")
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
    }
  }

  @Test("One network of a pod's set is plugged out, and the rest stays")
  func partOfSet() async throws {
    try await withSetNode { here in
      let pod = try await TestPod()
      let before = try await here.node.snapshot([pod])
      let second: JSONValue = [
        "name": "second",
        "plugins": [here.macvlan("10.1.3.0/24"), ["type": "tuning", "mtu": 1400]],
      ]
      let network = here.network([
        "delegates": [
          here.macvlan("10.1.2.0/24", named: "first"), second,
          here.macvlan("10.1.4.0/24", named: "third"),
        ]
      ])
      let result = try await here.add(pod, network)
      // A client that believes it is missing gets its result.
      let definition = second.setting("cniVersion", "1.0.0")
      let again = try await here.plug("ADD", pod, definition, "net1")
      #expect(again.status == 200, "\(again)")
      #expect(again.json?.at("Result", "ips", 0, "address") == "10.1.3.2/24", "\(again)")
      // Another network's name means another attachment.
      let stranger = try await here.plug(
        "DEL", pod, definition.setting("name", "stranger"), "net1")
      #expect(stranger.status == 200)
      #expect(try await pod.network.links() == ["eth0", "net1", "net2"])

      let out = try await here.plug("DEL", pod, definition, "net1")
      #expect(out.status == 200, "\(out)")
      #expect(try await pod.network.links() == ["eth0", "net2"])
      #expect(here.node.records.count == 3 && here.cached.count == 2)
      let check = try await here.call("CHECK", pod, network.setting("prevResult", result))
      #expect(check.succeeded, "\(check)")
      try await here.delete(pod, network)
      #expect(try await here.node.leftovers(since: before, [pod]) == [])
    }
  }
}
