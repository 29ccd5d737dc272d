import CNI
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
  ///
  /// The file's name comes from whoever wrote the network, who need not be root (`LogFile`).
  mutating func write(_ level: Level, _ text: String) {
    guard level <= configuration.logLevel else { return }
    let line = Self.line(level, text)
    if configuration.logToStandardError { lines += line }
    guard let path = configuration.logFile else { return }
    do throws(SystemError) {
      try LogFile(path).append(line)
    } catch {
      lines += Self.line(.error, "logFile: \(error)")
    }
  }

  private static func line(_ level: Level, _ text: String) -> [UInt8] {
    let time = Timestamp(nanoseconds: KernelClock.real)
    return Array("\(time) [\(level.name)] \(harmless(text))\n".utf8)
  }
}
