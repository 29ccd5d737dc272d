#if !hasFeature(Embedded)
  public import Linux

  /// One complete request and the way to answer it, from any thread.
  ///
  /// An exchange that nobody answers is answered with 500 when the last reference to it goes.
  public final class HTTPExchange: Sendable {
    /// What became of an answer.
    public enum Delivery: Sendable, Equatable {
      /// The kernel has taken all of it for the client.
      case written
      /// The client hung up before, or the server was stopped.
      case clientGone
      /// The client did not read it in time.
      case tooSlow
    }

    /// What was asked.
    public let request: HTTPRequest
    /// Who asked, on a Unix socket.
    public let peer: PeerCredentials?

    private struct State {
      var hasResponded = false
      var isClientGone = false
      var whenGone: (@Sendable () -> Void)?
    }

    private let connection: UInt64
    private let mailbox: Mailbox
    private let state = Mutex(State())

    init(
      request: HTTPRequest, peer: PeerCredentials?, connection: UInt64, mailbox: Mailbox
    ) {
      self.request = request
      self.peer = peer
      self.connection = connection
      self.mailbox = mailbox
    }

    deinit {
      if state.withLock({ $0.hasResponded }) { return }
      mailbox.post(Mailbox.Answer(connection, HTTPResponse(status: 500), nil))
    }

    /// Answers; only the first call counts.
    ///
    /// - Parameters:
    ///   - response: the answer; `Connection: close` is added.
    ///   - whenDone: called once with what became of it, on the server's thread or on this
    ///     one; must not block.
    public func respond(
      _ response: HTTPResponse, whenDone: (@Sendable (Delivery) -> Void)? = nil
    ) {
      let isFirst = state.withLock { state in
        defer {
          state.hasResponded = true
          state.whenGone = nil
        }
        return !state.hasResponded
      }
      if isFirst { mailbox.post(Mailbox.Answer(connection, response, whenDone)) }
    }

    /// Has an action run once if the client goes before it is answered, at once if it has gone.
    ///
    /// Gone means that it closed the connection or was reset; a client that only ended its own
    /// writing (a half-closed socket) is not gone. The action runs on the server's thread (or on
    /// this one) and must not block; it replaces one that was given before.
    public func onClientGone(_ action: @escaping @Sendable () -> Void) {
      let isGone = state.withLock { state in
        if !state.isClientGone && !state.hasResponded { state.whenGone = action }
        return state.isClientGone && !state.hasResponded
      }
      if isGone { action() }
    }

    /// Whether the client has gone, as far as the server has noticed.
    public var isClientGone: Bool { state.withLock { $0.isClientGone } }

    /// Called by the server's thread when the connection has ended.
    func clientHasGone() {
      let action = state.withLock { state in
        state.isClientGone = true
        defer { state.whenGone = nil }
        return state.whenGone
      }
      action?()
    }
  }
#endif
