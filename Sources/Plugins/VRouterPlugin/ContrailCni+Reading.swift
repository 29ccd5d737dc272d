import Addresses
package import CNI
package import JSON
import Linux
import Workbench

extension ContrailCni {
  /// What happens when a value cannot be read.
  package enum Strictness: Sendable {
    /// It is an error.
    case strict
    /// The next value of the same key counts, so that no slip keeps a DEL from its work.
    case lenient
  }

  /// The keys that the plugin reads, or accepts without effect.
  package static let keys = KeyTable(
    [],
    inside: [
      (
        "contrail",
        KeyTable([
          "cluster-name", "meta-plugin", "mode", "vif-type", "parent-interface", "mtu", "mesos-ip",
          "mesos-port", "log-file", "log-level", "vrouter-ip", "vrouter-port", "config-dir",
          "poll-timeout", "poll-retries", "add-timeout", "meta-mode", "v6-prefix-length", "dad",
          "network-name",
        ])
      )
    ])

  /// Reads a network configuration and the file on the node.
  ///
  /// - Throws: code 6 for a value of a wrong type, 7 for one that is not valid; each names the key.
  package init(
    _ configuration: NetworkConfiguration, _ file: JSONObject?, _ strictness: Strictness
  ) throws(CNIError) {
    self.init()
    let layers = [configuration.object, file].compactMap { $0 }
    let reader = try Layers(layers, strictness)
    networkName = configuration.name
    defaultNetworkName = file?.value(inAnyCase: "name")?.string
    clusterName = try reader.text("cluster-name") ?? clusterName
    metaPlugin = try reader.text("meta-plugin") ?? metaPlugin
    mode = try reader.word("mode") ?? mode
    vifType = try reader.word("vif-type") ?? vifType
    parentInterface = try reader.text("parent-interface") ?? parentInterface
    mtu = UInt32(clamping: try reader.number("mtu", 68...65535) ?? Int(mtu))
    mesosIP = try reader.address("mesos-ip")
    mesosPort = try reader.portText("mesos-port")
    logFile = try reader.text("log-file") ?? logFile
    logLevel = try reader.text("log-level") ?? logLevel
    server = try reader.address("vrouter-ip") ?? server
    port = UInt16(clamping: try reader.number("vrouter-port", 1...65535) ?? Int(port))
    directory = try reader.directory("config-dir") ?? directory
    pollMilliseconds = try reader.milliseconds("poll-timeout") ?? pollMilliseconds
    pollRetries = try reader.number("poll-retries", 1...10_000) ?? pollRetries
    addMilliseconds = try reader.milliseconds("add-timeout") ?? defaultAddMilliseconds
    isMeta = try reader.flag("meta-mode")
    ipv6PrefixLength = try reader.number("v6-prefix-length", 1...128) ?? ipv6PrefixLength
    skipsDAD = try reader.skipsDAD() ?? skipsDAD
  }

  /// The first usable file of the node.
  ///
  /// A directory that is missing or has none is passed over, a file that is no JSON
  /// object is an error.
  ///
  /// - Throws: code 5 if the file cannot be read, 6 if it is no JSON object.
  package static func file(
    in directories: [String] = configurationDirectories
  ) throws(CNIError) -> JSONObject? {
    for directory in directories {
      let names = ((try? Files.list(directory)) ?? []).filter { name in
        configurationFiles.contains { name.utf8.reversed().starts(with: $0.utf8.reversed()) }
      }
      guard let name = names.min(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) else {
        continue
      }
      return try JSONObject.inFile("\(directory)/\(name)")
    }
    return nil
  }
}

/// The objects `contrail` of several documents; the first that has a key counts.
private struct Layers {
  private let readers: [MemberReader]
  private let isLenient: Bool

