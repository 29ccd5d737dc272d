import CNI
import Linux

/// The file `log-file`, in the layout of the Contrail CNI plugin's own.
///
/// It is below `/var/log`, or nothing is written. A log that cannot be written never fails a call.
/// Only files of Contrail's own directory are put aside when they are long: whoever names another
/// one need not be root.
struct AgentLog: Sendable {
  let path: String

  private static let ownDirectory = "/var/log/contrail/"
  /// When a file is put aside, in bytes.
  private static let longest = 10 << 20
  /// How many older files are kept.
  private static let backups = 10
  /// Lines of several calls, and the turn to a new file, never mix.
  private static let turn = Mutex(())

  /// Appends a line.
  func write(_ text: String) {
    let line = "I : \(Process.pid) : \(AgentLog.time) vrouter: \(harmless(text))\n"
    AgentLog.turn.withLock { _ in
      do throws(SystemError) {
        let file = try LogFile(path)
        try file.append(Array(line.utf8))
        if path.hasPrefix(AgentLog.ownDirectory), try file.size() > AgentLog.longest {
          file.putAside(keeping: AgentLog.backups)
        }
      } catch {
        return
      }
    }
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
}
