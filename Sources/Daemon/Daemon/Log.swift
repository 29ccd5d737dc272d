import CNI
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
  private let path: String?
  /// Whether lines go to the journal, which wants to know each one's level and knows its time.
  private let isJournal: Bool
  /// The open file; nil for standard error.
  private let target: Mutex<FileHolder?>
  /// Lines that could not be written since the last one that could.
  private let lost = Mutex(0)

  private final class FileHolder: Sendable {
    let file: FileDescriptor
    init(_ file: consuming FileDescriptor) { self.file = file }

    /// Opens a log file at its end.
    ///
    /// - Throws: also if it is no regular file, such as a pipe that nobody reads.
    static func open(_ path: String) throws(StartError) -> FileHolder {
      let holder = try starting("logFile") { () throws(SystemError) in
        FileHolder(try Files.open(path, [.write, .create, .append, .nonBlocking]))
      }
      guard (try? Files.status(holder.file))?.kind == .regular else {
        throw StartError("logFile \(path): it is not a regular file; name another one")
      }
      return holder
    }
  }

  /// Opens the log of a configuration.
  package convenience init(_ configuration: Configuration) throws(StartError) {
    var holder: FileHolder?
    if let path = configuration.logFile {
      holder = try FileHolder.open(path)
    }
    self.init(configuration, holder)
  }

  private init(_ configuration: Configuration, _ holder: FileHolder?) {
    threshold = Mutex(configuration.logLevel)
    format = configuration.logFormat
    path = holder == nil ? nil : configuration.logFile
    isJournal = holder == nil && Journal.isStandardError
    target = Mutex(holder)
  }

  /// Says why the daemon cannot start: in its log as far as that can be opened, and on standard
  /// error in any case.
  package static func cannotStart(_ configuration: Configuration, _ error: StartError) {
    let text = "cannot start: \(error)"
    Log(configuration, nil).write(.error, text)
    if configuration.logFile != nil { (try? Log(configuration))?.write(.error, text) }
  }

  /// Says on standard error what is wrong with the command line or the configuration file, before
  /// anybody knows how the log should look.
  package static func cannotBegin(_ error: UsageError) {
    let prefix = Journal.isStandardError ? Journal.prefix(.error) : ""
    _ = try? Descriptor.write(2, Array("\(prefix)cnid: \(harmless(error.description))\n".utf8))
  }

  /// Writes to a file that is open already.
  convenience init(_ configuration: Configuration, to file: consuming FileDescriptor) {
    self.init(configuration, FileHolder(file))
  }

  /// Changes which lines are left out.
  package func setLevel(_ level: LogLevel) { threshold.withLock { $0 = level } }

  /// Whether lines of a level are written.
  package func has(_ level: LogLevel) -> Bool { level <= threshold.withLock { $0 } }

  /// Opens the file again, which may have been moved away; without success the old one stays.
  package func reopen() {
    guard let path else { return }
    do throws(StartError) {
      let holder = try FileHolder.open(path)
      target.withLock { $0 = holder }
    } catch {
      write(.error, "the log file cannot be opened again", [("error", "\(error)")])
    }
  }

  /// Writes a line.
  ///
  /// - Parameters:
  ///   - level: lines below the configured level are left out.
  ///   - message: one sentence.
  ///   - fields: what it is about, in order.
  package func write(
    _ level: LogLevel, _ message: String, _ fields: [(String, any LogValue)] = []
  ) {
    guard has(level) else { return }
    let time = Timestamp(nanoseconds: KernelClock.real).description
    var line = isJournal ? Array(Journal.prefix(level).utf8) : []
    switch format {
    case .text:
      var text = (isJournal ? "" : "\(time) ") + "\(level.name) \(harmless(message))"
      for (name, value) in fields where !value.logText.isEmpty {
        text += " \(name)=\(Self.quoted(value.logText))"
      }
      line += Array(text.utf8)
    case .json:
      let head: [(String, any LogValue)] = [
        ("time", time), ("level", level.name), ("msg", message),
      ]
      let members = (head + fields).map { ($0.0, Self.json($0.1)) }
      line += JSONValue.object(JSONObject(members)).encoded()
    }
    line.append(0x0A)
    put(line)
  }

  /// Writes a line, if it can do so without waiting.
  ///
  /// A reader that does not read must neither stop the work nor the thread that answers probes.
  private func put(_ line: [UInt8]) {
    let holder = target.withLock { $0 }
    let descriptor = holder?.file.rawValue ?? 2
    let (missing, isReady) = lost.withLock { lost in
      let isReady = Self.takesBytes(descriptor)
      defer { lost = isReady ? 0 : lost &+ 1 }
      return (lost, isReady)
    }
    guard isReady else { return }
    var bytes: [UInt8] = []
    if missing > 0 {
      let prefix = isJournal ? Journal.prefix(.warning) : ""
      bytes += Array("\(prefix)(\(missing) lines were lost, nobody read them)\n".utf8)
    }
    bytes += line
    var sent = 0
    // A pipe that can be written to takes a page without waiting.
    while sent < bytes.count, sent == 0 || Self.takesBytes(descriptor) {
      let part = Array(bytes[sent..<min(bytes.count, sent + 4096)])
      guard let count = try? Descriptor.write(descriptor, part), count > 0 else { break }
      sent += count
    }
    // The file stays open until here, whoever opens it again meanwhile.
    withExtendedLifetime(holder) {}
  }

  private static func takesBytes(_ descriptor: Int32) -> Bool {
    let now = Deadline.after(milliseconds: 0)
    guard let seen = try? now.wait(descriptor, for: .write, "log") else { return false }
    return seen.contains(.write)
  }

  /// A value that cannot be mistaken for something else on its line.
  private static func quoted(_ text: String) -> String {
    let isPlain = text.unicodeScalars.allSatisfy { scalar in
      scalar != " " && scalar != "\"" && scalar != "=" && !isHarmful(scalar)
    }
    return isPlain ? text : "\"\(harmless(text, quotes: true))\""
  }

  private static func json(_ value: any LogValue) -> JSONValue {
    if value.isNumber, let number = JSONNumber(text: value.logText) { return .number(number) }
    return .string(value.logText)
  }
}

/// The journal of systemd as the reader of standard error.
enum Journal {
  /// Whether standard error is the stream that JOURNAL_STREAM names; it may have been redirected
  /// since.
  static let isStandardError =
    Linux.Process.variable("JOURNAL_STREAM").map { isStream(2, $0) } ?? false

  /// Whether a descriptor is a stream, which is named `DEVICE:INODE`.
  static func isStream(_ descriptor: Int32, _ name: String) -> Bool {
    let file = FileDescriptor(adopting: descriptor)
    let status = try? Files.status(file)
    _ = file.release()
    guard let status else { return false }
    return name == "\(status.device):\(status.inode)"
  }

  /// What says a line's level, as sd-daemon(3) has it.
  static func prefix(_ level: LogLevel) -> String {
    switch level {
    case .error: "<3>"
    case .warning: "<4>"
    case .info: "<6>"
    case .debug: "<7>"
    }
  }
}
