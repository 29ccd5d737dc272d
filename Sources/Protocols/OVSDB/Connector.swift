import JSON
import Linux

/// The thread that makes a session's connection and reads from it.
struct Connector {
  /// A connection cannot be made or used further.
  struct Broken: Error {
    let cause: String
    init(_ cause: String) { self.cause = cause }
  }

  private let session: Session

  init(_ session: Session) { self.session = session }

  /// Runs until nobody needs a connection.
  func run() {
    var pauses = RetryPauses(session.time)
    repeat {
      _ = session.takeWantedTry()
      do throws(Broken) {
        var line = try connect()
        pauses.reset()
        session.lost(cause: serve(&line).cause)
      } catch {
        session.failed(cause: error.cause)
      }
    } while session.goesOn() && rest(&pauses)
  }

  /// Waits before the next try, unless somebody wants it now.
  ///
  /// - Returns: whether to connect.
  private func rest(_ pauses: inout RetryPauses) -> Bool {
    let pause = pauses.next(isOutageShort: session.isOutageShort)
    let end = Deadline.after(milliseconds: pause, cancellation: session.closing)
    while true {
      if session.takeWantedTry() { return true }
      do throws(SystemError) {
        try end.wait(session.work.descriptor.rawValue, for: .read, "pause")
        session.work.reset()
      } catch {
        return session.goesOn()
      }
      if !session.goesOn() { return false }
    }
  }

  // MARK: Making a connection

  private func connect() throws(Broken) -> Line {
    let deadline = Deadline.after(
      milliseconds: session.time.tryMilliseconds, cancellation: session.closing)
    let socket: FileDescriptor
    do throws(SystemError) {
      switch session.address {
      case .unix(let path): socket = try UnixSocket.connect(path)
      case .tcp(let address, let port):
        socket = try TCPSocket.connect(address, port: port, deadline: deadline)
      }
    } catch {
      throw Broken("\(error)")
    }
    var line = Line(socket.rawValue)
    let copy = try copyTables(&line, deadline)
    guard session.connected(socket, copy) else { throw Broken("closed") }
    return line
  }

  /// Reads the schema and the first copy of what is watched; updates follow it by themselves.
  private func copyTables(_ line: inout Line, _ deadline: Deadline) throws(Broken) -> OVSDBReplica {
    let database = JSONValue.string(session.database)
    let schema: OVSDBSchema
    var copy: OVSDBReplica
    switch try line.ask("get_schema", [database], deadline) {
    case .error(let error, let details):
      throw Broken(details.isEmpty ? "get_schema: \(error)" : "get_schema: \(error): \(details)")
    case .result(let json):
      do throws(OVSDBWireError) {
        schema = try OVSDBSchema(json)
        copy = OVSDBReplica(schema: schema, watching: session.monitoring)
      } catch {
        throw Broken("get_schema: \(error)")
      }
    }
    let tables = schema.watchable(session.monitoring).sorted { $0.key < $1.key }
    if tables.isEmpty { return copy }
    for (method, format) in [("monitor_cond", OVSDBUpdateFormat.differences), ("monitor", .rows)] {
      // RFC 7047 has one request for a table, ovsdb-server(7) a list of them.
      let wanted = tables.map { table, columns -> (String, JSONValue) in
        let request: JSONValue = ["columns": .array(columns.map { .string($0) })]
        return (table, format == .rows ? request : [request])
      }
      switch try line.ask(method, [database, .null, .object(JSONObject(wanted))], deadline) {
      case .error("unknown method", _): continue
      case .error(let error, let details):
        throw Broken(details.isEmpty ? "\(method): \(error)" : "\(method): \(error): \(details)")
      case .result(let json):
        do throws(OVSDBWireError) {
          try copy.apply(json, format)
        } catch {
          throw Broken("\(method): \(error)")
        }
        return copy
      }
    }
    throw Broken("the server knows no way to watch tables")
  }

  // MARK: Using it

  /// Reads what comes and writes what waits, until the connection is of no use any more.
  private func serve(_ line: inout Line) -> Broken {
    var silence = Silence(limit: session.time.silence, now: KernelClock.monotonic)
    do throws(Broken) {
      // What came together with the last answer of `connect`.
      try handle(line.takeMessages())
      while true {
        if let cause = session.breakingCause { throw Broken(cause) }
        let end = Deadline(nanoseconds: silence.end, cancellation: session.closing)
        let seen = try wait(line.descriptor, end)
        if seen.contains(.write) || seen.isEmpty { session.flush() }
        if seen.isEmpty {
          switch silence.due(now: KernelClock.monotonic) {
          case .nothing: break
          case .ask: session.post(Message.request("echo", [], id: 0))
          case .giveUp:
            throw Broken("no answer for \(session.time.silence / 1_000_000_000) s")
          }
        }
        guard !seen.subtracting(.write).isEmpty else { continue }
        try line.read()
        silence.broken(now: KernelClock.monotonic)
        try handle(line.takeMessages())
      }
    } catch {
      return error
    }
  }

