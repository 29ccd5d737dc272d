import CNI
import JSON
import TestSupport
import Testing

@testable import OVSPlugin

/// What is read of a configuration, without a switch.
@Suite struct ConfigurationTests {
  private static func read(
    _ members: String, arguments: String = ""
  ) throws -> OVSConfiguration {
    let comma = members.isEmpty ? "" : ", "
    let text = #"{"cniVersion": "1.1.0", "name": "pods", "type": "ovs"\#(comma)\#(members)}"#
    return try OVSConfiguration(
      NetworkConfiguration(Array(text.utf8)), CNIArguments(arguments))
  }

  private static func refusal(_ members: String) -> CNIError? {
    do {
      _ = try read(members)
      return nil
    } catch {
      return error as? CNIError
    }
  }

  /// Members, and the VLANs that they mean.
  static let vlans: [(String, VLANs)] = [
    ("", .trunk([])), (#""vlan": null"#, .trunk([])), (#""vlan": 0"#, .access(0)),
    (#""vlan": 4095"#, .access(4095)),
    (#""trunk": [{"id": 7}, {"minID": 3, "maxID": 5}, {"id": 4}]"#, .trunk([3, 4, 5, 7])),
    (#""trunk": [{"minID": 0, "maxID": 9}, {"id": 0}]"#, .trunk([0])),
    (#""trunk": []"#, .trunk([])), (#""trunk": [], "vlan": 7"#, .access(7)),
    (#""Vlan": 7"#, .access(7)), (#""VLAN": 7, "vlan": 8"#, .access(8)),
    (#""Trunk": [{"ID": 7}, {"minid": 3, "MAXID": 5}]"#, .trunk([3, 4, 5, 7])),
  ]

  @Test("vlan and trunk", arguments: vlans)
  func readVLANs(given: (String, VLANs)) throws {
    #expect(try Self.read(given.0).vlans == given.1)
  }

  /// Members that are refused, and why.
  static let refusals: [(String, Int, String)] = [
    (#""vlan": 4096"#, 7, "invalid vlan 4096, must be between 0 and 4095"),
    (#""vlan": -1"#, 6, "vlan"), (#""vlan": "7""#, 6, "vlan"),
    (#""trunk": [{"id": 4096}]"#, 7, "incorrect trunk id parameter"),
    (#""trunk": [{"minID": -1, "maxID": 2}]"#, 7, "incorrect trunk minID parameter"),
    (#""trunk": [{"minID": 1, "maxID": 5000}]"#, 7, "incorrect trunk maxID parameter"),
    (#""trunk": [{}]"#, 7, "trunk parameter is misconfigured"),
    (#""trunk": 7"#, 6, "trunk"), (#""mtu": 65536"#, 6, "mtu"),
    (#""addresses": "dhcp""#, 7, "unknown addresses"), (#""dad": "never""#, 7, "unknown dad"),
    (
      #""runtimeConfig": {"mac": "01:00:00:00:00:01"}"#, 7,
      "runtimeConfig.mac \"01:00:00:00:00:01\": a multicast address"
    ),
    (#""runtimeConfig": {"bandwidth": {"ingressRate": "fast"}}"#, 6, "bandwidth.ingressRate"),
    (#""args": {"cni": {"MAC": 7}}"#, 6, "args.cni.mac: number found"),
  ]

  @Test("What cannot be meant is refused by name", arguments: refusals)
  func refuses(given: (String, Int, String)) {
    let error = Self.refusal(given.0)
    #expect(error?.code.rawValue == given.1)
    #expect(error?.message.contains(given.2) == true, "\(error.map { "\($0)" } ?? "accepted")")
  }

  @Test("limits count in the names of Go's fields, as containerd writes them")
  func bandwidthOfContainerd() throws {
    let read = try Self.read(
      #""runtimeConfig": {"bandwidth": {"IngressRate": 10000000, "IngressBurst": 2147483647, "#
        + #""EgressRate": 20000000, "EgressBurst": 7}}"#)
    #expect(read.bandwidth?.ingress?.rate == 10_000_000)
    #expect(read.bandwidth?.egress?.rate == 20_000_000)
    #expect(read.bandwidth?.egress?.burst == 7)
  }

  @Test("ADD waits 20 s for ovs-vswitchd, or as long as portTimeout says")
  func patience() throws {
    #expect(try Self.read("").portMilliseconds == 20_000)
    #expect(try Self.read(#""portTimeout": 60"#).portMilliseconds == 60_000)
    #expect(
      Self.refusal(#""portTimeout": 3601"#)?.message
        == "error unmarshall network config: portTimeout: number found where a whole number "
        + "from 0 to 3600 belongs")
  }

  @Test("Every key of the table is read", arguments: OVSConfiguration.keys.names)
  func readsItsKeys(key: String) {
    if OVSConfiguration.keysOfOVNKubernetes.contains(key) || key == "configuration_path" { return }
    #expect(Self.refusal(#""\#(key)": [7]"#)?.message.contains(key) == true)
  }

  /// A quantity of Kubernetes, and its number.
  static let quantities: [(String, UInt64?)] = [
    ("1000", 1000), ("1k", 1000), ("10M", 10_000_000), ("1.5G", 1_500_000_000),
    ("2P", 2_000_000_000_000_000),
    ("1Ki", 1024), ("1Mi", 1_048_576), ("1e6", 1_000_000), ("1E3", 1000), ("1500m", 2), ("0", 0),
    ("", nil), ("M", nil), ("much", nil), ("1 M", nil), ("0x10", nil), ("-5", nil), ("nan", nil),
    ("inf", nil), ("1e400", nil), ("99999999999E", nil), ("10MM", nil),
  ]

  @Test("Quantities", arguments: quantities)
  func readQuantities(given: (String, UInt64?)) {
    #expect(quantity(given.0) == given.1)
  }

  @Test(
    "What runtimes say for no burst is none, and a fifth of a second's takes its place",
    arguments: [0, (1 << 31) - 1, (1 << 32) - 1, ((1 << 32) - 1) * 8, .max] as [UInt64])
  func noBurst(number: UInt64) throws {
    let limit = try Bandwidth.Limit(rate: 10_000_000, burst: number)
    #expect(limit.burst == nil && limit.effectiveBurst == 2_000_000 && limit.excess == nil)
  }

  @Test("A burst is what was asked for, at most a second's")
  func burst() throws {
    let small = try Bandwidth.Limit(rate: 10_000_000, burst: 5)
    #expect(small.effectiveBurst == 5 && small.excess == nil)
    let great = try Bandwidth.Limit(rate: 10_000_000, burst: 1 << 30)
    #expect(great.effectiveBurst == 10_000_000 && great.excess == 1 << 30)
  }

  @Test("No annotation traps, whatever is in it")
  func fuzz() async {
    await #expect(processExitsWith: .success) {
      let corpus = [
        #"{"default":{"ip_addresses":["10.7.0.5/24","fd00:7::5/64"],"mac_address":"0a:58:0a:07:00:05","gateway_ips":["10.7.0.1"]}}"#,
        #"{"default":{"ip_address":"10.7.0.5/24","mac_address":"0a:58:0a:07:00:05","gateway_ip":"","routes":[{"dest":"10.0.0.0/8","nextHop":"10.7.0.1"}]}}"#,
      ]
      let words = ["null", "{}", "[]", "\"\"", "/129", "::", "-1"]
      await Fuzz(20_000, texts: corpus, words: words, accepting: 10).run { mutator in
        let text = String(decoding: mutator.next(), as: UTF8.self)
        let runtime = JSONObject([
          (PodAnnotations.capability, ["k8s.ovn.org/pod-networks": .string(text)])
        ])
        let object = JSONObject([("name", "n"), ("runtimeConfig", .object(runtime))])
        guard let configuration = try? NetworkConfiguration(object) else { return false }
        let annotations = PodAnnotations(configuration)
        _ = quantity(String(text.prefix(12)))
        return (try? annotations.assignment(network: "default", pod: "p")) != nil
      }
    }
  }
}
