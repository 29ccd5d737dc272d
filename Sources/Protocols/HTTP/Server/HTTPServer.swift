#if !hasFeature(Embedded)
  public import Linux

  /// A server with one thread that accepts, reads whole requests inside limits and time,
  /// and writes answers.
  ///
  /// Silent, slow and hanging clients cost a descriptor and no thread. Every connection carries one
  /// request; every answer says `Connection: close`. Counterpart of `Server` in
  /// OVN-Kubernetes' cniserver.
  public final class HTTPServer: Sendable {
    /// How much of what the server grants to its clients.
    public struct Options: Sendable {
      /// How large a request may be.
      public var limits = HTTPLimits.server
      /// Milliseconds from accepting until the whole head must be there.
      public var headTime = 5_000
      /// Milliseconds from accepting until the whole request must be there.
      public var requestTime = 30_000
      /// Milliseconds from the first byte of an answer until the client must have taken it all.
      public var writeTime = 30_000
      /// Milliseconds for which a refused client's bytes are still read away, so that it
      /// sees the answer.
      public var lingerTime = 2_000
      /// The most connections at a time; beyond it the oldest one without a complete
      /// request is closed.
      ///
      /// It should leave the rest of the process enough of RLIMIT_NOFILE.
      public var maximumConnections = 1_024
      /// The most bytes of requests that are held at a time; beyond it the largest
      /// incomplete one is refused.
      public var maximumBufferedBytes = 64 * 1024 * 1024
      /// The most connections at a time from listeners for probes; beyond it the oldest of
      /// these is closed.
      public var maximumProbes = 32

      /// Creates the options that suit the daemon.
      public init() {}
    }

    private let options: Options
    private let mailbox: Mailbox
    private let handler: @Sendable (HTTPExchange) -> Void

    /// Creates a server; it does nothing until `run`.
    ///
    /// - Parameters:
    ///   - options: what clients are granted.
    ///   - handler: called on the server's thread for each complete request, so it must not block:
    ///     it answers what is cheap at once and hands the rest to other threads.
    /// - Throws: the error of eventfd(2).
    public init(
      options: Options = Options(), handler: @escaping @Sendable (HTTPExchange) -> Void
    ) throws(SystemError) {
      self.options = options
      self.handler = handler
      mailbox = try Mailbox()
    }

    /// Accepts connections on a listening socket, from now or from `run` on.
    ///
    /// - Parameters:
    ///   - listener: closed by the server when it stops.
    ///   - rootPeersOnly: answers 403 to a client whose uid, by SO_PEERCRED, is not 0.
    ///   - isForProbes: whether it is for short questions of anybody. Its clients come after all
    ///     others, have little room, and never take that of others.
    ///   - name: the place where it listens; an earlier listener of the same name is closed, after
    ///     up to 64 who wait there were accepted.
    /// - Throws: the error of fcntl(2).
    public func add(
      listener: consuming FileDescriptor, rootPeersOnly: Bool, isForProbes: Bool = false,
      named name: String? = nil
    ) throws(SystemError) {
      try listener.setNonBlocking(true)
      mailbox.post(
        ListeningSocket(
          listener, rootPeersOnly: rootPeersOnly, isForProbes: isForProbes, name: name))
    }

    /// Serves until `stop`, on the calling thread; to be called once.
    ///
    /// - Throws: the error of epoll(7), after which the server is stopped.
    public func run() throws(SystemError) {
      defer { mailbox.close() }
      let loop = try ServerLoop(options: options, mailbox: mailbox, handler: handler)
      try loop.run()
    }

    /// When the server's thread last came round, CLOCK_MONOTONIC nanoseconds; 0 before `run`.
    ///
    /// Each call wakes the thread. So a watchdog sees that the server runs, even if it
    /// answers nothing else.
    public func pulse() -> UInt64 { mailbox.pulse() }

    /// Closes the listeners and the connections without a complete request, waits until the others
    /// have their answers, and lets `run` return.
    ///
    /// Can be called from any thread, also before `run`; returns at once.
    ///
    /// - Parameter milliseconds: how long to wait before the rest is closed too.
    public func stop(within milliseconds: Int = 1_000) {
      mailbox.postStop(at: Deadline.after(milliseconds: milliseconds).nanoseconds)
    }
  }
#endif
