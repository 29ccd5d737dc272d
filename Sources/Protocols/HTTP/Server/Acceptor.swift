#if !hasFeature(Embedded)
  import Linux

  /// The listening sockets, and what to do when there are no descriptors left.
  final class Acceptor {
    /// What accepting once gave.
    enum Outcome: ~Copyable {
      case connection(FileDescriptor)
      case nobody
      /// There is no descriptor or no memory for one more.
      case exhausted
      /// The listener itself does not work for now.
      case failed
    }

    /// Whether nobody is accepted for the time being.
    private(set) var isPaused = false

    private var listeners: [UInt64: ListeningSocket] = [:]
    private var lastToken: UInt64 = 0
    /// Listeners that are not watched until a time, CLOCK_MONOTONIC.
    private var resting: [UInt64: UInt64] = [:]
    /// A descriptor to give up when there are none left, so that one more client is served.
    private var spare: EventDescriptor? = try? EventDescriptor()

    /// A number that was never used before.
    func nextToken() -> UInt64 {
      lastToken += 1
      return lastToken
    }

    func has(_ token: UInt64) -> Bool { listeners[token] != nil }

    func rootPeersOnly(_ token: UInt64) -> Bool { listeners[token]?.rootPeersOnly ?? true }

    func isForProbes(_ token: UInt64) -> Bool { listeners[token]?.isForProbes ?? false }

    func add(_ listener: ListeningSocket, _ epoll: borrowing Epoll) {
      let token = nextToken()
      listeners[token] = listener
      if !isPaused { try? epoll.add(listener.socket.rawValue, .read, token: token) }
    }

    /// The listener of a name, which another one is about to follow.
    func token(named name: String?) -> UInt64? {
      name.flatMap { name in listeners.first { $0.value.name == name }?.key }
    }

    /// Closes one listener; closing takes it out of the epoll set too.
    func close(_ token: UInt64) { listeners[token] = nil }

    func close() { listeners = [:] }

    func accept(_ token: UInt64) -> Outcome {
      guard let listener = listeners[token] else { return .nobody }
      do throws(SystemError) {
        guard let socket = try Listener.accept(listener.socket) else { return .nobody }
        return .connection(socket)
      } catch {
        switch error.errno {
        case .tooManyFiles, .tooManyFilesInSystem, .noMemory, .noBuffers: return .exhausted
        default: return .failed
        }
      }
    }

    /// Gives up the spare descriptor; false if there is none.
    func useSpare() -> Bool {
      if spare == nil { return false }
      spare = nil
      return true
    }

    /// Takes a spare descriptor again as soon as there is one.
    func regainSpare() {
      if spare == nil { spare = try? EventDescriptor() }
    }

    /// Stops watching the listeners; who connects meanwhile waits in the kernel.
    func pause(_ epoll: borrowing Epoll) {
      isPaused = true
      for listener in listeners.values { try? epoll.remove(listener.socket.rawValue) }
    }

    /// Stops watching one listener for a tenth of a second.
    func rest(_ token: UInt64, _ epoll: borrowing Epoll) {
      guard let listener = listeners[token] else { return }
      resting[token] = KernelClock.monotonic &+ 100_000_000
      try? epoll.remove(listener.socket.rawValue)
    }

    /// When the first of those must be watched again; nil for none.
    var nextWake: UInt64? { resting.values.min() }

    /// Watches those again whose time is over.
    func wake(_ epoll: borrowing Epoll, now: UInt64) {
      for (token, end) in resting where end <= now {
        resting[token] = nil
        guard !isPaused, let listener = listeners[token] else { continue }
        try? epoll.add(listener.socket.rawValue, .read, token: token)
      }
    }

    /// Goes on if there is room again and a spare descriptor.
    func resume(_ epoll: borrowing Epoll, hasRoom: Bool) {
      guard hasRoom else { return }
      regainSpare()
      if spare == nil { return }
      isPaused = false
      for (token, listener) in listeners where resting[token] == nil {
        try? epoll.add(listener.socket.rawValue, .read, token: token)
      }
    }
  }

  /// Numbers in the order in which they came, taken from the front.
  struct ArrivalQueue {
    private var numbers: [UInt64] = []
    private var start = 0

    mutating func append(_ number: UInt64) { numbers.append(number) }

    /// The first number that is wanted; those before it are forgotten.
    mutating func first(where isWanted: (UInt64) -> Bool) -> UInt64? {
      while start < numbers.count, !isWanted(numbers[start]) { start += 1 }
      if start > 256 || start == numbers.count {
        numbers.removeFirst(start)
        start = 0
      }
      return start < numbers.count ? numbers[start] : nil
    }
  }
#endif
