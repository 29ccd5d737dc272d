import Linux

/// The file `log-file`, in the layout of the Contrail CNI plugin's own.
///
/// A log that cannot be written never fails a call.
struct AgentLog: Sendable {
  let path: String

  /// When a file is put aside, in bytes.
  private static let longest = 10 << 20
  /// How many older files are kept.
  private static let backups = 10
  /// Lines of several calls, and the turn to a new file, never mix.
  private static let turn = Mutex(())

  /// Appends a line.
  func write(_ text: String) {
    let line = "I : \(Process.pid) : \(AgentLog.time) vrouter: \(AgentLog.harmless(text))\n"
    AgentLog.turn.withLock { _ in
      guard
        let file = try? Files.open(path, [.write, .create, .append, .nonBlocking]),
        let status = try? Files.status(file), status.kind == .regular
      else { return }
      _ = try? Descriptor.write(file.rawValue, Array(line.utf8))
      if status.size > AgentLog.longest { rotate() }
    }
  }

  private func rotate() {
    for number in stride(from: AgentLog.backups - 1, through: 1, by: -1) {
      try? Files.rename("\(path).\(number)", "\(path).\(number + 1)")
    }
    try? Files.rename(path, "\(path).1")
  }

  /// `YYYY/MM/DD hh:mm:ss` of now, UTC.
  private static var time: String {
    let text = Timestamp(nanoseconds: KernelClock.real).description
    let bytes = text.utf8.prefix(19).map { byte in
      switch byte {
      case UInt8(ascii: "-"): UInt8(ascii: "/")
      case UInt8(ascii: "T"): UInt8(ascii: " ")
      default: byte
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Nothing from outside can forge a line.
  private static func harmless(_ text: String) -> String {
    String(
      decoding: text.utf8.map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: " ") : $0 }, as: UTF8.self)
  }
}
