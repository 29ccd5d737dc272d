import JSON
import Linux
import ShimCore
import TestSupport
import Testing

private let corpus = [
  #"{"cniVersion":"1.1.0","name":"skel-test","type":"cni-shim","daemonTimeout":1}"#,
  #"{"cniVersion":"0.4.0","name":"n","daemonSocketDir":"/nowhere","logLevel":"debug"}"#,
  #"{"name":"a","name":"b","prevResult":{"ips":[{"address":"10.0.0.1/24"}]},"x":[1,2.5e9,null]}"#,
  #"{"cniVersion":"9.8.7","name":"te%st","runtimeConfig":{"ips":["\u00e9\ud83d\ude00"]}}"#,
].map { Array($0.utf8) }

private let tokens = [
  "{", "}", "[", "]", "\"", "\\u", "\\ud800", ":", ",", "null", "1e999", "-0", "\"name\":",
  "\"cniVersion\":\"", "\"daemonTimeout\":", "99999999999999999999", "\u{FEFF}",
].map { Array($0.utf8) }

@Suite("No stdin harms the shim")
struct InputFuzzTests {
  @Test("100 000 damaged configurations end in an answer", arguments: ["CHECK", "NOPE"])
  func damaged(verb: String) async {
    await #expect(processExitsWith: .success) { [verb = verb as String] in
      print(verb)
      let directory = try TemporaryDirectory()
      let file = directory("stdin")
      let environment = [
        ("CNI_COMMAND", verb), ("CNI_CONTAINERID", "c"), ("CNI_NETNS", "/nowhere"),
        ("CNI_IFNAME", "eth0"), ("CNI_PATH", "/nowhere"),
      ].map { (name: $0.0, value: $0.1) }
      try await Fuzz(50_000, corpus: corpus, tokens: tokens).run { mutator in
        // No daemon is asked: CHECK ends at the version, which is never a supported one.
        let input = mutator.next().map { $0 == UInt8(ascii: "0") ? UInt8(ascii: "7") : $0 }
        try Files.write(file, input, mode: [.write, .create, .truncate])
        let descriptor = try Files.open(file, .read)
        var shim = Shim(environment: environment, standardInput: descriptor.rawValue)
        let outcome = shim.run()
        precondition(outcome.status == 1)
        guard let error = try? JSONValue.parse(outcome.output) else {
          preconditionFailure("no JSON")
        }
        precondition(error["code"]?.int != nil && error["msg"]?.string != nil)
        return true
      }
    }
  }
}
