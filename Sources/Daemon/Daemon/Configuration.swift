package import Addresses
package import JSON
import Linux
package import PluginKit

/// The daemon's configuration, `cnid.json`.
///
/// Every key is optional; an unknown key, a wrong type or a bad value is one error that names the key.
package struct Configuration: Equatable, Sendable {
  /// How log lines are written.
  package enum LogFormat: String, Sendable, CaseIterable {
    /// For people.
    case text
    /// One JSON object a line.
    case json
  }

  /// `socketDir`: where `cnid.sock` is made.
  package var socketDirectory = "/run/cnid"
  /// `sockets`: further paths that are served alike.
  package var sockets: [String] = []
  /// `stateDir`: where records are kept.
  package var stateDirectory = "/var/lib/cnid"
  /// `defaultPlugin`: serves configurations whose `type` no plugin has.
  package var defaultPlugin: String?
  /// `binDirs`: where programs of plugins are looked for before the request's CNI_PATH.
  package var binDirectories = ["/opt/cni/bin", "/usr/lib/cni"]
  /// `dataDir`: where host-local keeps its leases.
  package var dataDirectory = "/var/lib/cni/networks"
  /// `maxConcurrent`: how many calls run at once.
  package var maximumConcurrent = 16
  /// `maxQueued`: how many calls may wait.
  package var maximumQueued = 512
  /// `requestTimeout`: seconds that a call may take.
  package var requestTimeout = 90
  /// `orphanGrace`: seconds after which the attachment of a dead namespace is removed.
  package var orphanGrace = 600
  /// `healthAddress`: IP literal and port that also serve the probes.
  package var healthAddress: SocketAddress?
  /// `podCIDR`: the node's pod network, told to the plugins as kubelet's event.
  package var podCIDR: IPNetwork?
  /// `logLevel`.
  package var logLevel = LogLevel.info
  /// `logFormat`.
  package var logFormat = LogFormat.text
  /// `logFile`: appended to instead of standard error.
  package var logFile: String?
  /// `overrides`: merged over each request's configuration, key by key; null takes a key away.
  package var overrides = JSONObject()
  /// `plugins`: for each plugin's name the keys that a request's configuration may leave out.
  package var plugins: [String: JSONObject] = [:]

  /// An IP literal and a port.
  package struct SocketAddress: Equatable, Sendable {
    /// The address.
    package let address: IPAddress
    /// The port.
    package let port: UInt16

    /// Reads `127.0.0.1:9090` or `[::1]:9090`.
    package init?(_ text: String) {
      guard let colon = text.utf8.lastIndex(of: 0x3A) else { return nil }
      var host = text[..<colon]
      if host.hasPrefix("["), host.hasSuffix("]") {
        host = host.dropFirst().dropLast()
      } else if host.utf8.contains(0x3A) {
        return nil
      }
      let digits = text[text.utf8.index(after: colon)...]
      guard let address = IPAddress(String(host)),
        digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
        let port = UInt16(digits)
      else { return nil }
      self.address = address
      self.port = port
    }
  }

  /// The keys of the file.
  package enum Key: String, CaseIterable, Sendable {
    case socketDir, sockets, stateDir, defaultPlugin, binDirs, dataDir, maxConcurrent, maxQueued
    case requestTimeout, orphanGrace, healthAddress, podCIDR, logLevel, logFormat, logFile
    case overrides, plugins
  }

  /// The defaults.
  package init() {}

  /// Socket path of the daemon, `cnid.sock` in `socketDir`.
  package var socketPath: String { socketDirectory + "/cnid.sock" }
}

/// What is wrong with a configuration file: the key, and why.
package struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The key with its path, `plugins.macvlan`; empty for the file as a whole.
  package let key: String
  /// What is wrong with it.
  package let fault: String

  init(_ key: String, _ fault: String) {
    self.key = key
    self.fault = fault
  }

  /// `key: fault`.
  package var description: String { key.isEmpty ? fault : "\(key): \(fault)" }
}

