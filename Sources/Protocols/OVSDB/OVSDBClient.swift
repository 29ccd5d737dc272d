import JSON
public import Linux

/// A client of one database of an OVSDB server, RFC 7047.
///
/// All threads of the program share it: it keeps one connection, sends everything over it and
/// tells the answers apart by their numbers. Nothing is started before the first use. A thread of
/// its own reads while there is a connection, or while somebody waits for one; it inherits the
/// network namespace of the thread that needed it first, so use the client from threads that are
/// in the program's own.
///
/// **When there is no connection**, a call connects at once. An outage of less than two seconds,
/// such as a restart of the server, is waited out inside the deadline, with a try every 100 ms. In
/// a longer outage, a call gets the outcome of one new try. A `wait` that began before it tries
/// again in pauses that grow up to 5 s. A connection that has been silent for 5 s is probed.
/// Without an answer within 5 more seconds, it is closed.
///
/// **The copy.** The tables and columns named at the beginning are copied when a connection is
/// made, and the server's updates keep the copy current. When `transact` returns, the copy has what
/// the transaction did: the server sends a connection its updates before the answers that follow
/// from the same change.
public final class OVSDBClient: Sendable {
  /// Where the server is.
  public let address: OVSDBAddress
  /// The database, such as `Open_vSwitch`.
  public let database: String
  let session: Session

  /// Creates a client; nothing is opened but an event descriptor or two.
  ///
  /// - Parameters:
  ///   - address: where the server is.
  ///   - database: the database's name.
  ///   - monitoring: by table, the columns to keep a copy of; what the server's schema
  ///     lacks is left out.
  ///   - log: told of a connection made or lost, on the thread that notices; must not
  ///     call the client.
  /// - Throws: `failed` when there are no descriptors left.
  public convenience init(
    _ address: OVSDBAddress, database: String, monitoring: [String: [String]] = [:],
    log: @escaping @Sendable (OVSDBEvent) -> Void = { _ in }
  ) throws(OVSDBError) {
    try self.init(
      address, database: database, monitoring: monitoring, time: ConnectionTime(), log: log)
  }

  init(
    _ address: OVSDBAddress, database: String, monitoring: [String: [String]],
    time: ConnectionTime, log: @escaping @Sendable (OVSDBEvent) -> Void
  ) throws(OVSDBError) {
    self.address = address
    self.database = database
    do throws(SystemError) {
      session = try Session(
        address: address, database: database, monitoring: monitoring, time: time, log: log)
    } catch {
      throw .failed(error)
    }
  }

  deinit { session.close() }

  /// Ends the connection and every call that waits; calls made later throw `closed`.
  public func close() { session.close() }

  /// Whether there is a connection now; it may be dead without anybody knowing yet.
  public var isConnected: Bool { session.isConnected }

  /// Has a connection made if there is none.
  ///
  /// - Throws: `unreachable` with the cause; `timedOut` never.
  public func connect(deadline: Deadline) throws(OVSDBError) {
    try session.connect(deadline: deadline)
  }

  /// What the server knows.
  ///
  /// - Throws: as `connect(deadline:)`.
  public func schema(deadline: Deadline) throws(OVSDBError) -> OVSDBSchema {
    try read(deadline: deadline) { $0.schema }
  }

  /// Does all of the operations or none.
  ///
  /// It is sent once. When the answer does not come (`interrupted`, `timedOut`,
  /// `cancelled`, `malformed`) it may have been carried out all the same; the caller
  /// decides whether to repeat it.
  ///
  /// - Parameters:
  ///   - operations: what to do, in this order.
  ///   - deadline: for everything, connecting included.
  /// - Returns: a result for each operation, when the copy has what they did.
  /// - Throws: `unreachable` if nothing was sent; `refused` if nothing was done.
  @discardableResult
  public func transact(
    _ operations: [OVSDBOperation], deadline: Deadline
  ) throws(OVSDBError) -> [OVSDBResult] {
    let answer = try session.call(
      "transact", [.string(database)] + operations.map(\.json), deadline: deadline)
    switch answer {
    case .error(let error, let details):
      throw .refused(index: nil, operation: "the transaction", error: error, details: details)
    case .result(let json):
      let outcome: OVSDBResult.Outcome
      do throws(OVSDBWireError) {
        outcome = try OVSDBResult.outcome(json, operations: operations.count)
      } catch {
        throw .malformed(address, error.description)
      }
      switch outcome {
      case .done(let results): return results
      case .refused(let index, let error, let details):
        let operation = index.map { operations[$0].description } ?? "the transaction"
        throw .refused(index: index, operation: operation, error: error, details: details)
      }
    }
  }

  /// Looks at the copy, as the server's last update left it.
  ///
  /// - Parameters:
  ///   - deadline: for a connection, if there is none.
  ///   - body: looks; it holds up the updates meanwhile, and must not call the client.
  /// - Returns: what `body` returned.
  /// - Throws: as `connect(deadline:)`.
  public func read<Value: Sendable>(
    deadline: Deadline, _ body: (OVSDBReplica) -> Value
  ) throws(OVSDBError) -> Value {
    while true {
      try session.connect(deadline: deadline)
      // None if the connection was lost just now.
      if let value = session.look(body) { return value }
    }
  }

  /// Waits until the copy is as somebody wants it; looks at each update and never between.
  ///
  /// If the connection is lost meanwhile, the client connects again within the deadline, and reads
  /// everything again.
  ///
  /// - Parameters:
  ///   - what: what is awaited, for the error.
  ///   - deadline: for everything.
  ///   - body: gives a value when the copy is so, nil when not yet; it holds up the updates
  ///     meanwhile, and must not call the client.
  /// - Returns: what `body` gave.
  /// - Throws: `timedOut` with `what`; `unreachable` if there was no connection at first, as for
  ///   `connect`, or at the end.
  public func wait<Value: Sendable>(
    for what: String, deadline: Deadline, until body: (OVSDBReplica) -> Value?
  ) throws(OVSDBError) -> Value {
    try session.wait(for: what, deadline: deadline, until: body)
  }
}

/// What becomes of a client's connection, for a log.
public enum OVSDBEvent: Equatable, Sendable, CustomStringConvertible {
  /// There is a connection, to a database of this schema version.
  case connected(OVSDBAddress, schema: String)
  /// The connection has ended.
  case lost(OVSDBAddress, cause: String)
  /// None could be made; told once for each cause in an outage.
  case unreachable(OVSDBAddress, cause: String)

  /// One line.
  public var description: String {
    switch self {
    case .connected(let address, let schema): "connected to OVSDB at \(address), schema \(schema)"
    case .lost(let address, let cause): "lost OVSDB at \(address): \(cause)"
    case .unreachable(let address, let cause): "OVSDB at \(address) is not reachable: \(cause)"
    }
  }
}
