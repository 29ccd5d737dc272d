import CLinux

/// A counting semaphore on which threads wait, eventfd(2) with EFD_SEMAPHORE.
public struct Semaphore: ~Copyable, Sendable {
  private let descriptor: FileDescriptor

  /// Creates one with the count 0.
  public init() throws(SystemError) {
    descriptor = FileDescriptor(
      adopting: try retrying("eventfd", "") { eventfd(0, cl_SEMAPHORE_FLAGS) })
  }

  /// Adds one; wakes one of those who wait.
  public func signal() {
    var one: UInt64 = 1
    Self.insist { unsafe write(descriptor.rawValue, &one, 8) }
  }

  /// Takes one, waiting until there is one.
  public func wait() {
    var value: UInt64 = 0
    Self.insist { unsafe CLinux.read(descriptor.rawValue, &value, 8) }
  }

  /// Tries until it succeeds: a call that failed has neither added nor taken one, and who counts on
  /// it would wait for ever.
  private static func insist(_ call: () -> Int) {
    while call() < 0 {
      if Errno.current != .interrupted { Clock.pause(milliseconds: 1) }
    }
  }
}
