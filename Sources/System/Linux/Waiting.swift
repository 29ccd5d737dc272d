import CLinux

/// What a wait is for: poll(2)'s events.
public struct PollEvents: OptionSet, Sendable {
  /// The bits of poll(2).
  public let rawValue: Int16
  /// Wraps bits.
  public init(rawValue: Int16) { self.rawValue = rawValue }
  /// POLLIN: something can be read, or the end of the stream was reached.
  public static let read = PollEvents(rawValue: Int16(POLLIN))
  /// POLLOUT: something can be written.
  public static let write = PollEvents(rawValue: Int16(POLLOUT))
  /// POLLERR, only reported.
  public static let error = PollEvents(rawValue: Int16(POLLERR))
  /// POLLHUP, only reported: the other end has gone altogether.
  public static let hangUp = PollEvents(rawValue: Int16(POLLHUP))
}

/// One descriptor of a wait, and what was seen on it.
public struct PollEntry: Sendable {
  /// The descriptor; a negative one is passed over.
  public let descriptor: Int32
  /// What to wait for.
  public let events: PollEvents
  /// What has happened, empty if nothing.
  public internal(set) var seen: PollEvents = []

  /// Creates an entry.
  public init(_ descriptor: Int32, _ events: PollEvents) {
    self.descriptor = descriptor
    self.events = events
  }
}

extension Deadline {
  /// Waits until a descriptor is ready, poll(2).
  ///
  /// - Parameters:
  ///   - descriptor: the descriptor.
  ///   - events: what to wait for; errors and hang-ups always end the wait.
  ///   - operation: what waits, for the error.
  ///   - object: on what it waits, for the error.
  /// - Returns: what was seen.
  /// - Throws: `timedOut`, `cancelled`, or the error of poll(2).
  @discardableResult
  public func wait(
    _ descriptor: Int32, for events: PollEvents, _ operation: String, _ object: String = ""
  ) throws(SystemError) -> PollEvents {
    var entries = [PollEntry(descriptor, events)]
    try wait(&entries, operation, object)
    return entries.first?.seen ?? []
  }

  /// Waits until one of several descriptors is ready, poll(2); `seen` tells which.
  public func wait(
    _ entries: inout [PollEntry], _ operation: String, _ object: String = ""
  ) throws(SystemError) {
    var list = entries.map { entry in
      pollfd(fd: entry.descriptor, events: entry.events.rawValue, revents: 0)
    }
    if let cancellation {
      list.append(pollfd(fd: cancellation.descriptor, events: Int16(POLLIN), revents: 0))
    }
    while true {
      let time = Int32(clamping: nanoseconds == .max ? -1 : remainingMilliseconds)
      let count = unsafe poll(&list, nfds_t(list.count), time)
      if count < 0 {
        let errno = Errno.current
        if errno == .interrupted { continue }
        throw SystemError(operation, object, errno)
      }
      if cancellation != nil, let last = list.last, last.revents != 0 {
        throw SystemError(operation, object, .cancelled)
      }
      if count == 0 {
        if remainingMilliseconds > 0 { continue }
        throw SystemError(operation, object, .timedOut)
      }
      break
    }
    for index in entries.indices where index < list.count {
      entries[index].seen = PollEvents(rawValue: list[index].revents)
    }
  }
}

/// A way to end somebody's waits from another thread.
///
/// It is an eventfd(2) that stays readable once used, so any number of waits see it.
public final class Cancellation: Sendable {
  private let event: EventDescriptor

  /// Creates one; fails when there are no descriptors left.
  public init() throws(SystemError) { event = try EventDescriptor() }

  /// Ends every wait that has this cancellation in its deadline, now and later.
  public func cancel() { event.signal() }

  /// Whether `cancel` was called.
  public var isCancelled: Bool { event.isSignalled }

  /// The descriptor to poll.
  var descriptor: Int32 { event.descriptor.rawValue }
}

/// An eventfd(2): a counter that can be waited for.
public struct EventDescriptor: ~Copyable, Sendable {
  /// The descriptor, readable while the counter is not zero.
  public let descriptor: FileDescriptor

  /// Creates one with the counter at zero.
  public init() throws(SystemError) {
    descriptor = FileDescriptor(
      adopting: try retrying("eventfd", "") { eventfd(0, cl_EVENTFD_FLAGS) })
  }

  /// Adds one to the counter.
  public func signal() {
    var one: UInt64 = 1
    // Somebody waits for it: a call that failed is made again. A full counter is a signalled one.
    while unsafe write(descriptor.rawValue, &one, 8) < 0 {
      let errno = Errno.current
      if errno == .again, isSignalled { return }
      if errno != .interrupted { Clock.pause(milliseconds: 1) }
    }
  }

  /// Sets the counter back to zero.
  public func reset() {
    var value: UInt64 = 0
    _ = unsafe CLinux.read(descriptor.rawValue, &value, 8)
  }

  /// Whether the counter is not zero.
  public var isSignalled: Bool {
    var entry = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, 0) == 1
  }
}
