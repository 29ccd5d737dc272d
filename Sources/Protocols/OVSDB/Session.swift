import JSON
import Linux

/// What a client's callers and its connection's thread share.
final class Session: Sendable {
  let address: OVSDBAddress
  let database: String
  let monitoring: [String: [String]]
  let log: @Sendable (OVSDBEvent) -> Void
  let time: ConnectionTime
  let state: Mutex<State>
  /// The copy; none without a connection; its lock and the other one are never held together.
  let replica = Mutex<OVSDBReplica?>(nil)
  /// Ends the waits of the connection's thread for good.
  let closing: Cancellation
  /// Wakes the connection's thread: there is output, a try is wanted, or the last waiter has left.
  let work: EventDescriptor

  init(
    address: OVSDBAddress, database: String, monitoring: [String: [String]], time: ConnectionTime,
    log: @escaping @Sendable (OVSDBEvent) -> Void
  ) throws(SystemError) {
    self.address = address
    self.database = database
    self.monitoring = monitoring
    self.time = time
    self.log = log
    state = Mutex(State(patience: time.patience))
    closing = try Cancellation()
    work = try EventDescriptor()
  }

  // MARK: For callers

  var isConnected: Bool { state.withLock { $0.phase == .up } }

  /// Ends everything; the thread closes the socket.
  func close() {
    state.withLock { state in
      guard state.phase != .closed else { return }
      state.phase = .closed
      state.finishCalls(.closed)
      for waiter in state.waiters.values { waiter.signal() }
    }
    closing.cancel()
  }

  /// Looks at the copy; nil if there is none.
  func look<Value: Sendable>(_ body: (OVSDBReplica) -> Value) -> Value? {
    replica.withLock { replica in replica.map(body) }
  }

  /// Waits for a connection.
  ///
  /// - Parameters:
  ///   - deadline: when to give up at the latest.
  ///   - waitsOut: whether to wait until then, however long the outage lasts.
  /// - Throws: `unreachable`, `cancelled` or `closed`.
  func connect(deadline: Deadline, waitsOut: Bool = false) throws(OVSDBError) {
    if isConnected { return }
    let waiter = try makeWaiter()
    let failures = try enrol(waiter, wantsTry: true)
    defer { dismiss(waiter) }
    let patience = Int(clamping: time.patience / 1_000_000)
    let end = waitsOut ? deadline : deadline.capped(milliseconds: patience)
    while true {
      waiter.reset()
      let (phase, cause, isHopeless) = state.withLock { state in
        let isHopeless = state.failures != failures && !state.isOutageShort
        return (state.phase, state.cause, isHopeless)
      }
      switch phase {
      case .up: return
      case .closed: throw .closed
      case .down, .breaking: break
      }
      if isHopeless, !waitsOut { throw .unreachable(address, cause: cause) }
      do throws(SystemError) {
        try waiter.wait(end)
      } catch {
        guard error.errno == .timedOut else { throw OVSDBError(error, "connect to \(address)") }
        let known = state.withLock { $0.cause }
        throw .unreachable(address, cause: known.isEmpty ? "no answer in time" : known)
      }
    }
  }

