import Addresses
import CNI
import JSON
import TestSupport
import Testing

@Suite("Network configurations")
struct NetworkConfigurationTests {
  @Test("The well-known members are read and the bytes are kept")
  func reading() throws {
    let text = """
      { "cniVersion":"0.4.0", "name" : "net-1", "type":"macvlan", "master":"eth0", "big":1e400,
        "ipam":{"type":"host-local","x":1}, "runtimeConfig":{"mac":"a"}, "args":{"cni":{"ips":[]}},
        "dns":{"nameservers":["10.0.0.1"],"domain":"d","search":["s"],"options":["o"]},
        "capabilities":{"mac":true,"ips":false} }

      """
    let configuration = try NetworkConfiguration(Array(text.utf8))
    #expect(configuration.bytes == Array(text.utf8))
    #expect(configuration.cniVersion == "0.4.0")
    #expect(try configuration.version() == .v040)
    #expect(configuration.name == "net-1")
    #expect(configuration.type == "macvlan")
    #expect(configuration.ipamType == "host-local")
    #expect(configuration.ipam?["x"]?.int == 1)
    #expect(configuration.runtimeConfig?["mac"]?.string == "a")
    #expect(configuration.cniArgs?["ips"]?.array == [])
    #expect(
      configuration.dns
        == CNIResult.DNS(nameservers: ["10.0.0.1"], domain: "d", search: ["s"], options: ["o"]))
    #expect(configuration.declares(capability: "mac"))
    #expect(!configuration.declares(capability: "ips"))
    #expect(!configuration.declares(capability: "portMappings"))
    #expect(configuration.object["master"]?.string == "eth0")
    #expect(try configuration.prevResult() == nil)
  }

  @Test(
    "What is absent, null or empty has its default",
    arguments: [
      #"{"name":"a"}"#,
      #"{"name":"a","cniVersion":"","type":"","ipam":null,"args":null,"dns":null,"prevResult":null}"#,
      #"{"name":"a","cniVersion":null,"type":null,"ipam":null,"args":{},"dns":{},"capabilities":null}"#,
      #"{"name":"b%","name":"a","runtimeConfig":null,"args":{"cni":null}}"#,
    ])
  func defaults(text: String) throws {
    let configuration = try NetworkConfiguration(Array(text.utf8))
    #expect(configuration.name == "a")
    #expect(configuration.cniVersion == "0.1.0")
    #expect(configuration.type == nil)
    #expect(configuration.ipam == nil && configuration.ipamType == nil)
    #expect(configuration.runtimeConfig == nil && configuration.cniArgs == nil)
    #expect(configuration.dns.isEmpty)
    #expect(configuration.previous == nil)
  }

  @Test("An empty ipam means no addresses, as does one without a type")
  func layer2() throws {
    let configuration = try NetworkConfiguration(Array(#"{"name":"a","ipam":{}}"#.utf8))
    #expect(configuration.ipam?.isEmpty == true)
    #expect(configuration.ipamType == nil)
  }

  @Test(
    "What is wrong has the skeleton's code and text, the name's first",
    arguments: [
      (#"{"cniVersion":"1.1.0","type":"x"}"#, 7, "missing network name"),
      (#"{"name":""}"#, 7, "missing network name"),
      (#"{"name":null}"#, 7, "missing network name"),
      (#"{"name":"te%%st","type":5}"#, 7, "invalid characters found in network name"),
      (
        #"{"name":5}"#, 6,
        "error unmarshall network config: name: number found where a string belongs"
      ),
      ("[]", 6, "error unmarshall network config: array found where an object belongs"),
      ("null", 6, "error unmarshall network config: null found where an object belongs"),
      (
        #"{"name":"a","cniVersion":1}"#, 6,
        "error unmarshall network config: cniVersion: number found where a string belongs"
      ),
      (
        #"{"name":"a","ipam":"host-local"}"#, 6,
        "error unmarshall network config: ipam: string found where an object belongs"
      ),
      (
        #"{"name":"a","ipam":{"type":[]}}"#, 6,
        "error unmarshall network config: ipam.type: array found where a string belongs"
      ),
      (#"{"name":"a","type":"../x"}"#, 7, #"invalid plugin name: "../x""#),
      (#"{"name":"a","ipam":{"type":"/bin/sh"}}"#, 7, #"invalid plugin name: "/bin/sh""#),
      (
        #"{"name":"a","args":{"cni":true}}"#, 6,
        "error unmarshall network config: args.cni: boolean found where an object belongs"
      ),
      (
        #"{"name":"a","dns":{"search":[1]}}"#, 6,
        "error unmarshall network config: dns.search[0]: number found where a string belongs"
      ),
      (
        #"{"name":"a","prevResult":[]}"#, 6,
        "error unmarshall network config: prevResult: array found where an object belongs"
      ),
    ])
  func refusing(text: String, code: Int, message: String) {
    let error = failure { () throws(CNIError) in try NetworkConfiguration(Array(text.utf8)) }
    #expect(error?.code.rawValue == code)
    #expect(error?.message == message)
  }

  @Test(
    "What is no JSON is code 6, and the text shows none of it",
    arguments: ["", "{", "secret", #"{"a":secret}"#])
  func notJSON(text: String) throws {
    let error = try #require(
      failure { () throws(CNIError) in try NetworkConfiguration(Array(text.utf8)) })
    #expect(error.code == .decodingFailure)
    #expect(error.message.hasPrefix("error unmarshall network config: "))
    #expect(!error.description.contains("secret"))
  }

  @Test("A version that is not supported is kept, and refused when it is asked for")
  func unknownVersion() throws {
    let configuration = try NetworkConfiguration(Array(#"{"name":"a","cniVersion":"9.8.7"}"#.utf8))
    #expect(configuration.cniVersion == "9.8.7")
    let error = failure { () throws(CNIError) in try configuration.version() }
    #expect(error?.code == .incompatibleVersion)
    #expect(
      failure { () throws(CNIError) in try configuration.checkVersion(for: .check) }?.message
        == "cniVersion 9.8.7 is not known, the newest is 1.1.0: no CHECK")
  }

  @Test("The previous result is read by its own version, else by the configuration's")
  func previousResult() throws {
    let text = #"{"name":"a","cniVersion":"0.2.0","prevResult":{"ip4":{"ip":"1.2.3.4/24"}}}"#
    let configuration = try NetworkConfiguration(Array(text.utf8))
    let address = try #require(IPNetwork("1.2.3.4/24"))
    #expect(try configuration.prevResult()?.ips == [CNIResult.IP(address: address)])

    let newer =
      #"{"name":"a","prevResult":{"cniVersion":"1.0.0","ips":[{"address":"1.2.3.4/24"}]}}"#
    #expect(
      try NetworkConfiguration(Array(newer.utf8)).prevResult()?.ips
        == [CNIResult.IP(address: address)])

    let broken = #"{"name":"a","cniVersion":"1.0.0","prevResult":{"ips":[{"address":"x"}]}}"#
    let error = failure { () throws(CNIError) in
      try NetworkConfiguration(Array(broken.utf8)).prevResult()
    }
    #expect(error?.code == .decodingFailure)
    #expect(
      error?.message
        == "could not parse prevResult: error unmarshall result: ips[0].address: invalid CIDR address: x"
    )
  }
}

@Suite("Valid attachments")
struct ValidAttachmentsTests {
  @Test(
    "Both keys are accepted and the newer one wins; null is an empty list",
    arguments: [
      (#""cni.dev/valid-attachments":[{"containerID":"c","ifname":"eth0"}]"#, ["c/eth0"]),
      (#""cni.dev/attachments":[{"containerID":"c","ifname":"eth0","x":1}]"#, ["c/eth0"]),
      (
        #""cni.dev/attachments":[{"containerID":"old","ifname":"e"}],"cni.dev/valid-attachments":[]"#,
        []
      ),
      (
        #""cni.dev/valid-attachments":null,"cni.dev/attachments":[{"containerID":"a","ifname":"e"},{"containerID":"b","ifname":"f"}]"#,
        ["a/e", "b/f"]
      ),
      // What libcni sends for a nil slice.
      (#""cni.dev/valid-attachments":null"#, []),
      (#""cni.dev/attachments":null"#, []),
    ])
  func accepted(members: String, expected: [String]) throws {
    let configuration = try NetworkConfiguration(Array(#"{"name":"a",\#(members)}"#.utf8))
    #expect(
      try configuration.validAttachments().map { $0.containerID + "/" + $0.ifName } == expected)
  }

  @Test(
    "A missing list is not an empty list, and an entry is never skipped",
    arguments: [
      (
        #""x":1"#, 7,
        "missing cni.dev/valid-attachments: container runtimes send it, cnitool does not"
      ),
      (
        #""cni.dev/valid-attachments":{}"#, 6,
        "error unmarshall network config: cni.dev/valid-attachments: object found where an array belongs"
      ),
      (
        #""cni.dev/valid-attachments":["c"],"cni.dev/attachments":[]"#, 6,
        "error unmarshall network config: cni.dev/valid-attachments[0]: string found where an object belongs"
      ),
      (
        #""cni.dev/attachments":[{"containerID":"c","ifname":"e"},{"containerID":"c"}]"#, 7,
        "cni.dev/attachments[1] lacks containerID or ifname"
      ),
      (
        #""cni.dev/attachments":[{"containerID":1,"ifname":"e"}]"#, 6,
        "error unmarshall network config: cni.dev/attachments[0].containerID: number found where a string belongs"
      ),
    ])
  func refused(members: String, code: Int, message: String) throws {
    let configuration = try NetworkConfiguration(Array(#"{"name":"a",\#(members)}"#.utf8))
    let error = failure { () throws(CNIError) in try configuration.validAttachments() }
    #expect(error?.code.rawValue == code)
    #expect(error?.message == message)
  }
}
