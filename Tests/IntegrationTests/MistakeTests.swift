import CNI
import JSON
import Linux
import TestSupport
import Testing

/// What the shipped programs say of the mistakes that people make in a network's configuration.
@Suite struct MistakeTests {
  /// A mistake and what is said of it.
  struct Mistake: Sendable {
    /// Standard input; `BASE` stands for the members that every good one has.
    let text: String
    let code: Int
    let message: String
    var command = "ADD"
    var ifName = "eth0"

    init(
      _ text: String, _ code: Int, _ message: String, command: String = "ADD",
      ifName: String = "eth0"
    ) {
      (self.text, self.code, self.message) = (text, code, message)
      (self.command, self.ifName) = (command, ifName)
    }

    /// A fault of host-local's part.
    static func ipam(_ members: String, _ code: Int, _ message: String) -> Mistake {
      Mistake(#"{BASE,"ipam":{"type":"host-local",\#(members)}}"#, code, message)
    }

    private static let unread = "error unmarshall network config: "

    static let ofJSON = [
      Mistake("", 6, unread + "no JSON: it is empty"),
      Mistake("{BASE,}", 6, unread + #"no JSON: line 1, column COLUMN: "}" after a comma"#),
      Mistake(
        "{\n// a bridge\nBASE}", 6, unread + "no JSON: line 2, column 1: JSON has no comments"),
      Mistake(
        "{BASE,\n\"ipam\": {\"type\": \"static\"}\n", 6,
        unread + "no JSON: line 3, column 1: ends inside an object: a } is missing"),
      Mistake("\u{FEFF}{BASE}", 6, unread + "no JSON: begins with a byte order mark"),
      Mistake(
        "{\n\u{201C}name\u{201D}: 1}", 6,
        unread + "no JSON: line 2, column 1: \"\u{201C}\" is no quote of JSON, write \""),
    ]

    static let ofIPAM = [
      Mistake(
        #"{BASE,"ipam":{"type":"host-local"}}"#, 7,
        "no IP ranges specified: ipam has no subnet, in ranges or by itself"),
      Mistake(
        #"{BASE,"ipam":{"type":"host-locall"}}"#, 103, "; built in are host-local, static, pod-cidr"
      ),
      Mistake(
        #"{BASE,"ipam":{"type":"static"}}"#, 103,
        "IPAM plugin returned missing IP config: neither ipam.addresses nor the pod's request "
          + "names an address"),
      fixed(
        #""routes":[{"dst":"0.0.0.0/0","gw":"172.16.0.1"}]"#, 100,
        #"failed to add route 0.0.0.0/0 on "eth0": gateway 172.16.0.1 is in no network of "eth0" "#
          + "(10.1.2.3/24)"),
      fixed(
        #""routes":[{"dst":"::/0","gw":"fd00::1"}]"#, 100,
        #"failed to add route ::/0 on "eth0": "eth0" has no address of the family of gateway "#
          + "fd00::1"),
      ipam(
        #""ranges":[[{"gateway":"10.1.2.1"}]]"#, 6, unread + "ipam.ranges[0][0].subnet is missing"),
      ipam(
        #""subnet":"10.1.2.0/24","routes":[{"gw":"10.1.2.1"}]"#, 6,
        unread + "ipam.routes[0].dst is missing"),
      ipam(
        #""ranges":[{"subnet":"10.1.2.0/24"}]"#, 6,
        unread + "ipam.ranges is a list of lists: [[{…}]]"),
      ipam(
        #""subnet":"10.1.2.0/24","rangeStart":"10.1.2.9","rangeEnd":"10.1.2.3""#, 7,
        "invalid range set 0: rangeStart 10.1.2.9 is behind rangeEnd 10.1.2.3"),
      ipam(
        #""subnet":"10.1.2.0/24","gateway":"fd00::1""#, 7,
        "invalid range set 0: gateway fd00::1 is an IPv6 address, 10.1.2.0/24 is IPv4"),
      Mistake(
        #"{BASE,"ipam":{"type":"static","addresses":[{"address":"0.0.0.0/0"}]}}"#, 7,
        "0.0.0.0/0 is no address that a link can have"),
      Mistake(
        #"{BASE,"ipam":{"type":"talker"}}"#, 103,
        #"plugin talker printed no result: it begins "disk full\n": error unmarshall result: "#
          + #"no JSON: line 1, column 1: "d" begins no value; "#
          + "the words of JSON are true, false and null"),
      Mistake(
        #"{BASE,"ipam":{"type":"moaner"}}"#, 103,
        "netplugin failed (exit status 1) and printed no error: "
          + #"it begins "disk full\n": no JSON: line 1, column 1: "d" begins no value; "#
          + "the words of JSON are true, false and null"),
    ]

    /// A fault of static's part.
    static func fixed(_ members: String, _ code: Int, _ message: String) -> Mistake {
      Mistake(
        #"{BASE,"ipam":{"type":"static","addresses":[{"address":"10.1.2.3/24"}],\#(members)}}"#,
        code, message)
    }

    static let ofLinks = [
      Mistake(
        #"{BASE,"mac":"aa:bb"}"#, 7, #"mac "aa:bb": must be six bytes such as 0a:58:0a:58:00:02"#),
      Mistake(
        #"{BASE,"runtimeConfig":{"mac":"01:00:5e:00:00:01"}}"#, 7,
        #"runtimeConfig.mac "01:00:5e:00:00:01": a multicast address, which no interface can have"#),
      Mistake(
        #"{BASE,"master":"m0\u0000x"}"#, 7, unread + "master: the text has a zero byte"),
      Mistake(
        #"{BASE,"master":"a-name-that-no-link-has"}"#, 7,
        #"failed to lookup master "a-name-that-no-link-has": Link not found; "#
          + "there are br7, busy, busy-peer, uplink and wire"),
      Mistake(
        #"{BASE,"master":"uplnik"}"#, 7,
        #"failed to lookup master "uplnik": Link not found; "#
          + "there are uplink, br7, busy, busy-peer and wire"),
      Mistake(
        #"{BASE,"master":""}"#, 7,
        #"no default route interface found: the network has no "master", and there is no "#
          + "default route to take it from"),
      Mistake(
        #"{BASE,"master":"busy"}"#, 7,
        "busy is a port of bridge br7 and cannot be a master as well"),
      Mistake(
        #"{BASE,"master":"lo"}"#, 7, "lo is the loopback link, which cannot be a master"),
      Mistake(
        #"{BASE,"mode":"passthru"}"#, 100,
        "failed to create macvlan: in mode passthru a link has its master for itself, and uplink "
          + "has another"),
      Mistake(
        #"{BASE,"mac":"02:00:00:00:00:aa"}"#, 100,
        #"failed to set "eth0" UP: MAC 02:00:00:00:00:aa is in use on uplink"#),
      Mistake(
        #"{BASE,"mode":"brigde"}"#, 7,
        #"unknown macvlan mode: "brigde"; there are bridge, passthru, private and vepa"#),
      Mistake(
        #"{BASE,"mtu":"1400"}"#, 6,
        unread + "mtu: string found where a whole number without quotes belongs"),
      Mistake(
        #"{BASE,"mtu":1279,"ipam":{"type":"static","addresses":[{"address":"fd00::5/64"}]}}"#, 7,
        #"IPv6 needs an MTU of at least 1280; "eth0" has 1279"#),
      Mistake("{BASE}", 4, "interface name contains %", ifName: "eth%d"),
      Mistake(
        #"{BASE,"plugin":"ovs","runtimeConfig":{"bandwidth":{"egressRate":500}}}"#, 7,
        "runtimeConfig.bandwidth.egressRate: 500 bit/s is less than 1000 bit/s"),
    ]

    static let ofKinds = [
      Mistake(
        #"{BASE,"type":null,"plugins":[{"type":"macvlan"}],"delegates":[{"type":"macvlan"}]}"#, 7,
        "plugins and delegates exclude each other"),
      Mistake(
        #"{BASE,"type":"cni-shim"}"#, 7,
        #"no plugin for type "cni-shim"; the network must name one as "plugin": "#
          + "macvlan, ovs, vrouter, delegate, kubernetes.io/no-op"),
      Mistake(
        #"{BASE,"plugin":"macvlann"}"#, 7,
        #"no plugin "macvlann"; this cnid has: macvlan, ovs, vrouter, delegate, "#
          + "kubernetes.io/no-op"),
      Mistake(
        #"{BASE,"type":"multus-shim"}"#, 7,
        "delegates is empty: it names the pod's networks; for those of pods' annotations keep "
          + "Multus, and install cni-shim under the type of each network"),
      Mistake(
        #"{BASE,"cniVersion":"1.0.0"}"#, 1,
        "STATUS needs cniVersion 1.1.0, the network says 1.0.0", command: "STATUS"),
    ]
  }

  @Test(
    "Each mistake is told in words that say what to mend",
    arguments: [Mistake.ofJSON, Mistake.ofIPAM, Mistake.ofLinks, Mistake.ofKinds])
  func told(mistakes: [Mistake]) async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try await node.network.ip(
        "link add busy type veth peer name busy-peer", "link add br7 type bridge",
        "link set busy master br7")
      // Whoever has what the mistakes want.
      let other = try await TestPod()
      try await node.add(other, node.macvlan(["ipam": nil, "mac": "02:00:00:00:00:aa"]))
      let records = node.records
      let programs = node.directory("programs")
      try Files.makeDirectories(programs)
      for (name, status) in [("talker", 0), ("moaner", 1)] {
        let script = "#!/bin/sh\n[ $CNI_COMMAND = ADD ] || exit 0\necho disk full\nexit \(status)\n"
        try Files.write(
          "\(programs)/\(name)", Array(script.utf8), mode: [.write, .create], permissions: 0o755)
      }
      let base =
        #""name":"pods","cniVersion":"1.1.0","type":"macvlan","daemonSocketDir":"\#(node.socketDirectory)""#
      for mistake in mistakes {
        let parent = mistake.text.contains("master") ? "" : #","master":"uplink""#
        let input = mistake.text.replacing("BASE", with: base + parent)
        let run = try await node.network.run(
          [Program.shim],
          environment: pod.environment(
            mistake.command, ifname: mistake.ifName, ["CNI_PATH": programs]),
          input: Array(input.utf8))
        let column = "\(input.split(separator: "\n").first?.count ?? 0)"
        let message = mistake.message.replacing("COLUMN", with: column)
        let text = run.message ?? ""
        #expect(run.code == mistake.code && text.hasSuffix(message), "\(mistake.text): \(run)")
        // What cannot be read, or was not read yet, has no name.
        let isNamed = !message.contains("no JSON: ") && mistake.ifName == "eth0"
        #expect(
          !isNamed || "\(text) \(run.details ?? "")".contains(#""pods""#),
          "\(mistake.text): \(run)")
      }
      #expect(try await pod.network.links() == [] && node.records == records)
    }
  }
}
