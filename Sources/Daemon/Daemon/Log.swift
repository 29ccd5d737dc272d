import JSON
import Linux
package import PluginKit
package import Records

/// Writes log lines to standard error or a file, one write(2) a line.
///
/// Nothing from outside can forge a line: control characters come out escaped.
package final class Log: LogWriting {
  /// Lines below are left out.
  private let threshold: Mutex<LogLevel>
  private let format: Configuration.LogFormat
  private let descriptor: Int32
  private let file: FileHolder?
  /// Lines that could not be written since the last one that could.
  private let lost = Mutex(0)

  private final class FileHolder: Sendable {
    let file: FileDescriptor
    init(_ file: consuming FileDescriptor) { self.file = file }
  }

  /// Opens the log of a configuration.
  package init(_ configuration: Configuration) throws(StartError) {
    threshold = Mutex(configuration.logLevel)
    format = configuration.logFormat
    if let path = configuration.logFile {
      let holder = FileHolder(
        try starting("logFile") { () throws(SystemError) in
          // Opening a pipe that nobody reads would wait for ever.
          try Files.open(path, [.write, .create, .append, .nonBlocking])
        })
      let status = try starting("logFile") { () throws(SystemError) in
        try Files.status(holder.file)
      }
      guard status.kind == .regular else {
        throw StartError("logFile \(path): it is not a regular file; name another one")
      }
      file = holder
      descriptor = holder.file.rawValue
    } else {
      file = nil
      descriptor = 2
    }
  }

  /// Writes to a descriptor of the caller's instead.
  init(_ configuration: Configuration, to descriptor: Int32) {
    threshold = Mutex(configuration.logLevel)
    format = configuration.logFormat
    file = nil
    self.descriptor = descriptor
  }

  /// Changes which lines are left out.
  package func setLevel(_ level: LogLevel) { threshold.withLock { $0 = level } }

  /// Writes a line.
  ///
  /// - Parameters:
  ///   - level: lines below the configured level are left out.
  ///   - message: one sentence.
  ///   - fields: what it is about, in order.
  package func write(_ level: LogLevel, _ message: String, _ fields: [(String, String)] = []) {
    guard level <= threshold.withLock({ $0 }) else { return }
    let time = Timestamp(nanoseconds: KernelClock.real).description
    var line: [UInt8]
    switch format {
    case .text:
      var text = "\(time) \(level.name) \(Self.harmless(message))"
      for (name, value) in fields where !value.isEmpty { text += " \(name)=\(Self.quoted(value))" }
      line = Array(text.utf8)
    case .json:
      let members = [("time", time), ("level", level.name), ("msg", message)] + fields
      line = JSONValue.object(JSONObject(members.map { ($0.0, JSONValue.string($0.1)) })).encoded()
    }
    line.append(0x0A)
    put(line)
  }

  /// Writes a line, if it can do so without waiting.
  ///
  /// A reader that does not read must neither stop the work nor the thread that answers probes.
  private func put(_ line: [UInt8]) {
    let (missing, isReady) = lost.withLock { lost in
      let isReady = takesBytes
      defer { lost = isReady ? 0 : lost &+ 1 }
      return (lost, isReady)
    }
    guard isReady else { return }
    let note = missing == 0 ? [] : Array("(\(missing) lines were lost, nobody read them)\n".utf8)
    let bytes = note + line
    var sent = 0
    // A pipe that can be written to takes a page without waiting.
    while sent < bytes.count, sent == 0 || takesBytes {
      let part = Array(bytes[sent..<min(bytes.count, sent + 4096)])
      guard let count = try? Descriptor.write(descriptor, part), count > 0 else { return }
      sent += count
    }
  }

  private var takesBytes: Bool {
    let now = Deadline.after(milliseconds: 0)
    guard let seen = try? now.wait(descriptor, for: .write, "log") else { return false }
    return seen.contains(.write)
  }

  /// A value that cannot be mistaken for something else on its line.
  private static func quoted(_ text: String) -> String {
    let isPlain = text.unicodeScalars.allSatisfy { scalar in
      scalar != " " && scalar != "\"" && scalar != "=" && !isControl(scalar)
    }
    return isPlain ? text : "\"\(harmless(text, quotes: true))\""
  }

  private static func harmless(_ text: String, quotes: Bool = false) -> String {
    var result = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\n": result += "\\n"
      case "\"" where quotes: result += "\\\""
      case "\\" where quotes: result += "\\\\"
      case _ where isControl(scalar): result += "\\u{\(String(scalar.value, radix: 16))}"
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result
  }

  /// What ends a line somewhere, steers a terminal or turns the direction of what follows.
  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0x200E...0x200F, 0x2028...0x202E, 0x2066...0x2069: true
    default: false
    }
  }
}
