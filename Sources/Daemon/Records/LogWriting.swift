package import PluginKit

/// What a field of a log line may be.
package protocol LogValue: Sendable {
  /// Its text.
  var logText: String { get }
  /// Whether the text is a number of JSON.
  var isNumber: Bool { get }
}

extension String: LogValue {
  package var logText: String { self }
  package var isNumber: Bool { false }
}

extension Int: LogValue {
  package var logText: String { "\(self)" }
  package var isNumber: Bool { true }
}

extension UInt64: LogValue {
  package var logText: String { "\(self)" }
  package var isNumber: Bool { true }
}

/// A span of time as a field: milliseconds with three places.
package struct Milliseconds: LogValue {
  private let microseconds: UInt64

  package init(nanoseconds: UInt64) { microseconds = nanoseconds / 1000 }

  package var logText: String {
    let rest = "\(microseconds % 1000)"
    return "\(microseconds / 1000)." + String(repeating: "0", count: 3 - rest.utf8.count) + rest
  }
  package var isNumber: Bool { true }
}

/// Takes log lines.
///
/// The daemon's log is one; this module does not know how that is set up.
package protocol LogWriting: Sendable {
  /// Writes a line: one sentence, and what it is about, in order.
  func write(_ level: LogLevel, _ message: String, _ fields: [(String, any LogValue)])
}

extension LogWriting {
  /// The same where every field is a text.
  package func write(_ level: LogLevel, _ message: String, _ fields: [(String, String)]) {
    let values: [(String, any LogValue)] = fields.map { ($0.0, $0.1) }
    write(level, message, values)
  }
}
