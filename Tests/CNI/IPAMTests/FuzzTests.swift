import Addresses
import CNI
import JSON
import TestSupport
import Testing

@testable import IPAM

@Suite("Damaged configurations of address management")
struct IPAMFuzzTests {
  @Test("120 000 damaged configurations are read or refused, never a trap")
  func configurations() async {
    await #expect(processExitsWith: .success) {
      let fuzz = Fuzz(
        120_000, texts: IPAMCorpus.configurations, words: IPAMCorpus.tokens, accepting: 500)
      try await fuzz.run(IPAMCorpus.Tally()) { mutator, tally in
        try tally.read(Array(mutator.next().prefix(400)))
      }
    }
  }

  @Test("40 000 configurations of whole and damaged values are read or refused, never a trap")
  func values() async {
    await #expect(processExitsWith: .success) {
      let fuzz = Fuzz(
        40_000, texts: IPAMCorpus.values, words: IPAMCorpus.pieces, accepting: 2000)
      try await fuzz.run(IPAMCorpus.Tally()) { mutator, tally in
        try tally.read(IPAMCorpus.configuration(&mutator).encoded())
      }
    }
  }

  @Test("100 000 damaged resolv.conf files and lease files are read without a trap")
  func files() async {
    await #expect(processExitsWith: .success) {
      let texts = [
        "nameserver 192.0.2.1\nsearch a b\noptions ndots:5\ndomain x # y\n", "dummy\r\neth0",
        "\n \t\r\n",
      ]
      let words = ["\n", "\r", " ", "\0", "search", "nameserver "]
      try await Fuzz(100_000, texts: texts, words: words).run { mutator in
        let bytes = Array(mutator.next().prefix(400))
        let dns = ResolverConfiguration.parse(bytes)
        let words = dns.nameservers + dns.search + dns.options + [dns.domain]
        guard words.allSatisfy({ !$0.contains(" ") && !$0.contains("\n") }) else {
          throw TestError("\(dns)")
        }
        let trimmed = LeaseOwner.trimmed(bytes)
        guard LeaseOwner.trimmed(trimmed) == trimmed else { throw TestError("\(bytes)") }
        return true
      }
    }
  }
}

/// What the fuzz tests damage, and what must hold for whatever comes of it.
enum IPAMCorpus {
  static let configurations = [
    #"{"name":"n","ipam":{"type":"host-local","subnet":"10.1.2.0/24"}}"#,
    #"{"name":"n","ipam":{"ranges":[[{"subnet":"10.1.2.0/30","rangeStart":"10.1.2.1"}]]}}"#,
    #"{"name":"n","ipam":{"ranges":[[{"subnet":"::/0","rangeEnd":"ffff::1","gateway":"::5"}]]}}"#,
    #"{"name":"n","ipam":{"subnet":"255.255.255.252/30"},"runtimeConfig":{"ips":["1.2.3.4/5"]}}"#,
    #"{"name":"n","ipam":{"ranges":[[{"subnet":"fd00::/126"}],[{"subnet":"10.0.0.0/8"}]]}}"#,
    #"{"name":"n","ipam":{},"runtimeConfig":{"ipRanges":[[{"subnet":"10.1.2.0/29"}]]}}"#,
    #"{"name":"n","args":{"cni":{"ips":["10.1.2.4"]}},"ipam":{"subnet":"10.1.2.0/24"}}"#,
    #"{"name":"n","ipam":{"addresses":[{"address":"10.0.0.1/8","gateway":"10.0.0.2"}]}}"#,
    #"{"name":"n","ipam":{"subnet":"1.0.0.0/8","dataDir":"/d","routes":[{"dst":"::/0"}]}}"#,
  ]
  static let tokens = [
    "null", "[]", "{}", "\"\"", "/0", "/32", "/128", "255", "0.0.0.0", "::", "ffff:", "..", "/",
    "\"10.1.2.1\"", "\"subnet\":", "\"rangeStart\":", "\"rangeEnd\":", "\"gateway\":", "1e9",
    "\\u0000",
  ]
  static let values = [
    "10.1.2.0/24", "10.1.2.0/30", "0.0.0.0/0", "255.255.255.252/30", "fd00::/64", "::/0",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc/126", "::ffff:10.0.0.0/104", "10.1.2.1", "10.1.2.3",
    "10.1.2.255", "255.255.255.254", "255.255.255.255", "fd00::1", "::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::ffff:10.0.0.9", "",
  ]
  static let pieces = [
    "/0", "/8", "/30", "/31", "/126", "/128", "255", "::", ":", ".", "0", "ffff",
  ]
  static let arguments = [
    "", "IP=10.1.2.3", "IP=10.1.2.3/24;K8S_POD_NAME=x", "IP=,;GATEWAY=1.1.1.1",
  ]