  /// Waits until the socket is ready or there is something else to do.
  ///
  /// - Returns: what was seen on the socket; empty if the time is over or there is output.
  private func wait(_ descriptor: Int32, _ end: Deadline) throws(Broken) -> PollEvents {
    var entries = [
      PollEntry(descriptor, session.hasOutput ? [.read, .write] : .read),
      PollEntry(session.work.descriptor.rawValue, .read),
    ]
    do throws(SystemError) {
      try end.wait(&entries, "wait for the server")
    } catch {
      if error.errno == .timedOut { return [] }
      throw Broken(error.errno == .cancelled ? "closed" : "\(error)")
    }
    if !entries[1].seen.isEmpty { session.work.reset() }
    return entries[0].seen
  }

  private func handle(_ messages: [Message]) throws(Broken) {
    for message in messages {
      switch message {
      case .answer(let id, let answer): session.answered(id, answer)
      case .echo(let id, let parameters): session.post(Message.answer(parameters, id: id))
      case .unknownRequest(let id):
        session.post(Message.answer(.null, error: "unknown method", id: id))
      case .update(let json, let format):
        do throws(OVSDBWireError) {
          try session.update(json, format)
        } catch {
          throw Broken("an update cannot be understood: \(error)")
        }
      case .monitorCancelled: throw Broken("the server has ended the watch")
      case .other: break
      }
    }
  }
}

/// The reading end of a connection, and before others write to it too, the writing end.
struct Line {
  let descriptor: Int32
  private var splitter = MessageSplitter()
  private var messages: [Message] = []
  private var lastID = 0

  init(_ descriptor: Int32) { self.descriptor = descriptor }

  /// The messages that have come.
  mutating func takeMessages() -> [Message] {
    defer { messages = [] }
    return messages
  }

  /// Reads once.
  ///
  /// - Throws: when the connection has ended, or what comes is no JSON-RPC.
  mutating func read() throws(Connector.Broken) {
    var bytes: [UInt8] = []
    do throws(SystemError) {
      guard try Descriptor.read(descriptor, into: &bytes, limit: 64 << 10) > 0 else {
        throw SystemError("read", "", .connectionReset)
      }
    } catch {
      if error.errno == .again { return }
      throw Connector.Broken(
        error.errno == .connectionReset ? "the server ended the connection" : "\(error)")
    }
    var failure: MessageSplitter.Failure?
    var complete: [[UInt8]] = []
    do throws(MessageSplitter.Failure) {
      try splitter.feed(bytes[...], into: &complete)
    } catch {
      failure = error
    }
    do throws(OVSDBWireError) {
      for message in complete { messages.append(try Message(message)) }
    } catch {
      throw Connector.Broken("\(error)")
    }
    if let failure { throw Connector.Broken("\(failure)") }
  }

  /// Sends a request and waits for its answer; for one at a time.
  ///
  /// Numbers below zero, so that they are nobody else's. What comes before the answer is dropped
  /// but an `echo`; updates come only after the answer to the request for them, and stay.
  mutating func ask(
    _ method: String, _ parameters: [JSONValue], _ deadline: Deadline
  ) throws(Connector.Broken) -> Message.Answer {
    lastID -= 1
    try write(Message.request(method, parameters, id: lastID), deadline)
    while true {
      while !messages.isEmpty {
        switch messages.removeFirst() {
        case .answer(id: lastID, let answer): return answer
        case .echo(let id, let parameters):
          try write(Message.answer(parameters, id: id), deadline)
        default: break
        }
      }
      do throws(SystemError) {
        try deadline.wait(descriptor, for: .read, "wait for the answer to \(method)")
      } catch {
        throw Connector.Broken(
          error.errno == .timedOut ? "no answer to \(method) in time" : "\(error)")
      }
      try read()
    }
  }

  private func write(_ bytes: [UInt8], _ deadline: Deadline) throws(Connector.Broken) {
    do throws(SystemError) {
      try Descriptor.sendAll(descriptor, bytes, deadline: deadline)
    } catch {
      throw Connector.Broken("\(error)")
    }
  }
}
