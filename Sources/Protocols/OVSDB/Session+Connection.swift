import JSON
import Linux

// What the connection's thread does to its session.
extension Session {
  /// Whether a try is wanted at once; not any more afterwards.
  func takeWantedTry() -> Bool {
    state.withLock { state in
      defer { state.isTryWanted = false }
      return state.isTryWanted
    }
  }

  /// Whether callers still wait for the end of the outage instead of being told of it.
  var isOutageShort: Bool { state.withLock { $0.isOutageShort } }

  /// Whether there is still work for the thread: if not, it is as good as ended.
  func goesOn() -> Bool {
    state.withLock { state in
      if state.phase != .closed, !state.waiters.isEmpty { return true }
      state.isThreadRunning = false
      return false
    }
  }

  /// Why the connection cannot be used further, if somebody who wrote to it found out.
  var breakingCause: String? {
    state.withLock { $0.phase == .breaking ? $0.cause : nil }
  }

  /// There is a connection, and a copy that is current.
  ///
  /// - Returns: whether anybody wants it; the socket is closed otherwise.
  func connected(_ socket: consuming FileDescriptor, _ copy: OVSDBReplica) -> Bool {
    let version = copy.schema.version
    replica.withLock { $0 = copy }
    var handed: FileDescriptor? = socket
    let isOpen = state.withLock { state in
      guard state.phase != .closed else { return false }
      state.socket = handed.take()
      state.output = []
      state.phase = .up
      state.cause = ""
      state.downSince = nil
      state.isTryWanted = false
      for waiter in state.waiters.values { waiter.signal() }
      return true
    }
    if isOpen {
      log(.connected(address, schema: version))
    } else {
      replica.withLock { $0 = nil }
    }
    return isOpen
  }

  /// The connection is gone.
  func lost(cause: String) {
    let isClosed = state.withLock { state in
      state.socket = nil
      state.output = []
      state.finishCalls(.lost(cause: cause))
      guard state.phase != .closed else { return true }
      state.phase = .down
      state.cause = cause
      state.downSince = KernelClock.monotonic
      return false
    }
    replica.withLock { $0 = nil }
    signalWaiters()
    if !isClosed { log(.lost(address, cause: cause)) }
  }

  /// A try has failed.
  func failed(cause: String) {
    let isNew = state.withLock { state in
      let isNew = state.downSince == nil || state.cause != cause
      state.failures += 1
      state.cause = cause
      if state.downSince == nil { state.downSince = KernelClock.monotonic }
      for waiter in state.waiters.values { waiter.signal() }
      return isNew && state.phase != .closed
    }
    if isNew { log(.unreachable(address, cause: cause)) }
  }

  func answered(_ id: Int, _ answer: Message.Answer) {
    state.withLock { $0.finish(id, .answer(answer)) }
  }

  /// Brings the copy up to date.
  func update(_ json: JSONValue, _ format: OVSDBUpdateFormat) throws(OVSDBWireError) {
    try replica.withLock { replica throws(OVSDBWireError) in
      try replica?.apply(json, format)
    }
    signalWaiters()
  }

  private func signalWaiters() {
    state.withLock { state in
      for waiter in state.waiters.values { waiter.signal() }
    }
  }
}
