import Addresses
import CNI
import Glibc
import JSON
import Linux
import TestSupport
import Testing
@testable import VRouterPlugin

/// What the plugin reads of the network configuration and of the file on the node.
@Suite struct ConfigurationTests {
  private func read(
    _ contrail: String, file: String? = nil, _ strictness: ContrailCni.Strictness = .strict
  ) throws -> ContrailCni {
    let bytes = Array(#"{"name":"net","contrail":\#(contrail)}"#.utf8)
    let object = try file.map { text in
      try #require(try JSONValue.parse(Array(#"{"name":"disk","contrail":\#(text)}"#.utf8)).object)
    }
    return try ContrailCni(try NetworkConfiguration(bytes), object, strictness)
  }

  /// A key with a value of its own, and where that is found.
  struct Key: Sendable, CustomTestStringConvertible {
    let text: String
    let value: @Sendable (ContrailCni) -> String
    let expected: String
    var testDescription: String { text }

    init(
      _ text: String, _ expected: String, _ value: @escaping @Sendable (ContrailCni) -> String
    ) {
      (self.text, self.expected, self.value) = (text, expected, value)
    }

    static let all = [
      Key(#""cluster-name":"""#, "") { $0.clusterName },
      Key(#""mode":"mesos""#, "mesos") { $0.mode.rawValue },
      Key(#""meta-plugin":"meta""#, "meta") { $0.metaPlugin },
      Key(#""vif-type":"macvlan""#, "macvlan") { $0.vifType.rawValue },
      Key(#""vif-type":"eth""#, "eth") { $0.vifType.rawValue },
      Key(#""parent-interface":"ens3""#, "ens3") { $0.parentInterface },
      Key(#""mtu":1400"#, "1400") { "\($0.mtu)" },
      Key(#""mesos-ip":"192.0.2.1""#, "192.0.2.1") { $0.mesosIP?.description ?? "" },
      Key(#""mesos-port":"6991""#, "6991") { "\($0.mesosPort ?? 0)" },
      Key(#""log-file":"/x.log""#, "/x.log") { $0.logFile },
      Key(#""log-level":"2""#, "2") { $0.logLevel },
      Key(#""vrouter-ip":"10.10.10.2""#, "10.10.10.2") { $0.server.description },
      Key(#""vrouter-port":9092"#, "9092") { "\($0.port)" },
      Key(#""config-dir":"/ports""#, "/ports") { $0.directory },
      Key(#""poll-timeout":5"#, "5000") { "\($0.pollMilliseconds)" },
      Key(#""poll-timeout":0.2"#, "200") { "\($0.pollMilliseconds)" },
      Key(#""poll-retries":15"#, "15") { "\($0.pollRetries)" },
      Key(#""add-timeout":7.5"#, "7500") { "\($0.addMilliseconds)" },
      Key(#""meta-mode":true"#, "true") { "\($0.isMeta ?? false)" },
      Key(#""v6-prefix-length":80"#, "80") { "\($0.ipv6PrefixLength)" },
      Key(#""dad":"skip""#, "true") { "\($0.skipsDAD)" },
      Key(#""MTU":1400"#, "1400") { "\($0.mtu)" },
      Key(#""unknown":[1,{}]"#, "1500") { "\($0.mtu)" },
    ]
  }

  @Test("without a key its default counts, those of the plugin on disk")
  func defaults() throws {
    let cni = try read("{}")
    #expect(cni.clusterName == "k8s" && cni.metaPlugin == "multus" && cni.mode == .k8s)
    #expect(cni.vifType == .veth && cni.parentInterface == "eth0" && cni.mtu == 1500)
    #expect(cni.server.description == "127.0.0.1" && cni.port == 9091)
    #expect(cni.directory == "/var/lib/contrail/ports/vm")
    #expect(cni.pollMilliseconds == 3000 && cni.pollRetries == 20)
    #expect(cni.addMilliseconds == 120_000 && cni.isMeta == nil && cni.ipv6PrefixLength == 64)
    #expect(cni.logFile == "/var/log/contrail/cni/opencontrail.log" && cni.logLevel == "4")
    #expect(cni.networkName == "net" && cni.defaultNetworkName == nil)
    #expect(
      try ContrailCni(NetworkConfiguration(Array(#"{"name":"net"}"#.utf8)), nil, .strict) == cni)
  }

  @Test("each key counts, in the configuration before the file", arguments: Key.all)
  func keys(key: Key) throws {
    #expect(key.value(try read("{\(key.text)}")) == key.expected)
    #expect(key.value(try read("{}", file: "{\(key.text)}")) == key.expected)
    let name = try #require(key.text.split(separator: ":").first)
    #expect(key.value(try read("{\(name):null}", file: "{\(key.text)}")) == key.expected)
  }

  @Test(
    "every key of the table is read", arguments: ContrailCni.keys.inner("contrail")?.names ?? [])
  func readsItsKeys(key: String) {
    // Accepted, and without effect as ever.
    if key == "network-name" { return }
    let error = #expect(throws: CNIError.self) { try read(#"{"\#(key)":[7]}"#) }
    #expect(error?.message.contains("contrail.\(key)") == true)
  }

  @Test("a value of the configuration wins over the file's, others stay")
  func precedence() throws {
    let cni = try read(
      #"{"mtu":1350}"#, file: #"{"mtu":1400,"poll-retries":2,"vrouter-port":9092}"#)
    #expect(cni.mtu == 1350 && cni.pollRetries == 2 && cni.port == 9092)
    #expect(cni.networkName == "net" && cni.defaultNetworkName == "disk")
  }

  /// A slip, and the error of ADD.
  struct Slip: Sendable, CustomTestStringConvertible {
    let text: String
    let code: CNIErrorCode
    let message: String
    var testDescription: String { text }

    init(_ text: String, _ code: CNIErrorCode, _ message: String) {
      (self.text, self.code, self.message) = (text, code, message)
    }

    static let all = [
      Slip(#""mtu":"1500""#, .decodingFailure, "contrail.mtu: string found where a whole number"),
      Slip(#""mtu":1400.5"#, .decodingFailure, "contrail.mtu: number found where a whole"),
      Slip(#""mtu":20"#, .invalidConfiguration, "contrail.mtu: 20 is not from 68 to 65535"),
      Slip(#""log-level":4"#, .decodingFailure, "contrail.log-level: number found where a str"),
      Slip(#""vrouter-port":0"#, .invalidConfiguration, "contrail.vrouter-port: 0 is not from 1"),
      Slip(#""vrouter-port":65536"#, .invalidConfiguration, "contrail.vrouter-port: 65536 is not"),
      Slip(
        #""vrouter-ip":"localhost""#, .invalidConfiguration, "contrail.vrouter-ip: \"localhost\""),
      Slip(#""config-dir":"ports""#, .invalidConfiguration, "contrail.config-dir: \"ports\" is no"),
      Slip(#""poll-timeout":-1"#, .invalidConfiguration, "contrail.poll-timeout: -1 is not from 0"),
      Slip(#""poll-timeout":1e300"#, .invalidConfiguration, "contrail.poll-timeout: 1e300 is not"),
      Slip(#""poll-retries":0"#, .invalidConfiguration, "contrail.poll-retries: 0 is not from 1"),
      Slip(#""vif-type":"vlan""#, .invalidConfiguration, "contrail.vif-type: \"vlan\" is none of"),
      Slip(#""mode":"nomad""#, .invalidConfiguration, "contrail.mode: \"nomad\" is none of k8s"),
      Slip(#""meta-mode":"yes""#, .decodingFailure, "contrail.meta-mode: string found where"),
      Slip(#""dad":"never""#, .invalidConfiguration, "unknown contrail.dad: \"never\", must be"),
      Slip(#""mesos-port":"x""#, .invalidConfiguration, "contrail.mesos-port: \"x\" is no port"),
    ]
  }

  @Test("a slip is an error of ADD that names the key, and never keeps a DEL", arguments: Slip.all)
  func slips(slip: Slip) throws {
    let error = try #require(throws: CNIError.self) { try read("{\(slip.text)}") }
    #expect(error.code == slip.code && error.message.hasPrefix(slip.message), "\(error)")
    #expect(throws: CNIError.self) { try read("{}", file: "{\(slip.text)}") }
    #expect(try read("{\(slip.text)}", .lenient) == read("{}", .lenient))
    let file = #"{"mtu":1400,"vrouter-port":9092}"#
    let cni = try read("{\(slip.text)}", file: file, .lenient)
    #expect(cni.mtu == 1400 && cni.port == 9092)
  }

  @Test("contrail itself may be of a wrong type", arguments: ["[]", "1", "\"x\""])
  func wrongObject(text: String) throws {
    let error = try #require(throws: CNIError.self) { try read(text) }
    #expect(error.message.hasSuffix(" found where an object belongs"))
    #expect(try read(text, .lenient).mtu == 1500)
    #expect(try read(text, file: #"{"mtu":1400}"#, .lenient).mtu == 1400)
  }

  // MARK: The file

  private func directory(_ files: [String: String]) throws -> TemporaryDirectory {
    let directory = try TemporaryDirectory()
    for (name, text) in files {
      try Files.write(directory(name), Array(text.utf8), mode: [.write, .create])
    }
    return directory
  }

  @Test(
    "the first name in order that ends as it must is read; a directory without one is passed over")
  func file() throws {
    let empty = try directory(["10-contrail.conflist": "{}", "contrail.conf.bak": "{}", "a": "{}"])
    let full = try directory([
      "20-contrail.conf": #"{"name":"later"}"#, "05-tf-cni.conf": #"{"name":"first"}"#,
    ])
    let paths = [empty("missing"), empty("."), full(".")]
    #expect(try ContrailCni.file(in: paths)?["name"]?.string == "first")
    #expect(try ContrailCni.file(in: [empty(".")]) == nil)
    #expect(try ContrailCni.file(in: []) == nil)
  }

  @Test(
    "a file that is no JSON object is an error that names it and says what is wrong",
    arguments: [
      ("", "it is empty"), ("[]", "not a JSON object"), ("{", "ends inside an object"),
    ])
  func damagedFile(text: String, words: String) throws {
    let broken = try directory(["10-contrail.conf": text])
    let error = try #require(throws: CNIError.self) { try ContrailCni.file(in: [broken(".")]) }
    #expect(error.code == .decodingFailure)
    let isNamed = error.message.contains("10-contrail.conf: ")
    #expect(isNamed && error.message.contains(words), "\(error)")
  }

  @Test("a file that cannot be read is an error that names it: its defaults are not the node's")
  func unreadableFile() throws {
    let directory = try directory([:])
    let made = unsafe symlink("missing", directory("10-contrail.conf"))
    try #require(made == 0)
    try Files.write(directory("20-contrail.conf"), Array("{}".utf8), mode: [.write, .create])
    let error = try #require(throws: CNIError.self) { try ContrailCni.file(in: [directory(".")]) }
    #expect(error.code == .ioFailure)
    #expect(error.message.contains("failed to read \(directory("."))/10-contrail.conf"))
  }

  @Test("what is known of the pod is noted")
  func containerInfo() {
    var cni = ContrailCni()
    cni.updateContainerInfo(name: "k8s__a__b", uuid: "u", network: "v")
    #expect(cni.containerName == "k8s__a__b" && cni.containerUUID == "u" && cni.containerVN == "v")
    cni.updateContainerUUID("w")
    #expect(cni.containerUUID == "w")
  }
}
