import Addresses
package import CNI
package import JSON
import Linux

extension ContrailCni {
  /// What happens when a value cannot be read.
  package enum Strictness: Sendable {
    /// It is an error.
    case strict
    /// The next value of the same key counts, so that no slip keeps a DEL from its work.
    case lenient
  }

  /// Reads a network configuration and the file on the node.
  ///
  /// - Parameters:
  ///   - configuration: the network configuration.
  ///   - file: the file's object; nil if there is none.
  ///   - strictness: what happens when a value cannot be read.
  /// - Throws: code 6 for a value of a wrong type, 7 for one that is not valid; each names the key.
  package init(
    _ configuration: NetworkConfiguration, _ file: JSONObject?, _ strictness: Strictness
  ) throws(CNIError) {
    self.init()
    let layers = [configuration.object, file].compactMap { $0 }
    let reader = try Layers(layers, strictness)
    networkName = configuration.name
    defaultNetworkName = file?["name"]?.string
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
    skipsDAD = try reader.skipsDAD()
  }

  /// The first usable file of the node.
  ///
  /// A directory that is missing or has none is passed over, a file that is no JSON object is an error.
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
      let path = "\(directory)/\(name)"
      let bytes = try mapped("failed to read \(path)") { () throws(SystemError) in
        try Files.read(path, limit: 1 << 20)
      }
      guard let object = (try? JSONValue.parse(bytes))?.object else {
        throw CNIError(.decodingFailure, "\(path): not a JSON object")
      }
      return object
    }
    return nil
  }

  private static func mapped<T>(
    _ message: String, _ body: () throws(SystemError) -> T
  ) throws(CNIError) -> T {
    do throws(SystemError) {
      return try body()
    } catch {
      throw CNIError(.ioFailure, message, details: error.description)
    }
  }
}

/// The objects `contrail` of several documents; the first that has a key counts.
private struct Layers {
  private let objects: [JSONObject]
  private let isLenient: Bool

  init(_ documents: [JSONObject], _ strictness: ContrailCni.Strictness) throws(CNIError) {
    isLenient = strictness == .lenient
    var objects: [JSONObject] = []
    for document in documents {
      guard let value = Layers.value("contrail", in: document) else { continue }
      if let object = value.object {
        objects.append(object)
      } else if !isLenient {
        throw CNIError(
          .decodingFailure, "contrail: \(value.kind) found where an object belongs")
      }
    }
    self.objects = objects
  }

  /// Keys match in any case and `null` is as absent, as in Go.
  private static func value(_ key: String, in object: JSONObject) -> JSONValue? {
    if let exact = object[key], !exact.isNull { return exact }
    return object.members.last { $0.key.lowercased() == key && !$0.value.isNull }?.value
  }

  /// The first value of a key that can be read.
  private func first<T>(
    _ key: String, _ read: (JSONValue) throws(CNIError) -> T
  ) throws(CNIError) -> T? {
    for object in objects {
      guard let value = Layers.value(key, in: object) else { continue }
      do throws(CNIError) {
        return try read(value)
      } catch {
        if !isLenient { throw error }
      }
    }
    return nil
  }

  private func mismatch(_ key: String, _ value: JSONValue, _ expected: String) -> CNIError {
    CNIError(
      .decodingFailure, "contrail.\(key): \(value.kind) found where \(expected) belongs")
  }

  private func invalid(_ key: String, _ reason: String) -> CNIError {
    CNIError(.invalidConfiguration, "contrail.\(key): \(reason)")
  }

  func text(_ key: String) throws(CNIError) -> String? {
    try first(key) { value throws(CNIError) in
      guard let text = value.string else { throw mismatch(key, value, "a string") }
      return text
    }
  }

  /// One of a few words; an empty one is the default.
  func word<Word>(_ key: String) throws(CNIError) -> Word?
  where Word: RawRepresentable<String> & CaseIterable {
    try first(key) { value throws(CNIError) -> Word? in
      guard let text = value.string else { throw mismatch(key, value, "a string") }
      if text.isEmpty { return nil }
      guard let word = Word(rawValue: text) else {
        let words = Word.allCases.map(\.rawValue).joined(separator: ", ")
        throw invalid(key, "\(goQuoted(text)) is none of \(words)")
      }
      return word
    } ?? nil
  }

  func number(_ key: String, _ range: ClosedRange<Int>) throws(CNIError) -> Int? {
    try first(key) { value throws(CNIError) in
      guard let number = value.int else { throw mismatch(key, value, "a whole number") }
      guard range.contains(number) else {
        throw invalid(key, "\(number) is not from \(range.lowerBound) to \(range.upperBound)")
      }
      return number
    }
  }

  func flag(_ key: String) throws(CNIError) -> Bool? {
    try first(key) { value throws(CNIError) in
      guard let flag = value.bool else { throw mismatch(key, value, "true or false") }
      return flag
    }
  }

  /// Seconds, also parts of one, as milliseconds.
  func milliseconds(_ key: String) throws(CNIError) -> Int? {
    try first(key) { value throws(CNIError) in
      guard let text = value.number?.text, let seconds = Double(text) else {
        throw mismatch(key, value, "a number of seconds")
      }
      guard (0...3600).contains(seconds) else {
        throw invalid(key, "\(text) is not from 0 to 3600")
      }
      return Int(exactly: (seconds * 1000).rounded()) ?? 0
    }
  }

  /// A literal address: a static program resolves no names.
  func address(_ key: String) throws(CNIError) -> IPAddress? {
    try first(key) { value throws(CNIError) -> IPAddress? in
      guard let text = value.string else { throw mismatch(key, value, "a string") }
      if text.isEmpty { return nil }
      guard let address = IPAddress(text) else {
        throw invalid(key, "\(goQuoted(text)) is no IP address")
      }
      return address
    } ?? nil
  }

  /// A port that is written as a string.
  func portText(_ key: String) throws(CNIError) -> UInt16? {
    try first(key) { value throws(CNIError) -> UInt16? in
      guard let text = value.string ?? value.number?.text else {
        throw mismatch(key, value, "a string")
      }
      if text.isEmpty { return nil }
      guard let port = UInt16(text), port > 0 else {
        throw invalid(key, "\(goQuoted(text)) is no port")
      }
      return port
    } ?? nil
  }

  func directory(_ key: String) throws(CNIError) -> String? {
    try first(key) { value throws(CNIError) -> String? in
      guard let text = value.string else { throw mismatch(key, value, "a string") }
      if text.isEmpty { return nil }
      guard text.utf8.first == 0x2F, !text.utf8.contains(0) else {
        throw invalid(key, "\(goQuoted(text)) is no absolute path")
      }
      return text
    } ?? nil
  }

  func skipsDAD() throws(CNIError) -> Bool {
    try first("dad") { value throws(CNIError) in
      switch value.string {
      case "", "wait": return false
      case "skip": return true
      default: throw invalid("dad", "must be \"wait\" or \"skip\"")
      }
    } ?? false
  }
}
