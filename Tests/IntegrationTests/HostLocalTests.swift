import JSON
import Linux
import TestSupport
import Testing

/// host-local and static inside the daemon, seen from outside: results, files and texts.
@Suite(.daemonLog) struct HostLocalTests {
  @Test("Two range sets give an address each, in the reference plugin's files")
  func twoSets() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let resolv = node.directory("resolv.conf")
      try Files.write(
        resolv, Array("nameserver 192.0.2.3\nsearch example.org\n".utf8), mode: [.write, .create])
      let configuration = node.macvlan([
        "dad": "skip",
        "ipam": [
          "type": "host-local", "resolvConf": .string(resolv),
          "ranges": [
            [["subnet": "10.1.2.0/24"], ["subnet": "10.2.2.0/24"]], [["subnet": "2001:db8:1::/64"]],
          ],
          "routes": [["dst": "0.0.0.0/0"], ["dst": "192.168.0.0/16", "gw": "10.1.2.8"]],
        ],
      ])
      let result = try await node.add(pod, configuration, ["CNI_CONTAINERID": "dummy"])
      #expect(result.at("ips", 0, "address") == "10.1.2.2/24")
      #expect(result.at("ips", 0, "gateway") == "10.1.2.1")
      #expect(result.at("ips", 1, "address") == "2001:db8:1::2/64")
      #expect(result.at("ips", 1, "gateway") == "2001:db8:1::1")
      #expect(result["routes"]?.array?.count == 2)
      #expect(result.at("routes", 1, "gw") == "10.1.2.8")

      #expect(node.leases == ["pods/10.1.2.2", "pods/2001:db8:1::2"])
      for lease in node.leases {
        let file = "\(node.dataDirectory)/\(lease)"
        #expect(try Files.read(file) == Array("dummy\r\neth0".utf8))
        #expect(try Files.status(file).permissions == 0o600)
      }
      #expect(try node.lastReserved("pods", 0) == "10.1.2.2")
      #expect(try node.lastReserved("pods", 1) == "2001:db8:1::2")

