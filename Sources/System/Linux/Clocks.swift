import CLinux

/// The kernel's clocks, in nanoseconds; neither jumps when the time of day is set.
public enum KernelClock {
  /// CLOCK_MONOTONIC: stands still while the machine sleeps; for deadlines.
  public static var monotonic: UInt64 { read(CLOCK_MONOTONIC) }

  /// CLOCK_BOOTTIME: runs on while the machine sleeps; for stamps that several processes compare.
  public static var boot: UInt64 { read(CLOCK_BOOTTIME) }

  /// CLOCK_REALTIME: nanoseconds since 1970; for log lines only.
  public static var real: UInt64 { read(CLOCK_REALTIME) }

  /// CLOCK_PROCESS_CPUTIME_ID: processor time that this process has used, for metrics.
  public static var processor: UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

  private static func read(_ clock: Int32) -> UInt64 {
    var now = timespec()
    guard unsafe clock_gettime(clock, &now) == 0 else { return 0 }
    return UInt64(clamping: now.tv_sec) &* 1_000_000_000 &+ UInt64(clamping: now.tv_nsec)
  }
}

/// The identity of this boot of the kernel.
public enum Boot {
  /// The kernel's random boot id, 36 characters, from `/proc/sys/kernel/random/boot_id`.
  public static func id() throws(SystemError) -> String {
    let bytes = try Files.read("/proc/sys/kernel/random/boot_id", limit: 64)
    return String(decoding: bytes.prefix { $0 != 0x0A }, as: UTF8.self)
  }
}

/// When work must be over, and what may end it sooner.
///
/// Every wait of this module takes one; it throws `Errno.timedOut` when the time is over and
/// `Errno.cancelled` when the cancellation was used.
public struct Deadline: Sendable {
  /// CLOCK_MONOTONIC nanoseconds; `UInt64.max` is never.
  public let nanoseconds: UInt64
  /// What may end the work before its time.
  public let cancellation: Cancellation?

  /// Creates a deadline from a point in time.
  public init(nanoseconds: UInt64, cancellation: Cancellation? = nil) {
    self.nanoseconds = nanoseconds
    self.cancellation = cancellation
  }

  /// A deadline that never comes.
  public static var never: Deadline { Deadline(nanoseconds: .max) }

  /// A deadline that many milliseconds from now; less than none counts as none.
  public static func after(milliseconds: Int, cancellation: Cancellation? = nil) -> Deadline {
    let (span, large) = UInt64(max(0, milliseconds)).multipliedReportingOverflow(by: 1_000_000)
    let (end, late) = KernelClock.monotonic.addingReportingOverflow(span)
    return Deadline(nanoseconds: large || late ? .max : end, cancellation: cancellation)
  }

  /// A deadline that many seconds from now.
  public static func after(seconds: Int, cancellation: Cancellation? = nil) -> Deadline {
    let (span, large) = seconds.multipliedReportingOverflow(by: 1000)
    return after(milliseconds: large ? .max : span, cancellation: cancellation)
  }

  /// This deadline or the one that many milliseconds from now, whichever is sooner.
  public func capped(milliseconds: Int) -> Deadline {
    let other = Deadline.after(milliseconds: milliseconds)
    return Deadline(
      nanoseconds: min(nanoseconds, other.nanoseconds), cancellation: cancellation)
  }

  /// Milliseconds until the end, rounded up; 0 once it has passed.
  public var remainingMilliseconds: Int {
    if nanoseconds == .max { return .max }
    let now = KernelClock.monotonic
    if nanoseconds <= now { return 0 }
    return Int(clamping: (nanoseconds - now) / 1_000_000 + 1)
  }

  /// Whether the time is over or the work was cancelled.
  public var isOver: Bool {
    cancellation?.isCancelled == true || remainingMilliseconds == 0
  }

  /// Throws if the time is over or the work was cancelled.
  ///
  /// - Parameters:
  ///   - operation: what is about to be done, for the error.
  ///   - object: to what.
  /// - Throws: `timedOut` or `cancelled`.
  public func check(_ operation: String, _ object: String = "") throws(SystemError) {
    if cancellation?.isCancelled == true { throw SystemError(operation, object, .cancelled) }
    if remainingMilliseconds == 0 { throw SystemError(operation, object, .timedOut) }
  }
}

/// Waiting without a descriptor; only where the kernel offers nothing to wait for.
public enum Clock {
  /// Sleeps, nanosleep(2); a signal ends it early.
  public static func pause(milliseconds: Int) {
    var span = timespec(
      tv_sec: max(0, milliseconds) / 1000, tv_nsec: max(0, milliseconds) % 1000 * 1_000_000)
    _ = unsafe nanosleep(&span, nil)
  }

  /// Sleeps for less than a millisecond or a few, nanosleep(2).
  public static func pause(microseconds: Int) {
    var span = timespec(
      tv_sec: max(0, microseconds) / 1_000_000, tv_nsec: max(0, microseconds) % 1_000_000 * 1000)
    _ = unsafe nanosleep(&span, nil)
  }
}