extension Configuration {
  /// Reads a configuration file's bytes.
  package init(parsing bytes: [UInt8]) throws(ConfigurationError) {
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(bytes)
    } catch {
      throw ConfigurationError("", "not JSON: \(error)")
    }
    guard let object = value.object else { throw ConfigurationError("", "must be a JSON object") }
    self.init()
    var seen: Set<[UInt8]> = []
    for member in object.members {
      guard seen.insert(Array(member.key.utf8)).inserted else {
        throw ConfigurationError(member.key, "is given twice")
      }
      try set(member.key, Setting(key: member.key, value: member.value))
    }
  }

  private mutating func set(_ name: String, _ setting: Setting) throws(ConfigurationError) {
    guard let key = Key(rawValue: name) else {
      throw ConfigurationError(name, "unknown key; cnid --help lists the keys")
    }
    switch key {
    case .socketDir: socketDirectory = try setting.path()
    case .sockets: sockets = try setting.paths()
    case .stateDir: stateDirectory = try setting.path()
    case .defaultPlugin: defaultPlugin = try setting.optional?.text()
    case .binDirs: binDirectories = try setting.paths()
    case .dataDir: dataDirectory = try setting.path()
    case .maxConcurrent: maximumConcurrent = try setting.integer(in: 1...256)
    case .maxQueued: maximumQueued = try setting.integer(in: 0...65_536)
    case .requestTimeout: requestTimeout = try setting.integer(in: 1...3600)
    case .orphanGrace: orphanGrace = try setting.integer(in: 0...604_800)
    case .healthAddress: healthAddress = try setting.optional?.socketAddress()
    case .podCIDR: podCIDR = try setting.optional?.network()
    case .logLevel: logLevel = try setting.choice(LogLevel.allCases, name: \.name)
    case .logFormat: logFormat = try setting.choice(LogFormat.allCases, name: \.rawValue)
    case .logFile: logFile = try setting.optional?.path()
    case .overrides: overrides = try setting.object()
    case .plugins: plugins = try setting.objects()
    }
  }
}

/// One key's value, with what may be asked of it.
private struct Setting {
  let key: String
  let value: JSONValue

  /// Nil for null, which is the same as no key where there is no default.
  var optional: Setting? { value.isNull ? nil : self }

  func text() throws(ConfigurationError) -> String {
    guard let text = value.string, !text.isEmpty else {
      throw ConfigurationError(key, "must be a string that is not empty")
    }
    return text
  }

  func path() throws(ConfigurationError) -> String {
    let text = try text()
    guard text.utf8.first == 0x2F, !text.utf8.contains(0) else {
      throw ConfigurationError(key, "must be an absolute path")
    }
    return text
  }

  func paths() throws(ConfigurationError) -> [String] {
    guard let list = value.array else {
      throw ConfigurationError(key, "must be an array of absolute paths")
    }
    var paths: [String] = []
    for (index, entry) in list.enumerated() {
      paths.append(try Setting(key: "\(key)[\(index)]", value: entry).path())
    }
    return paths
  }

  func integer(in range: ClosedRange<Int>) throws(ConfigurationError) -> Int {
    guard let number = value.int, range.contains(number) else {
      throw ConfigurationError(
        key, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  func object() throws(ConfigurationError) -> JSONObject {
    guard let object = value.object else { throw ConfigurationError(key, "must be an object") }
    return object
  }

  func objects() throws(ConfigurationError) -> [String: JSONObject] {
    var objects: [String: JSONObject] = [:]
    for member in try object().members {
      let path = "\(key).\(member.key)"
      guard objects[member.key] == nil else { throw ConfigurationError(path, "is given twice") }
      objects[member.key] = try Setting(key: path, value: member.value).object()
    }
    return objects
  }

  func socketAddress() throws(ConfigurationError) -> Configuration.SocketAddress {
    guard let address = Configuration.SocketAddress(try text()) else {
      throw ConfigurationError(key, "must be an IP address and a port, such as 127.0.0.1:9090")
    }
    return address
  }

  func network() throws(ConfigurationError) -> IPNetwork {
    guard let network = IPNetwork(try text()) else {
      throw ConfigurationError(key, "must be a network such as 10.1.2.0/24")
    }
    return network
  }

  func choice<T>(_ all: [T], name: (T) -> String) throws(ConfigurationError) -> T {
    let text = value.string
    guard let chosen = all.first(where: { name($0) == text }) else {
      throw ConfigurationError(key, "must be one of \(all.map(name).joined(separator: ", "))")
    }
    return chosen
  }
}
