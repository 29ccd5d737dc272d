import CLinux

/// Signals, taken as events instead of interruptions.
public enum Signal: Int32, Sendable, CaseIterable {
  /// The terminal has gone; for a daemon: read the configuration again.
  case hangUp = 1
  /// Interrupt from the keyboard.
  case interrupt = 2
  /// Ends a process at once.
  case kill = 9
  /// A request to end.
  case terminate = 15
  /// Goes on after `stop`.
  case resume = 18
  /// Stops a process until `resume`; it cannot be ignored.
  case stop = 19

  /// Sends this signal to a process, kill(2).
  public func send(to pid: Int32) throws(SystemError) {
    let number = rawValue
    _ = try retrying("kill", "\(pid)") { CLinux.kill(pid, number) }
  }

  /// Ignores SIGPIPE in this process, so that a write to a closed pipe is an error and no death.
  public static func ignoreBrokenPipes() {
    cl_ignore_broken_pipes()
  }
}

/// A descriptor that becomes readable when one of some signals arrives, signalfd(2).
public struct SignalDescriptor: ~Copyable, Sendable {
  /// The descriptor to wait on.
  public let descriptor: FileDescriptor

  /// Blocks the signals in the calling thread, and so in every thread started after, and
  /// opens the descriptor.
  ///
  /// To be called before the first other thread starts.
  public init(_ signals: [Signal]) throws(SystemError) {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for signal in signals { unsafe sigaddset(&set, signal.rawValue) }
    _ = unsafe pthread_sigmask(SIG_BLOCK, &set, nil)
    descriptor = FileDescriptor(
      adopting: try retrying("signalfd", "") { unsafe signalfd(-1, &set, cl_SIGNALFD_FLAGS) })
  }

  /// The next signal that has arrived, nil for none.
  public func next() -> Signal? {
    var info = signalfd_siginfo()
    let size = MemoryLayout<signalfd_siginfo>.size
    guard unsafe CLinux.read(descriptor.rawValue, &info, size) == size else { return nil }
    return Signal(rawValue: Int32(bitPattern: info.ssi_signo))
  }
}
