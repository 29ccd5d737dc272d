import CNI
import DaemonAPI
import Linux

/// When the shim was started: all its time counts from here, reading stdin included.
struct CallBeginning: Sendable {
  private let monotonic = KernelClock.monotonic
  private let boot = KernelClock.boot

  /// The moment that many seconds after the beginning.
  func deadline(seconds: Int) -> Deadline {
    let (span, isLarge) = UInt64(max(0, seconds)).multipliedReportingOverflow(by: 1_000_000_000)
    let (end, isLate) = monotonic.addingReportingOverflow(span)
    return Deadline(nanoseconds: isLarge || isLate ? .max : end)
  }

  /// What orders this call among those of its attachment.
  var stamp: Stamp { Stamp(bootID: Stamp.now.bootID, nanoseconds: boot) }
}
