import Linux
import PluginKit

/// Feeds the service manager's watchdog while the daemon makes progress: its door answers, and
/// calls are not stuck.
///
/// For the thread that ticks; a daemon that hangs is killed by its service manager
/// and started again.
struct Watchdog {
  private let manager: ServiceManager
  private let log: Log
  private let pulse: () -> UInt64
  private let isStuck: () -> Bool
  /// What was wrong at the last tick; nil for nothing.
  private var fault: String?

  /// Creates one.
  ///
  /// - Parameters:
  ///   - manager: who watches.
  ///   - log: hears when feeding ends and goes on.
  ///   - pulse: when the door last answered, CLOCK_MONOTONIC.
  ///   - isStuck: whether calls are stuck.
  init(
    _ manager: ServiceManager, log: Log, pulse: @escaping () -> UInt64,
    isStuck: @escaping () -> Bool
  ) {
    self.manager = manager
    self.log = log
    self.pulse = pulse
    self.isStuck = isStuck
  }

  /// How often to tick at least, in milliseconds; nil if nobody watches.
  var interval: Int? {
    manager.watchdogTime.map { Int(clamping: max(1, $0 / 8_000_000)) }
  }

  /// Feeds if it is time and all is well.
  mutating func tick() {
    guard let time = manager.watchdogTime else { return }
    let last = pulse()
    let age = KernelClock.monotonic.subtractingReportingOverflow(last)
    let isSilent = !age.overflow && age.partialValue > time / 2
    let now =
      isStuck() ? "calls do not come back" : isSilent ? "the server does not answer" : nil
    if now != fault {
      fault = now
      if let now {
        log.write(.error, "the watchdog is not fed any more", [("reason", now)])
        manager.status("not healthy: \(now)")
      } else {
        log.write(.info, "the watchdog is fed again")
        manager.status("serving")
      }
    }
    if now == nil { manager.feedWatchdog() }
  }
}
