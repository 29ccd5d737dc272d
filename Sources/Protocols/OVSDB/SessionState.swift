import Linux

extension Session {
  /// A thread that waits: for an answer, a connection or an update.
  final class Waiter: Sendable {
    private let event: EventDescriptor

    init() throws(SystemError) { event = try EventDescriptor() }

    func signal() { event.signal() }
    func reset() { event.reset() }

    func wait(_ deadline: Deadline) throws(SystemError) {
      try deadline.wait(event.descriptor.rawValue, for: .read, "wait")
    }
  }

  /// A request whose answer is awaited.
  struct Call {
    let waiter: Waiter
    var outcome: Outcome?
  }

  /// What has become of a request.
  enum Outcome {
    case answer(Message.Answer)
    case lost(cause: String)
    case closed
  }

  enum Phase { case down, up, breaking, closed }

  struct State: ~Copyable {
    let patience: UInt64
    var phase = Phase.down
    /// Open while up or breaking.
    var socket: FileDescriptor?
    /// What the socket did not take yet.
    var output: [UInt8] = []
    var lastID = 0
    var calls: [Int: Call] = [:]
    /// Those that want to know of a connection made or lost, a failed try or an update.
    var waiters: [ObjectIdentifier: Waiter] = [:]
    var isThreadRunning = false
    /// A call came while there was no connection: a try is due at once.
    var isTryWanted = false
    /// How many tries have failed.
    var failures = 0
    /// Why there is no connection.
    var cause = ""
    /// CLOCK_MONOTONIC when the connection was lost, or the first try failed.
    var downSince: UInt64?

    init(patience: UInt64) { self.patience = patience }
  }
}

extension Session.State {
  /// Whether it is too early to tell callers that there is no connection.
  var isOutageShort: Bool {
    guard let downSince else { return true }
    return KernelClock.monotonic &- downSince < patience
  }

  /// More bytes than this that the socket does not take end the connection: a server that asks
  /// and does not read must not fill the memory.
  private static let mostOutput = 4 << 20

  /// Writes what waited and then a message, as much as the socket takes; the rest waits.
  ///
  /// - Returns: whether the connection lives, as far as can be seen.
  mutating func write(_ message: [UInt8]) -> Bool {
    guard let descriptor = socket?.rawValue else { return false }
    output += message
    var sent = 0
    do throws(SystemError) {
      while sent < output.count {
        sent += try Descriptor.send(descriptor, output, from: sent)
      }
    } catch {
      if error.errno != .again {
        // The thread ends the connection; by itself it may see nothing, as when memory was short.
        phase = .breaking
        cause = "\(error)"
        return sent > 0
      }
    }
    if sent == output.count { output = [] } else { output.removeFirst(sent) }
    if output.count > Self.mostOutput {
      phase = .breaking
      cause = "the server does not take what is sent: \(output.count) bytes wait"
      output = []
      return sent > 0
    }
    return true
  }

  mutating func finishCalls(_ outcome: Session.Outcome) {
    for id in calls.keys { finish(id, outcome) }
  }

  /// Wakes the thread that waits for an answer.
  ///
  /// After it has given up, no thread waits.
  mutating func finish(_ id: Int, _ outcome: Session.Outcome) {
    guard let call = calls[id], call.outcome == nil else { return }
    calls[id]?.outcome = outcome
    call.waiter.signal()
  }
}
