import Linux

/// The configuration in force, which a reload replaces for the requests to come.
package final class ConfigurationHolder: Sendable {
  /// What a new configuration changes.
  package struct Change: Equatable, Sendable {
    /// Keys that took effect.
    package var effective: [Configuration.Key] = []
    /// Keys that differ but need a restart.
    package var needingRestart: [Configuration.Key] = []

    /// No change.
    package init() {}
  }

  private let state: Mutex<Configuration>

  /// Begins with the configuration of the start.
  package init(_ configuration: Configuration) { state = Mutex(configuration) }

  /// The configuration in force.
  package var current: Configuration { state.withLock { $0 } }

  /// Puts a new configuration in force, but for the keys that cannot change while the daemon runs.
  ///
  /// - Parameter new: what was read.
  /// - Returns: what it changes.
  package func replace(with new: Configuration) -> Change {
    state.withLock { current in
      let difference = current.difference(from: new)
      var change = Change()
      var next = new
      for key in difference {
        if key.isFixedAtStart {
          change.needingRestart.append(key)
          next.keep(key, of: current)
        } else {
          change.effective.append(key)
        }
      }
      current = next
      return change
    }
  }
}

extension Configuration.Key {
  /// Whether the key is read at the start only: what it names is open or held while the daemon lives.
  package var isFixedAtStart: Bool {
    switch self {
    case .socketDir, .sockets, .stateDir, .dataDir, .healthAddress, .logFile, .logFormat: true
    case .defaultPlugin, .binDirs, .maxConcurrent, .maxQueued, .requestTimeout, .orphanGrace,
      .podCIDR, .logLevel, .overrides, .plugins:
      false
    }
  }
}

extension Configuration {
  /// The keys whose values differ, in the order of the documentation.
  package func difference(from other: Configuration) -> [Key] {
    Key.allCases.filter { !hasSame($0, as: other) }
  }

  private func hasSame(_ key: Key, as other: Configuration) -> Bool {
    switch key {
    case .socketDir: socketDirectory == other.socketDirectory
    case .sockets: sockets == other.sockets
    case .stateDir: stateDirectory == other.stateDirectory
    case .defaultPlugin: defaultPlugin == other.defaultPlugin
    case .binDirs: binDirectories == other.binDirectories
    case .dataDir: dataDirectory == other.dataDirectory
    case .maxConcurrent: maximumConcurrent == other.maximumConcurrent
    case .maxQueued: maximumQueued == other.maximumQueued
    case .requestTimeout: requestTimeout == other.requestTimeout
    case .orphanGrace: orphanGrace == other.orphanGrace
    case .healthAddress: healthAddress == other.healthAddress
    case .podCIDR: podCIDR == other.podCIDR
    case .logLevel: logLevel == other.logLevel
    case .logFormat: logFormat == other.logFormat
    case .logFile: logFile == other.logFile
    case .overrides: overrides == other.overrides
    case .plugins: plugins == other.plugins
    }
  }

  /// Takes back the value of a key that is fixed at the start.
  fileprivate mutating func keep(_ key: Key, of other: Configuration) {
    switch key {
    case .socketDir: socketDirectory = other.socketDirectory
    case .sockets: sockets = other.sockets
    case .stateDir: stateDirectory = other.stateDirectory
    case .dataDir: dataDirectory = other.dataDirectory
    case .healthAddress: healthAddress = other.healthAddress
    case .logFormat: logFormat = other.logFormat
    case .logFile: logFile = other.logFile
    case .defaultPlugin, .binDirs, .maxConcurrent, .maxQueued, .requestTimeout, .orphanGrace,
      .podCIDR, .logLevel, .overrides, .plugins:
      break
    }
  }
}