      try await node.delete(pod, configuration, ["CNI_CONTAINERID": "dummy"])
      #expect(node.leases == [])
      #expect(try node.lastReserved("pods", 0) == "10.1.2.2")
    }
  }

  @Test("An address that was given back is not the next one given out")
  func roundRobin() async throws {
    try await withTestNode { node in
      for expected in ["10.1.2.2/24", "10.1.2.3/24", "10.1.2.4/24"] {
        let pod = try await TestPod()
        #expect(try await node.add(pod, node.macvlan()).at("ips", 0, "address")?.string == expected)
        try await node.delete(pod, node.macvlan())
      }
    }
  }

  @Test("The address of CNI_ARGS is the one given out, and a taken one is refused")
  func requested() async throws {
    try await withTestNode { node in
      let (one, two) = (try await TestPod(), try await TestPod())
      let arguments = ["CNI_ARGS": "IgnoreUnknown=1;IP=10.1.2.88"]
      let result = try await node.add(one, node.macvlan(), arguments)
      #expect(result.at("ips", 0, "address") == "10.1.2.88/24")
      let taken = try await node.shim("ADD", two, node.macvlan(), arguments)
      #expect(
        taken.message?.contains(
          "10.1.2.88 is not available in range set 10.1.2.1-10.1.2.254: held by container "
            + "\(one.containerID) eth0")
          == true, "\(taken)")
      #expect(node.leases == ["pods/10.1.2.88"])
    }
  }

  @Test("Addresses outside of all ranges are named, and nothing is left behind")
  func requestedOutside() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let before = try await node.snapshot([pod])
      let run = try await node.shim(
        "ADD", pod, node.macvlan(["runtimeConfig": ["ips": ["10.9.9.9/24"]]]),
        ["CNI_ARGS": "IP=10.9.9.8"])
      #expect(
        run.message?.contains("failed to allocate all requested IPs: 10.9.9.8 10.9.9.9") == true,
        "\(run)")
      let left = try await node.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("A full range says so, and the next ADD succeeds when an address is free again")
  func full() async throws {
    try await withTestNode { node in
      let configuration = node.macvlan([
        "ipam": [
          "type": "host-local", "subnet": "10.1.2.0/24", "rangeStart": "10.1.2.10",
          "rangeEnd": "10.1.2.11",
        ]
      ])
      let pods = [try await TestPod(), try await TestPod(), try await TestPod()]
      try await node.add(pods[0], configuration)
      try await node.add(pods[1], configuration)
      let full = try await node.shim("ADD", pods[2], configuration)
      #expect(
        full.message?.contains(
          "no IP addresses available in range set: 10.1.2.10-10.1.2.11 (2 leases in ") == true,
        "\(full)")
      try await node.delete(pods[0], configuration)
      let result = try await node.add(pods[2], configuration)
      #expect(result.at("ips", 0, "address") == "10.1.2.10/24")
    }
  }

  @Test(
    "Ranges that cannot work are refused with the reference plugin's texts",
    arguments: [
      (["subnet": "10.1.2.0/31"], "Network 10.1.2.0/31 too small to allocate from"),
      (
        ["subnet": "10.1.2.8/24"],
        "Network has host bits set. For a subnet mask of length 24 the network address is 10.1.2.0"
      ),
      (
        ["ranges": [[["subnet": "10.1.2.0/24"]], [["subnet": "10.1.0.0/16"]]]],
        "range set 0 overlaps with 1"
      ),
      (["subnet": "10.1.2.0/24", "rangeStart": "10.1.3.1"], "RangeStart 10.1.3.1 not in network"),
      ([:], "no IP ranges specified: ipam has no subnet, in ranges or by itself"),
    ] as [([String: JSONValue], String)])
  func badRanges(keys: [String: JSONValue], text: String) async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      var ipam: JSONValue = ["type": "host-local"]
      for (key, value) in keys { ipam = ipam.setting(key, value) }
      let run = try await node.shim("ADD", pod, node.macvlan(["ipam": ipam]))
      #expect(run.status == .exited(1))
      #expect(run.message?.contains(text) == true, "\(run)")
      #expect(try await pod.network.links() == [])
    }
  }

  @Test("Static takes the configuration's addresses and adds those of CNI_ARGS")
  func staticAddresses() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let configuration = node.macvlan(["ipam": Self.fixed])
      let result = try await node.add(
        pod, configuration, ["CNI_ARGS": "IP=10.7.0.5/16;GATEWAY=10.7.0.1"])
      #expect(
        result["ips"]?.array?.map { $0["address"]?.string } == ["10.10.0.1/24", "10.7.0.5/16"])
      #expect(result.at("ips", 1, "gateway") == "10.7.0.1")
      #expect(try await pod.network.addresses("eth0") == ["10.10.0.1/24", "10.7.0.5/16"])
    }
  }

  @Test("Addresses of the runtime replace all others")
  func staticRuntimeAddresses() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let configuration = node.macvlan([
        "ipam": Self.fixed, "runtimeConfig": ["ips": ["10.20.0.9/24"]],
      ])
      let result = try await node.add(pod, configuration, ["CNI_ARGS": "IP=10.7.0.5/16"])
      #expect(result["ips"]?.array?.map { $0["address"]?.string } == ["10.20.0.9/24"])
    }
  }

  static let fixed: JSONValue = [
    "type": "static", "addresses": [["address": "10.10.0.1/24", "gateway": "10.10.0.254"]],
  ]

  @Test("An address that is not in CIDR notation is refused wherever it stands")
  func staticTexts() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let cases: [(JSONValue, String, String)] = [
        (
          node.macvlan(["ipam": Self.fixed]), "IP=10.7.0.5",
          "the 'ip' field is expected to be in CIDR notation, got: '10.7.0.5'"
        ),
        (
          node.macvlan(["ipam": Self.fixed]), "IP=10.7.0.5/16;GATEWAY=nowhere",
          "invalid gateway address: nowhere"
        ),
        (
          node.macvlan(["ipam": Self.fixed, "runtimeConfig": ["ips": ["10.2.0.9"]]]), "",
          "an entry in the 'ips' field is NOT in CIDR notation, got: '10.2.0.9'"
        ),
        (
          node.macvlan(["ipam": ["type": "static", "addresses": [["address": "10.1.1.1"]]]]), "",
          "the 'address' field is expected to be in CIDR notation, got: '10.1.1.1'"
        ),
      ]
      for (configuration, arguments, text) in cases {
        let run = try await node.shim("ADD", pod, configuration, ["CNI_ARGS": arguments])
        #expect(run.status == .exited(1))
        #expect(run.message?.contains(text) == true, "\(run)")
        #expect(try await pod.network.links() == [])
      }
    }
  }

  @Test("A key of CNI_ARGS that nobody knows is an error unless it is to be ignored")
  func unknownArguments() async throws {
    try await withTestNode { node in
      for (arguments, text) in [
        ("Unk=nown", #"ARGS: unknown args ["Unk=nown"]"#), ("IgnoreUnknown=0, Unk=nown", "ARG"),
        ("IgnoreUnknown=false;Unk=nown", #"ARGS: unknown args ["Unk=nown"]"#),
      ] {
        let run = try await node.shim(
          "ADD", try await TestPod(), node.macvlan(), ["CNI_ARGS": arguments])
        #expect(run.status == .exited(1))
        #expect(run.message?.contains(text) == true, "\(run)")
      }
      for arguments in [
        "IgnoreUnknown=1;Unk=nown", "Unk=nown;IgnoreUnknown=True", "K8S_POD_NAME=a",
      ] {
        let pod = try await TestPod()
        try await node.add(pod, node.macvlan(), ["CNI_ARGS": arguments])
        try await node.delete(pod, node.macvlan())
      }
    }
  }

  @Test("Of an address with a prefix host-local takes the address, and nonsense is refused")
  func argumentsWithPrefix() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      let result = try await node.add(pod, node.macvlan(), ["CNI_ARGS": "IP=10.1.2.77/8"])
      #expect(result.at("ips", 0, "address") == "10.1.2.77/24")
      let run = try await node.shim(
        "ADD", try await TestPod(), node.macvlan(), ["CNI_ARGS": "IP=nonsense"])
      #expect(run.status == .exited(1))
      #expect(run.message?.contains("error parsing value of pair") == true, "\(run)")
    }
  }
}

extension TestNode {
  /// host-local's memory of the last address of a range set.
  func lastReserved(_ network: String, _ set: Int) throws -> String {
    let bytes = try Files.read("\(dataDirectory)/\(network)/last_reserved_ip.\(set)")
    return String(decoding: bytes, as: UTF8.self)
  }
}
