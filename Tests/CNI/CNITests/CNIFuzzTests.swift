import CNI
import JSON
import TestSupport
import Testing

@Suite("CNI under damaged input")
struct CNIFuzzTests {
  @Test("No configuration traps, and what is accepted can be rebuilt and asked")
  func configurations() async {
    await #expect(processExitsWith: .success) {
      let corpus = [
        #"{"cniVersion":"1.1.0","name":"n","type":"macvlan","ipam":{"type":"host-local"}}"#,
        #"{"name":"n","args":{"cni":{"ips":["1.2.3.4"]}},"runtimeConfig":{"mac":"x"},"dns":{"search":["a"]}}"#,
        #"{"cniVersion":"0.4.0","name":"n","prevResult":{"ips":[{"address":"1.2.3.4/24"}]}}"#,
        #"{"cniVersion":"1.1.0","name":"n","cni.dev/valid-attachments":[{"containerID":"c","ifname":"e"}]}"#,
        #"{"name":"n","capabilities":{"mac":true},"cni.dev/attachments":[]}"#,
      ]
      let words = ["null", "{}", "[]", "\"\"", "{", "\"name\":", "9.8.7", "\\u0000", "-1"]
      await Fuzz(100_000, texts: corpus, words: words, accepting: 1000).run { mutator in
        let bytes = mutator.next()
        guard let configuration = try? NetworkConfiguration(bytes) else { return false }
        precondition(configuration.bytes == bytes)
        let rebuilt = try? configuration.replacing([
          (key: "zz", value: 1), (key: "dns", value: nil),
        ])
        precondition(rebuilt?.name == configuration.name)
        precondition(rebuilt?.object["zz"]?.int == 1 && rebuilt?.object["dns"] == nil)
        _ = try? configuration.prevResult()
        _ = try? configuration.validAttachments()
        for command in CNICommand.known { try? configuration.checkVersion(for: command) }
        return true
      }
    }
  }

  @Test("No CNI_ARGS and no name traps")
  func arguments() async {
    await #expect(processExitsWith: .success) {
      let corpus = [
        "K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod;IgnoreUnknown=1",
        "IP=10.1.2.88;MAC=c2:11:22:33:44:55",
        "a=b;\u{a0}c = d ;é=\u{3000}", "", "some-container-id", "eth0",
      ]
      let words = ["=", ";", " ", "IP=", "IgnoreUnknown=", "\u{85}", "\u{10ffff}", "::1", "\0"]
      await Fuzz(100_000, texts: corpus, words: words).run { mutator in
        let text = String(decoding: mutator.next(), as: UTF8.self)
        let readable = CNIArguments(readable: text)
        if let arguments = try? CNIArguments(text) {
          precondition(arguments == readable, text)
          _ = try? arguments.ip(for: "IP")
          try? arguments.checkKnown(["IP", "MAC"])
          precondition((try? CNIArguments(strict: text))?.pairs.count == arguments.pairs.count)
        }
        precondition(goQuoted(text).utf8.allSatisfy { $0 >= 0x20 }, text)
        try? CNIValidation.containerID(text)
        try? CNIValidation.networkName(text)
        try? CNIValidation.interfaceName(text)
        try? CNIValidation.pluginName(text)
        _ = try? CNIVersion.check(text, for: .check)
        return true
      }
    }
  }

  @Test("No result traps, and what is read is the same after printing and reading again")
  func results() async {
    await #expect(processExitsWith: .success) {
      let corpus = [
        #"{"cniVersion":"1.1.0","interfaces":[{"name":"e","mtu":1}],"ips":[{"interface":0,"address":"1.2.3.4/24"}]}"#,
        #"{"cniVersion":"1.0.0","routes":[{"dst":"::/0","gw":"::1","mtu":1,"advmss":2,"priority":3,"table":4,"scope":5}]}"#,
        #"{"cniVersion":"0.4.0","ips":[{"version":"4","address":"1.2.3.4/8"}],"dns":{"domain":"d"}}"#,
        #"{"cniVersion":"0.2.0","ip4":{"ip":"1.2.3.4/8","gateway":"1.1.1.1","routes":[{"dst":"0.0.0.0/0"}]},"ip6":{"ip":"::1/64"}}"#,
        #"{"code":7,"msg":"m","details":"d"}"#,
      ]
      let words = ["null", "[]", "{}", "\"\"", "99999999999", "0.3.1", "-1", "::ffff:1.2.3.4/96"]
      await Fuzz(100_000, texts: corpus, words: words, accepting: 1000).run { mutator in
        let bytes = mutator.next()
        guard let json = try? JSONValue.parse(bytes) else { return false }
        if let error = CNIError(json: json) {
          precondition(CNIError(json: error.json(cniVersion: "1.1.0")) == error)
        }
        guard let result = try? CNIResult(json, defaultVersion: .v031) else { return false }
        for version in CNIVersion.allCases {
          guard let printed = try? result.printed(as: version) else { continue }
          let again = try? CNIResult(bytes: printed, defaultVersion: .v110)
          precondition(again.flatMap { try? $0.printed(as: version) } == printed)
          if version == .newest { precondition(again == result) }
        }
        let doubled = result.appended(to: result)
        precondition(doubled.ips.count == 2 * result.ips.count)
        for ip in doubled.ips { _ = doubled.interface(of: ip) }
        return true
      }
    }
  }
}
