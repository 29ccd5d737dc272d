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

  /// Puts a new configuration in force, except the keys that cannot change while the daemon runs.
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
          key.description.copy(current, &next)
        } else {
          change.effective.append(key)
        }
      }
      current = next
      return change
    }
  }
}

extension Configuration {
  /// The keys whose values differ, in the order of the documentation.
  package func difference(from other: Configuration) -> [Key] {
    Key.allCases.filter { !$0.description.hasSame(self, other) }
  }
}
