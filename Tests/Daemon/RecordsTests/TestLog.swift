import Linux
import PluginKit
import Records

/// A log that keeps its lines.
final class TestLog: LogWriting {
  private let written = Mutex<[String]>([])

  func write(_ level: LogLevel, _ message: String, _ fields: [(String, any LogValue)]) {
    let line = "\(level.name) \(message)" + fields.map { " \($0.0)=\($0.1.logText)" }.joined()
    written.withLock { $0.append(line) }
  }

  var lines: [String] { written.withLock { $0 } }
  var text: String { lines.joined(separator: "\n") }
}
