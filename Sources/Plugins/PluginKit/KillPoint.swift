import Linux

/// The place where the fault tests end the process: `CNID_KILL_AFTER=<plugin>.<step>`.
///
/// `<plugin>.record` is between the record and the first step, `<plugin>.attached` after the result
/// was recorded. `#n` behind the name means the n-th time.
package enum KillPoint {
  private static let given = Process.variable("CNID_KILL_AFTER").map { Given($0) }

  /// Ends the process if this is the place.
  package static func reached(_ name: String) {
    guard let given, given.isMeant(name) else { return }
    try? Signal.kill.send(to: Process.pid)
  }

  private final class Given: Sendable {
    private let name: String
    /// How many times are left until the one that is meant.
    private let left: Mutex<Int>

    init(_ text: String) {
      let parts = text.utf8.split(separator: 0x23, maxSplits: 1).map { String(Substring($0)) }
      name = parts.first ?? ""
      left = Mutex(parts.count == 2 ? parts.last.flatMap { Int($0) } ?? 1 : 1)
    }

    func isMeant(_ reached: String) -> Bool {
      guard reached == name else { return false }
      return left.withLock { left in
        left -= 1
        return left == 0
      }
    }
  }
}
