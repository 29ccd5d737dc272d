import Addresses
import JSON
import PluginKit

extension Configuration {
  /// All that is particular to one key of the file.
  ///
  /// Parsing, reload, `--help` and the tests of the shipped file and of the documentation go by it.
  package struct KeyDescription: Sendable {
    /// What the key is for, in one line.
    package let summary: String
    package let isFixedAtStart: Bool
    let set: @Sendable (inout Configuration, Setting) throws(ConfigurationError) -> Void
    let hasSame: @Sendable (Configuration, Configuration) -> Bool
    let copy: @Sendable (Configuration, inout Configuration) -> Void

    fileprivate init<Value: Equatable & Sendable>(
      _ path: any WritableKeyPath<Configuration, Value> & Sendable, _ type: SettingType<Value>,
      _ summary: String, isFixedAtStart: Bool = false
    ) {
      self.summary = summary
      self.isFixedAtStart = isFixedAtStart
      set = { configuration, setting throws(ConfigurationError) in
        configuration[keyPath: path] = try type.read(setting)
      }
      hasSame = { $0[keyPath: path] == $1[keyPath: path] }
      copy = { $1[keyPath: path] = $0[keyPath: path] }
    }

    fileprivate init<Value: Equatable & Sendable>(
      fixed path: any WritableKeyPath<Configuration, Value> & Sendable,
      _ type: SettingType<Value>, _ summary: String
    ) {
      self.init(path, type, summary, isFixedAtStart: true)
    }
  }
}

extension Configuration.Key {
  /// The table of keys.
  package var description: Configuration.KeyDescription {
    switch self {
    case .socketDir: .init(fixed: \.socketDirectory, .path, "where cnid.sock is created")
    case .sockets:
      .init(fixed: \.sockets, .array("absolute paths", of: .path), "further paths, served alike")
    case .stateDir: .init(fixed: \.stateDirectory, .path, "records of attachments")
    case .defaultPlugin:
      .init(\.defaultPlugin, .optional(.text), "serves networks whose type no plugin has")
    case .binDirs:
      .init(
        \.binDirectories, .array("absolute paths", of: .path),
        "programs of plugins, searched before CNI_PATH")
    case .hostRoot:
      .init(
        fixed: \.hostRoot, .optional(.path),
        "where the host is mounted; programs are looked for and run below it")
    case .dataDir: .init(fixed: \.dataDirectory, .path, "host-local's leases")
    case .allowedPaths:
      .init(
        \.allowedPaths, .array("absolute paths", of: .path),
        "further directories that networks may name")
    case .networkDirs:
      .init(
        \.networkDirectories, .array("absolute paths", of: .path),
        "directories of networks that are known by name")
    case .maxConcurrent: .init(\.maximumConcurrent, .integer(1...256), "calls that run at once")
    case .maxQueued:
      .init(\.maximumQueued, .integer(0...65_536), "calls that wait; the rest gets code 11")
    case .requestTimeout:
      .init(\.requestTimeout, .integer(1...3600), "seconds that a call may take")
    case .orphanGrace:
      .init(
        \.orphanGrace, .integer(0...604_800),
        "seconds until a dead namespace's attachments are removed")
    case .healthAddress:
      .init(
        fixed: \.healthAddress,
        .optional(
          .text("an IP address and a port, such as 127.0.0.1:9410") {
            Configuration.SocketAddress($0)
          }), "IP address and port that serve the probes too")
    case .podCIDR:
      .init(
        \.podCIDR, .optional(.text("a network such as 10.1.2.0/24") { IPNetwork(forPods: $0) }),
        "the node's pod network, for ipam.type pod-cidr")
    case .logLevel: .init(\.logLevel, .word(LogLevel.allCases) { $0.name }, "how much is logged")
    case .logFormat:
      .init(
        fixed: \.logFormat, .word(Configuration.LogFormat.allCases) { $0.rawValue },
        "text or json")
    case .logFile:
      .init(fixed: \.logFile, .optional(.path), "a file instead of standard error")
    case .overrides:
      .init(\.overrides, .object, "put over each network's configuration; null removes a key")
    case .plugins:
      .init(\.plugins, .objects, "for each plugin, keys that networks may leave out")
    }
  }

  /// Whether the key is read at the start only: what it names is open or held while the daemon
  /// lives.
  package var isFixedAtStart: Bool { description.isFixedAtStart }
}

extension IPNetwork {
  /// A network that pods can have addresses of: without host bits, and with room for some.
  fileprivate init?(forPods text: String) {
    guard let network = IPNetwork(text), network == network.masked,
      network.prefixLength <= (network.family == .v4 ? 30 : 126)
    else { return nil }
    self = network
  }
}
