import Linux

/// The shim's log: lines `<time> [<level>] text` on standard error and in a file.
package struct ShimLog: Sendable {
  /// How important a line is.
  package enum Level: Int, Sendable, Comparable {
    /// Something failed.
    case error
    /// Something is odd and was dealt with.
    case warning
    /// What an operator wants to know of normal work.
    case info
    /// Everything.
    case debug

    /// The level of a name, Multus' names included; an unknown name is `warning`.
    package init(name: String) {
      let known: [(String, Level)] = [
        ("panic", .error), ("error", .error), ("warning", .warning), ("verbose", .info),
        ("info", .info), ("debug", .debug),
      ]
      self = known.first { $0.0.utf8.elementsEqual(name.utf8) }?.1 ?? .warning
    }

    /// The name in log lines.
    var name: String {
      switch self {
      case .error: "error"
      case .warning: "warning"
      case .info: "info"
      case .debug: "debug"
      }
    }

    /// Errors come first.
    package static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }
  }

  private let configuration: ShimConfiguration
  /// What goes to standard error at the end.
  private(set) var lines: [UInt8] = []

  init(_ configuration: ShimConfiguration) { self.configuration = configuration }

  /// Writes a line; a file that cannot be written is no reason to fail.
  mutating func write(_ level: Level, _ text: String) {
    guard level <= configuration.logLevel else { return }
    let time = Timestamp(nanoseconds: KernelClock.real)
    let line = Array("\(time) [\(level.name)] ".utf8) + Self.harmless(text) + [0x0A]
    if configuration.logToStandardError { lines += line }
    guard let path = configuration.logFile else { return }
    do throws(SystemError) {
      // A pipe that nobody reads must not hold up the call.
      try Files.write(path, line, mode: [.write, .create, .append, .nonBlocking])
    } catch {
      lines += Array("\(time) [error] \(error)\n".utf8)
    }
  }

  /// The text without control characters, so that nothing from outside forges a line.
  private static func harmless(_ text: String) -> [UInt8] {
    text.utf8.map { $0 < 0x20 || $0 == 0x7F ? 0x20 : $0 }
  }
}
