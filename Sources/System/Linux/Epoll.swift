import CLinux

/// What is watched and seen on a descriptor, epoll(7).
public struct EpollEvents: OptionSet, Sendable {
  /// The bits of epoll_ctl(2).
  public let rawValue: UInt32
  /// Wraps bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }
  /// Something can be read.
  public static let read = EpollEvents(rawValue: UInt32(bitPattern: cl_EPOLLIN))
  /// Something can be written.
  public static let write = EpollEvents(rawValue: UInt32(bitPattern: cl_EPOLLOUT))
  /// An error; always watched.
  public static let error = EpollEvents(rawValue: UInt32(bitPattern: cl_EPOLLERR))
  /// Both directions are closed; always watched.
  public static let hangUp = EpollEvents(rawValue: UInt32(bitPattern: cl_EPOLLHUP))
  /// The other side will write no more.
  public static let readHangUp = EpollEvents(rawValue: UInt32(bitPattern: cl_EPOLLRDHUP))
}

/// A set of watched descriptors, epoll(7), level triggered.
public struct Epoll: ~Copyable, Sendable {
  /// One event: the token that was given with the descriptor, and what was seen.
  public struct Event: Sendable {
    /// What `add` was given.
    public let token: UInt64
    /// What was seen.
    public let events: EpollEvents
  }

  private let descriptor: FileDescriptor

  /// Creates an empty set.
  public init() throws(SystemError) {
    descriptor = FileDescriptor(
      adopting: try retrying("epoll_create1", "") { epoll_create1(cl_EPOLL_CLOEXEC) })
  }

  /// Watches a descriptor.
  public func add(_ target: Int32, _ events: EpollEvents, token: UInt64) throws(SystemError) {
    try control(EPOLL_CTL_ADD, target, events, token)
  }

  /// Changes what is watched on a descriptor.
  public func modify(_ target: Int32, _ events: EpollEvents, token: UInt64) throws(SystemError) {
    try control(EPOLL_CTL_MOD, target, events, token)
  }

  /// Stops watching a descriptor; closing it does the same.
  public func remove(_ target: Int32) throws(SystemError) {
    try control(EPOLL_CTL_DEL, target, [], 0)
  }

  /// Waits for events.
  ///
  /// - Parameter milliseconds: how long; negative waits for ever, zero only looks.
  /// - Throws: the error of epoll_wait(2), other than EINTR.
  /// - Returns: the events, none when the time is over or a signal came.
  public func wait(milliseconds: Int) throws(SystemError) -> [Event] {
    var list = unsafe [epoll_event](repeating: epoll_event(), count: 64)
    let count = unsafe epoll_wait(
      descriptor.rawValue, &list, 64, Int32(clamping: max(-1, milliseconds)))
    if count < 0 {
      let errno = Errno.current
      if errno == .interrupted { return [] }
      throw SystemError("epoll_wait", "", errno)
    }
    return unsafe list.prefix(Int(count)).map { entry in
      unsafe Event(token: entry.data.u64, events: EpollEvents(rawValue: entry.events))
    }
  }

  private func control(
    _ operation: Int32, _ target: Int32, _ events: EpollEvents, _ token: UInt64
  ) throws(SystemError) {
    var event = unsafe epoll_event(events: events.rawValue, data: epoll_data_t(u64: token))
    let number = descriptor.rawValue
    _ = try retrying("epoll_ctl", "") { unsafe epoll_ctl(number, operation, target, &event) }
  }
}