  /// Sends a request and waits for its answer.
  ///
  /// - Parameters:
  ///   - method: what is asked.
  ///   - parameters: its parameters.
  ///   - next: a request that the server gets right after it, whose answer nobody waits for.
  ///   - deadline: for everything, connecting included.
  /// - Returns: the server's answer.
  /// - Throws: what kept it from coming.
  func call(
    _ method: String, _ parameters: [JSONValue],
    andThen next: (method: String, parameters: [JSONValue])? = nil, deadline: Deadline
  ) throws(OVSDBError) -> Message.Answer {
    let rest = next.map { Message.request($0.method, $0.parameters, id: 0) } ?? []
    while true {
      try connect(deadline: deadline)
      let waiter = try makeWaiter()
      let id = state.withLock { state in
        state.lastID += 1
        return state.lastID
      }
      // False: the connection broke before a byte of it was sent.
      let message = Message.request(method, parameters, id: id) + rest
      guard send(message, id: id, waiter) else { continue }
      var failure: SystemError?
      do throws(SystemError) {
        try waiter.wait(deadline)
      } catch {
        failure = error
      }
      let outcome = state.withLock { $0.calls.removeValue(forKey: id)?.outcome }
      switch outcome {
      case .answer(let answer)?: return answer
      case .lost(let cause)?: throw .interrupted(address, cause: cause)
      case .closed?: throw .closed
      case nil:
        let doing = "wait for the answer to \(method)"
        guard let failure else { throw .interrupted(address, cause: "no outcome") }
        throw OVSDBError(failure, doing)
      }
    }
  }

  /// Waits until the copy is as somebody wants it.
  func wait<Value: Sendable>(
    for what: String, deadline: Deadline, until body: (OVSDBReplica) -> Value?
  ) throws(OVSDBError) -> Value {
    try connect(deadline: deadline)
    let waiter = try makeWaiter()
    _ = try enrol(waiter, wantsTry: false)
    defer { dismiss(waiter) }
    while true {
      waiter.reset()
      switch look(body) {
      case .some(.some(let value)): return value
      case nil: try connect(deadline: deadline, waitsOut: true)
      case .some(nil):
        do throws(SystemError) {
          try waiter.wait(deadline)
        } catch {
          throw OVSDBError(error, what)
        }
      }
    }
  }

  private func makeWaiter() throws(OVSDBError) -> Waiter {
    do throws(SystemError) {
      return try Waiter()
    } catch {
      throw .failed(error)
    }
  }

  /// Lets a waiter be signalled, and makes sure that a thread works on a connection.
  ///
  /// - Returns: how many tries have failed so far.
  private func enrol(_ waiter: Waiter, wantsTry: Bool) throws(OVSDBError) -> Int {
    let (failures, starts) = state.withLock { state in
      state.waiters[ObjectIdentifier(waiter)] = waiter
      if wantsTry { state.isTryWanted = true }
      let starts = !state.isThreadRunning && state.phase != .closed
      if starts { state.isThreadRunning = true }
      return (state.failures, starts)
    }
    guard starts else {
      work.signal()
      return failures
    }
    do throws(SystemError) {
      try OSThread.start { Connector(self).run() }
    } catch {
      state.withLock { state in
        state.isThreadRunning = false
        state.waiters[ObjectIdentifier(waiter)] = nil
      }
      throw .failed(error)
    }
    return failures
  }

  private func dismiss(_ waiter: Waiter) {
    let isLast = state.withLock { state in
      state.waiters[ObjectIdentifier(waiter)] = nil
      return state.waiters.isEmpty && state.phase != .up
    }
    if isLast { work.signal() }
  }

  // MARK: Output

  /// Sends a request.
  ///
  /// - Returns: whether any of it may have reached the server; if not, there is no
  ///   connection any more.
  private func send(_ message: [UInt8], id: Int, _ waiter: Waiter) -> Bool {
    let (isSent, needsThread) = state.withLock { state in
      guard state.phase == .up else { return (false, false) }
      let isSent = state.write(message)
      if isSent { state.calls[id] = Call(waiter: waiter) }
      return (isSent, state.phase == .breaking || !state.output.isEmpty)
    }
    if needsThread { work.signal() }
    return isSent
  }

  /// Sends something whose answer nobody waits for; for the connection's thread.
  func post(_ message: [UInt8]) {
    state.withLock { state in if state.phase == .up { _ = state.write(message) } }
  }

  /// Whether the socket did not take everything.
  var hasOutput: Bool { state.withLock { !$0.output.isEmpty } }

  /// Sends what the socket did not take before.
  func flush() {
    state.withLock { state in if state.phase == .up { _ = state.write([]) } }
  }
}