  /// A configuration whose values are whole three times out of four.
  static func configuration(_ mutator: inout Mutator) -> JSONValue {
    func value(_ choices: ArraySlice<String>) -> JSONValue {
      if mutator.number(below: 4) == 0 {
        return .string(String(decoding: mutator.next(), as: UTF8.self))
      }
      return .string(choices[choices.startIndex + mutator.number(below: choices.count)])
    }
    func range() -> JSONValue {
      var range: JSONValue = ["subnet": value(values[..<8])]
      for key in ["rangeStart", "rangeEnd", "gateway"] where mutator.number(below: 3) == 0 {
        range = range.setting(key, value(values[8...]))
      }
      return range
    }
    var ipam: JSONValue = [
      "ranges": [[range()]], "addresses": [["address": value(values[..<8])]],
    ]
    switch mutator.number(below: 4) {
    case 0: ipam = ipam.setting("ranges", [[range(), range()]])
    case 1: ipam = ipam.setting("ranges", [[range()], [range()]])
    default: break
    }
    if mutator.number(below: 4) == 0 { ipam = ipam.setting("dataDir", value(values[8...])) }
    var configuration: JSONValue = ["name": "n", "cniVersion": "1.1.0", "ipam": ipam]
    if mutator.number(below: 3) == 0 {
      configuration = configuration.setting("runtimeConfig", ["ips": [value(values[8...])]])
    }
    return configuration
  }

  /// Reads configurations, with each of the arguments in turn.
  struct Tally {
    private var round = 0

    /// Reads a configuration by both readers; what is read must be usable.
    ///
    /// - Returns: whether host-local accepts it.
    mutating func read(_ bytes: [UInt8]) throws -> Bool {
      round += 1
      guard let configuration = try? NetworkConfiguration(bytes) else { return false }
      let arguments = CNIArguments(readable: IPAMCorpus.arguments[round % 4])
      let read = try? HostLocalConfiguration(configuration, arguments: arguments)
      for set in read?.sets ?? [] { try Self.walk(set, read?.requests.first, round) }
      _ = try? StaticConfiguration(configuration, arguments: arguments)
      if let path = try? HostLocalConfiguration.directory(configuration, in: "/data") {
        // By bytes: a slash with an accent is one Character, and no slash.
        let bytes = Array(path.utf8)
        guard bytes.first == 0x2F,
          bytes.reversed().starts(with: "/\(configuration.name)".utf8.reversed()),
          !configuration.name.contains("/"), configuration.name != "..", !path.utf8.contains(0)
        else { throw TestError("\(round): \(path)") }
      }
      return read != nil
    }

    /// The first addresses after any last one lie in the set and are no gateway.
    private static func walk(_ set: RangeSet, _ last: IPAddress?, _ round: Int) throws {
      for (address, range) in set.walk(after: last).prefix(3) {
        guard set.range(holding: address) != nil, address != range.gateway,
          range.subnet.contains(address)
        else { throw TestError("\(round): \(address) of \(set)") }
      }
    }
  }
}
