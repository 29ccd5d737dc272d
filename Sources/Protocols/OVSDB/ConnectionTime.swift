/// How long a client waits for its server; only tests change it.
struct ConnectionTime: Sendable {
  /// For connecting, reading the schema and copying the tables, in milliseconds.
  var tryMilliseconds = 10_000
  /// The silence after which the server is asked, and the time it has for an answer, in
  /// nanoseconds.
  var silence: UInt64 = 5_000_000_000
  /// How long an outage may be for a call to wait until it is over, in nanoseconds.
  var patience: UInt64 = 2_000_000_000
  /// The pauses between two tries, in milliseconds.
  var shortestPause = 100
  var longestPause = 5000
}

/// The silence of a connection, on a clock that is handed in.
struct Silence {
  /// What is to be done about it.
  enum Due { case nothing, ask, giveUp }

  private let limit: UInt64
  private var heard: UInt64
  private var asked: UInt64?

  init(limit: UInt64, now: UInt64) { (self.limit, heard) = (limit, now) }

  /// When something is due.
  var end: UInt64 {
    let (end, isLate) = (asked ?? heard).addingReportingOverflow(limit)
    return isLate ? .max : end
  }

  /// The server has said something.
  mutating func broken(now: UInt64) {
    heard = now
    asked = nil
  }

  /// What is due now; a question counts as asked.
  mutating func due(now: UInt64) -> Due {
    if now < end { return .nothing }
    if asked != nil { return .giveUp }
    asked = now
    return .ask
  }
}

/// The pauses between tries to connect.
struct RetryPauses {
  private let time: ConnectionTime
  private var pause: Int

  init(_ time: ConnectionTime) { (self.time, pause) = (time, time.shortestPause) }

  /// A connection was there.
  mutating func reset() { pause = time.shortestPause }

  /// The next pause; it does not grow while callers wait for the end of a short outage.
  mutating func next(isOutageShort: Bool) -> Int {
    defer { if !isOutageShort { pause = min(pause * 2, time.longestPause) } }
    return pause
  }
}
