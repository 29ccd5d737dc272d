package import PluginKit

/// Takes log lines.
///
/// The daemon's log is one; this module does not know how that is set up.
package protocol LogWriting: Sendable {
  /// Writes a line: one sentence, and what it is about, in order.
  func write(_ level: LogLevel, _ message: String, _ fields: [(String, String)])
}
