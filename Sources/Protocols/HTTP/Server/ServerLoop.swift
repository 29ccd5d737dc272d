#if !hasFeature(Embedded)
  import Linux

  /// The server's thread: waits, reads, calls the handler, writes.
  final class ServerLoop {
    private let options: HTTPServer.Options
    private let mailbox: Mailbox
    private let handler: @Sendable (HTTPExchange) -> Void
    private let epoll: Epoll
    private let acceptor: Acceptor

    private var connections: [UInt64: Connection] = [:]
    /// Connections in the order in which they came; those that have gone or are served
    /// are passed over.
    private var arrivals = ArrivalQueue()
    private var probes = ArrivalQueue()
    private var probeCount = 0
    private var buffer: [UInt8] = []
    private var bufferedBytes = 0
    /// Not later than the first deadline of a connection.
    private var nextSweep = UInt64.max
    private var stopAt: UInt64?

    private static let mailToken: UInt64 = 0

    init(
      options: HTTPServer.Options, mailbox: Mailbox,
      handler: @escaping @Sendable (HTTPExchange) -> Void
    ) throws(SystemError) {
      self.options = options
      self.mailbox = mailbox
      self.handler = handler
      epoll = try Epoll()
      acceptor = Acceptor()
      try epoll.add(mailbox.event.descriptor.rawValue, .read, token: Self.mailToken)
    }

    /// Serves until the server is stopped.
    func run() throws(SystemError) {
      defer { for id in Array(connections.keys) { close(id, .clientGone) } }
      while true {
        let events = try epoll.wait(milliseconds: mailbox.mayWait() ? waitingTime() : 0)
        // Who asks for health waits until everybody else has had his turn.
        for event in events where !acceptor.isForProbes(event.token) { handle(event) }
        for event in events where acceptor.isForProbes(event.token) { handle(event) }
        handleMail()
        let now = KernelClock.monotonic
        if now >= nextSweep { sweep(now) }
        acceptor.wake(epoll, now: now)
        if acceptor.isPaused {
          acceptor.resume(epoll, hasRoom: hasRoom)
        } else {
          acceptor.regainSpare()
        }
        if let stopAt, connections.isEmpty || now >= stopAt { return }
      }
    }

    /// Milliseconds until something must be looked at; negative for never.
    private func waitingTime() -> Int {
      var time = min(nextSweep, stopAt ?? .max, acceptor.nextWake ?? .max)
      if acceptor.isPaused { time = min(time, KernelClock.monotonic + 100_000_000) }
      if time == .max { return -1 }
      let now = KernelClock.monotonic
      return time <= now ? 0 : Int(clamping: (time - now) / 1_000_000 + 1)
    }

    private func handle(_ event: Epoll.Event) {
      if event.token == Self.mailToken {
        mailbox.event.reset()
      } else if acceptor.has(event.token) {
        accept(event.token)
      } else if let connection = connections[event.token] {
        handle(event.events, on: connection)
      }
    }

    private func handle(_ events: EpollEvents, on connection: Connection) {
      switch connection.stage {
      case .reading: read(connection)
      case .handling:
        if !events.isDisjoint(with: [.hangUp, .error]) { close(connection.id, .clientGone) }
      case .writing: write(connection)
      case .lingering: linger(connection)
      }
    }

    private func handleMail() {
      let mail = mailbox.take(KernelClock.monotonic)
      for listener in mail.listeners where stopAt == nil {
        if let old = acceptor.token(named: listener.name) {
          accept(old)
          acceptor.close(old)
        }
        acceptor.add(listener, epoll)
      }
      for answer in mail.answers {
        guard let connection = connections[answer.connection], connection.stage == .handling else {
          answer.whenDone?(.clientGone)
          continue
        }
        connection.whenDone = answer.whenDone
        respond(connection, answer.response)
      }
      if let time = mail.stopAt {
        stopAt = min(stopAt ?? .max, time)
        acceptor.close()
        for connection in Array(connections.values) where connection.stage == .reading {
          close(connection.id, .clientGone)
        }
      }
    }
  }

  // MARK: - Accepting

  extension ServerLoop {
    /// Probes have their own room.
    private var hasRoom: Bool { connections.count - probeCount < options.maximumConnections }

    /// Accepts some of those who wait; the rest has its turn after the others' events.
    private func accept(_ listener: UInt64) {
      if acceptor.isForProbes(listener) { return acceptProbes(listener) }
      for _ in 0..<64 {
        if !hasRoom && oldest() == nil {
          acceptor.pause(epoll)
          return
        }
        switch acceptor.accept(listener) {
        case .nobody: return
        case .connection(let socket):
          if !hasRoom { closeOldest() }
          admit(socket, rootPeersOnly: acceptor.rootPeersOnly(listener))
        case .exhausted:
          if closeOldestProbe() || closeOldest() || acceptor.useSpare() { continue }
          acceptor.pause(epoll)
          return
        case .failed:
          acceptor.pause(epoll)
          return
        }
      }
    }

    /// Accepts a few of those who ask for health; they make room for each other only.
    private func acceptProbes(_ listener: UInt64) {
      for _ in 0..<8 {
        switch acceptor.accept(listener) {
        case .nobody: return
        case .connection(let socket):
          if probeCount >= options.maximumProbes { closeOldestProbe() }
          admit(socket, rootPeersOnly: acceptor.rootPeersOnly(listener), isProbe: true)
        case .exhausted:
          if closeOldestProbe() { continue }
          acceptor.rest(listener, epoll)
          return
        case .failed:
          acceptor.rest(listener, epoll)
          return
        }
      }
    }

    @discardableResult
    private func closeOldestProbe() -> Bool {
      guard let id = probes.first(where: { connections[$0] != nil }) else { return false }
      close(id, .tooSlow)
      return true
    }

    private func admit(
      _ socket: consuming FileDescriptor, rootPeersOnly: Bool, isProbe: Bool = false
    ) {
      let peer: PeerCredentials?
      do throws(SystemError) {
        peer = try Self.peer(of: socket)
      } catch {
        // The kernel did not say who it is. The client may retry, but a refusal would be final.
        if rootPeersOnly { return }
        peer = nil
      }
      let now = KernelClock.monotonic
      let connection = Connection(
        id: acceptor.nextToken(), socket: socket, peer: peer, isProbe: isProbe, accepted: now,
        deadline: after(now, options.headTime), limits: isProbe ? .probe : options.limits)
      do throws(SystemError) {
        try epoll.add(connection.socket.rawValue, .read, token: connection.id)
      } catch {
        return
      }
      connections[connection.id] = connection
      if isProbe { probeCount += 1 }
      schedule(connection)
      if rootPeersOnly && peer?.uid != 0 {
        refuse(connection, HTTPResponse(status: 403))
        return
      }
      if isProbe {
        _ = probes.first { connections[$0] != nil }
        probes.append(connection.id)
      } else {
        _ = oldest()
        arrivals.append(connection.id)
      }
      // The request is often there already, and then it never waits behind silent clients.
      read(connection)
    }

    /// The process at the other end; nil on a TCP socket, for which the kernel reports user -1.
    private static func peer(
      of socket: borrowing FileDescriptor
    ) throws(SystemError) -> PeerCredentials? {
      let peer = try UnixSocket.peer(of: socket)
      return peer.uid == .max ? nil : peer
    }

    /// The connection that has been without a complete request for longest.
    private func oldest() -> UInt64? {
      arrivals.first { connections[$0]?.stage == .reading }
    }

    /// Closes the connection that has been without a complete request for longest.
    ///
    /// - Returns: false if every connection is being served.
    @discardableResult
    private func closeOldest() -> Bool {
      guard let id = oldest() else { return false }
      close(id, .clientGone)
      return true
    }
  }

  // MARK: - Reading

  extension ServerLoop {
    private func read(_ connection: Connection) {
      guard let count = fillBuffer(connection) else { return }
      do throws(HTTPError) {
        if count == 0 {
          try connection.parser.finish()
          close(connection.id, .clientGone)
          return
        }
        connection.received += count
        bufferedBytes += count
        if let request = try connection.parser.feed(buffer) {
          serve(connection, request)
          return
        }
      } catch {
        refuse(connection, Self.response(to: error))
        return
      }
      if connection.parser.isHeadComplete {
        connection.deadline = after(connection.accepted, options.requestTime)
        sendContinue(connection)
      }
      if bufferedBytes > options.maximumBufferedBytes { refuseLargest() }
    }

    /// Reads once into the buffer; nil if there is nothing to read or the connection was closed.
    private func fillBuffer(_ connection: Connection) -> Int? {
      buffer.removeAll(keepingCapacity: true)
      do throws(SystemError) {
        return try Descriptor.read(connection.socket.rawValue, into: &buffer, limit: 16_384)
      } catch {
        if error.errno != .again { close(connection.id, .clientGone) }
        return nil
      }
    }

    /// Lets a client that waits for it send its body; a client that does not read it sends anyway.
    private func sendContinue(_ connection: Connection) {
      guard connection.parser.wantsContinue, !connection.hasSentContinue else { return }
      connection.hasSentContinue = true
      let interim = HTTPResponse(status: 100).encoded()
      _ = try? Descriptor.send(connection.socket.rawValue, interim)
    }

    private func serve(_ connection: Connection, _ request: HTTPRequest) {
      connection.stage = .handling
      connection.deadline = .max
      connection.isToHead = request.isMethod("HEAD")
      // Nothing more is read, but a hang-up is always reported.
      watch(connection, [])
      let exchange = HTTPExchange(
        request: request, peer: connection.peer, connection: connection.id, mailbox: mailbox)
      connection.exchange = exchange
      handler(exchange)
    }

    private func refuseLargest() {
      let reading = connections.values.filter { $0.stage == .reading }
      guard let largest = reading.max(by: { $0.received < $1.received }) else { return }
      refuse(largest, Self.response(to: HTTPError(.bodyTooLarge)))
    }

    private static func response(to error: HTTPError) -> HTTPResponse {
      HTTPResponse(
        status: error.status, headers: HTTPHeaders([("Content-Type", "text/plain; charset=utf-8")]),
        body: Array("\(error)\n".utf8))
    }
  }

  // MARK: - Answering

  extension ServerLoop {
    /// Answers a client whose request was not read to its end.
    private func refuse(_ connection: Connection, _ response: HTTPResponse) {
      connection.isRefused = true
      bufferedBytes -= connection.received
      connection.received = 0
      connection.parser = HTTPRequestParser(limits: options.limits)
      respond(connection, response)
    }

    private func respond(_ connection: Connection, _ response: HTTPResponse) {
      var response = response
      response.headers["Connection"] = "close"
      connection.setOutput(response.encoded(includingBody: !connection.isToHead))
      connection.stage = .writing
      connection.deadline = after(KernelClock.monotonic, options.writeTime)
      schedule(connection)
      write(connection)
    }

    private func write(_ connection: Connection) {
      do throws(SystemError) {
        guard try connection.flush() else {
          watch(connection, .write)
          return
        }
      } catch {
        close(connection.id, .clientGone)
        return
      }
      connection.report(.written)
      if !connection.isRefused {
        close(connection.id, .written)
        return
      }
      // Closing now would reset the connection under what the client is still sending, and with it
      // the answer.
      try? Descriptor.endWriting(connection.socket.rawValue)
      connection.stage = .lingering
      connection.deadline = after(KernelClock.monotonic, options.lingerTime)
      schedule(connection)
      watch(connection, .read)
    }

    private func linger(_ connection: Connection) {
      if fillBuffer(connection) == 0 { close(connection.id, .written) }
    }
  }

  // MARK: - Ending

  extension ServerLoop {
    /// Closes what is past its deadline and finds the next one.
    private func sweep(_ now: UInt64) {
      nextSweep = .max
      for connection in Array(connections.values) {
        if connection.deadline > now {
          schedule(connection)
        } else if connection.stage == .reading && connection.parser.hasStarted {
          refuse(connection, Self.response(to: HTTPError(.tooSlow)))
        } else {
          close(connection.id, .tooSlow)
        }
      }
    }

    private func schedule(_ connection: Connection) {
      nextSweep = min(nextSweep, connection.deadline)
    }

    private func after(_ time: UInt64, _ milliseconds: Int) -> UInt64 {
      let (span, large) = UInt64(max(0, milliseconds)).multipliedReportingOverflow(by: 1_000_000)
      let (end, late) = time.addingReportingOverflow(span)
      return large || late ? .max : end
    }

    private func watch(_ connection: Connection, _ events: EpollEvents) {
      do throws(SystemError) {
        try epoll.modify(connection.socket.rawValue, events, token: connection.id)
      } catch {
        close(connection.id, .clientGone)
      }
    }

    /// Forgets a connection; its descriptor closes with the last reference to it.
    private func close(_ id: UInt64, _ delivery: HTTPExchange.Delivery) {
      guard let connection = connections.removeValue(forKey: id) else { return }
      if connection.isProbe { probeCount -= 1 }
      bufferedBytes -= connection.received
      connection.report(delivery)
      if connection.stage == .handling { connection.exchange?.clientHasGone() }
    }
  }
#endif