  init(_ documents: [JSONObject], _ strictness: ContrailCni.Strictness) throws(CNIError) {
    isLenient = strictness == .lenient
    let dialect = CNIMembers(invalid: .invalidConfiguration)
    var readers: [MemberReader] = []
    for document in documents {
      let reader = MemberReader(document, dialect, keys: ContrailCni.keys)
      guard let member = reader.member("contrail") else { continue }
      do throws(CNIError) {
        readers.append(try member.reader())
      } catch {
        if !isLenient { throw error }
      }
    }
    self.readers = readers
  }

  /// The first value of a key that can be read.
  private func first<T>(
    _ key: String, _ read: (Member<CNIMembers>) throws(CNIError) -> T
  ) throws(CNIError) -> T? {
    for reader in readers {
      guard let member = reader.member(key) else { continue }
      do throws(CNIError) {
        return try read(member)
      } catch {
        if !isLenient { throw error }
      }
    }
    return nil
  }

  /// As `first`, for texts; an empty text is the default.
  private func firstText<T>(
    _ key: String, _ read: (String, Member<CNIMembers>) throws(CNIError) -> T
  ) throws(CNIError) -> T? {
    try first(key) { member throws(CNIError) -> T? in
      let text = try member.string()
      return text.isEmpty ? nil : try read(text, member)
    } ?? nil
  }

  func text(_ key: String) throws(CNIError) -> String? {
    try first(key) { member throws(CNIError) in try member.string() }
  }

  func flag(_ key: String) throws(CNIError) -> Bool? {
    try first(key) { member throws(CNIError) in try member.flag() }
  }

  /// One of a few words.
  func word<Word>(_ key: String) throws(CNIError) -> Word?
  where Word: RawRepresentable<String> & CaseIterable {
    try firstText(key) { text, member throws(CNIError) in
      guard let word = Word(rawValue: text) else {
        let words = Word.allCases.map(\.rawValue).joined(separator: ", ")
        throw member.invalid("\(goQuoted(text)) is none of \(words)")
      }
      return word
    }
  }

  func number(_ key: String, _ range: ClosedRange<Int>) throws(CNIError) -> Int? {
    try first(key) { member throws(CNIError) in
      let number = try member.integer()
      guard range.contains(number) else {
        throw member.invalid("\(number) is not from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }
  }

  /// Seconds, also parts of one, as milliseconds.
  func milliseconds(_ key: String) throws(CNIError) -> Int? {
    try first(key) { member throws(CNIError) in
      guard let text = member.value.number?.text, let seconds = Double(text) else {
        throw member.mismatch("a number of seconds")
      }
      guard (0...3600).contains(seconds) else {
        throw member.invalid("\(text) is not from 0 to 3600")
      }
      return Int(exactly: (seconds * 1000).rounded()) ?? 0
    }
  }

  /// A literal address: a static program resolves no names.
  func address(_ key: String) throws(CNIError) -> IPAddress? {
    try firstText(key) { text, member throws(CNIError) in
      guard let address = IPAddress(text) else {
        throw member.invalid("\(goQuoted(text)) is no IP address")
      }
      return address
    }
  }

  /// A port that is written as a string.
  func portText(_ key: String) throws(CNIError) -> UInt16? {
    try first(key) { member throws(CNIError) -> UInt16? in
      guard let text = member.value.string ?? member.value.number?.text else {
        throw member.mismatch("a string")
      }
      if text.isEmpty { return nil }
      guard let port = UInt16(text), port > 0 else {
        throw member.invalid("\(goQuoted(text)) is no port")
      }
      return port
    } ?? nil
  }

  func directory(_ key: String) throws(CNIError) -> String? {
    try firstText(key) { text, member throws(CNIError) in
      guard text.utf8.first == 0x2F, !text.utf8.contains(0) else {
        throw member.invalid("\(goQuoted(text)) is no absolute path")
      }
      return text
    }
  }

  func skipsDAD() throws(CNIError) -> Bool? {
    try first("dad") { member throws(CNIError) in try member.skipsDAD() }
  }
}
