#if !hasFeature(Embedded)
  import Linux

  /// A listening socket and who may connect to it.
  final class ListeningSocket: Sendable {
    let socket: FileDescriptor
    let rootPeersOnly: Bool
    let isForProbes: Bool
    let name: String?

    init(
      _ socket: consuming FileDescriptor, rootPeersOnly: Bool, isForProbes: Bool, name: String?
    ) {
      self.socket = socket
      self.rootPeersOnly = rootPeersOnly
      self.isForProbes = isForProbes
      self.name = name
    }
  }

  /// What other threads want from the server's thread.
  final class Mailbox: Sendable {
    /// An answer for a connection.
    struct Answer: Sendable {
      let connection: UInt64
      let response: HTTPResponse
      let whenDone: (@Sendable (HTTPExchange.Delivery) -> Void)?

      init(
        _ connection: UInt64, _ response: HTTPResponse,
        _ whenDone: (@Sendable (HTTPExchange.Delivery) -> Void)?
      ) {
        self.connection = connection
        self.response = response
        self.whenDone = whenDone
      }
    }

    /// Everything that has come since the last time.
    struct Mail: Sendable {
      var answers: [Answer] = []
      var listeners: [ListeningSocket] = []
      /// When the server must have stopped, CLOCK_MONOTONIC.
      var stopAt: UInt64?
      var isEmpty: Bool { answers.isEmpty && listeners.isEmpty && stopAt == nil }
    }

    private struct State {
      var mail = Mail()
      /// Whether the server's thread may be asleep, so that it needs the event.
      var isWaiting = false
      var isClosed = false
      /// When the server's thread last took its mail, CLOCK_MONOTONIC.
      var lastTaken: UInt64 = 0
    }

    private let state = Mutex(State())
    /// Readable when the server's thread is to wake up.
    let event: EventDescriptor

    init() throws(SystemError) { event = try EventDescriptor() }

    func post(_ answer: Answer) {
      if !change({ $0.answers.append(answer) }) { answer.whenDone?(.clientGone) }
    }

    func post(_ listener: ListeningSocket) { _ = change { $0.listeners.append(listener) } }

    /// Has the server's thread come round, and tells when it last did.
    func pulse() -> UInt64 {
      _ = change { _ in }
      return state.withLock { $0.lastTaken }
    }

    func postStop(at time: UInt64) { _ = change { $0.stopAt = min($0.stopAt ?? .max, time) } }

    /// Changes the mail and wakes the server's thread; false once nobody reads it any more.
    private func change(_ body: (inout Mail) -> Void) -> Bool {
      let (isOpen, wakes) = state.withLock { state in
        if state.isClosed { return (false, false) }
        body(&state.mail)
        defer { state.isWaiting = false }
        return (true, state.isWaiting)
      }
      if wakes { event.signal() }
      return isOpen
    }

    /// Says that the server's thread is about to wait; false if there is mail, so that it must not.
    func mayWait() -> Bool {
      state.withLock { state in
        state.isWaiting = state.mail.isEmpty
        return state.isWaiting
      }
    }

    func take(_ now: UInt64) -> Mail {
      state.withLock { state in
        defer { state.mail = Mail() }
        state.lastTaken = now
        state.isWaiting = false
        return state.mail
      }
    }

    /// Refuses mail from now on and returns what had come before to its senders.
    func close() {
      let mail = state.withLock { state in
        state.isClosed = true
        defer { state.mail = Mail() }
        return state.mail
      }
      for answer in mail.answers { answer.whenDone?(.clientGone) }
    }
  }
#endif
