import HTTP
import JSON
import Linux

/// The agent's bytes made fit for one line of a message or a log.
enum AgentText {
  /// The text of an answer that refuses: `{"error":"{ TEXT }"}`, or the beginning of whatever it
  /// is.
  static func reason(_ body: [UInt8]) -> String {
    guard let text = (try? JSONValue.parse(body))?["error"]?.string else {
      return line(body, limit: 300)
    }
    var bytes = Array(text.utf8)[...]
    if bytes.first == UInt8(ascii: "{"), bytes.last == UInt8(ascii: "}"), bytes.count > 1 {
      bytes = bytes.dropFirst().dropLast()
    }
    return line(bytes, limit: 1000)
  }

  /// At most so many bytes on one line: every run of blanks, line ends and control
  /// characters is one blank.
  static func line(_ bytes: some Collection<UInt8>, limit: Int) -> String {
    var text: [UInt8] = []
    var isBlank = true
    for byte in bytes {
      if text.count >= limit {
        text += Array("…".utf8)
        break
      }
      if byte <= 0x20 || byte == 0x7F {
        if !isBlank { text.append(0x20) }
        isBlank = true
      } else {
        text.append(byte)
        isBlank = false
      }
    }
    if text.last == 0x20 { text.removeLast() }
    return String(decoding: text, as: UTF8.self)
  }
}

/// Where the lines about requests go, until it is closed.
final class RequestLog: Sendable {
  private let sink: Mutex<(@Sendable (String) -> Void)?>

  init(_ sink: @escaping @Sendable (String) -> Void) { self.sink = Mutex(sink) }

  func close() { sink.withLock { $0 = nil } }

  func write(_ line: String) {
    // Called outside the lock: it may take its time.
    sink.withLock { $0 }?(line)
  }

  /// Writes what was asked, what came of it and how long it took; long bodies are cut.
  func write(_ request: HTTPRequest, _ outcome: String, since start: UInt64, answer: [UInt8]) {
    let milliseconds = (KernelClock.monotonic &- start) / 1_000_000
    let body = AgentText.line(request.body, limit: 2048)
    let text = AgentText.line(answer, limit: 2048)
    write(
      "\(request.method) \(request.target)" + (body.isEmpty ? "" : " \(body)")
        + ": \(outcome) in \(milliseconds) ms" + (text.isEmpty ? "" : ": \(text)"))
  }
}
