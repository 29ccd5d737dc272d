import CNI
import DaemonAPI
import Linux

/// One call's conversation with the daemon: waiting for it, sending, and sending again
/// where that is safe.
struct Exchange {
  private let command: CNICommand
  private let request: Request
  private let client: DaemonClient
  private let headers: RequestHeaders
  private let deadline: Deadline
  private let seconds: Int
  /// For how many seconds a daemon that is not there is waited for.
  private let patience: Int
  /// Since when nobody is there, CLOCK_MONOTONIC.
  private var absentSince: UInt64
  private let socketDirectory: String
  var log: ShimLog
  /// Whether an answer that was cut has been asked for once more.
  private var hasRepeated = false
  /// Why the daemon did not serve the last try; nil before the first.
  private var absence: DaemonClientError?

  init(
    _ command: CNICommand, _ request: Request, _ configuration: ShimConfiguration,
    begun: CallBeginning, log: ShimLog
  ) throws(CNIError) {
    self.command = command
    self.request = request
    self.log = log
    deadline = begun.deadline(seconds: configuration.daemonTimeout)
    seconds = configuration.daemonTimeout
    patience = min(seconds, configuration.patience(for: command))
    absentSince = KernelClock.monotonic
    socketDirectory = configuration.daemonSocketDirectory
    client = DaemonClient(socketPath: socketPath(directory: socketDirectory))
    do throws(SystemError) {
      headers = RequestHeaders(requestID: try RequestID.random(), stamp: begun.stamp)
    } catch {
      throw CNIError(.ioFailure, "\(error)")
    }
  }

  /// Gets the daemon's answer.
  ///
  /// - Returns: the answer; nil if a DEL found no daemon and waits in the spool.
  /// - Throws: the daemon's own error; 11 or, for STATUS, 50 if it cannot be reached (11 for a DEL
  ///   that cannot be written to the spool either); 5 for an answer that cannot be read; 105 if
  ///   none came in time.
  mutating func run() throws(CNIError) -> Response? {
    switch command {
    // It is served while the daemon is not ready, too.
    case .status: try runWaiting(.healthz)
    case .delete: try runDelete()
    default: try runWaiting(.readyz)
    }
  }

  /// All verbs but DEL wait for a daemon that is not there, each its time; one that answers has the
  /// whole call's.
  ///
  /// They are repeated under the same request id if it went away before it answered. It then
  /// returns what it had finished, or does the work again.
  private mutating func runWaiting(_ probe: Endpoint) throws(CNIError) -> Response {
    while true {
      let begun = KernelClock.monotonic
      var sent: UInt64?
      do throws(DaemonClientError) {
        try client.waitUntilAPIReady(probe, deadline: absenceLimit)
        sent = KernelClock.monotonic
        return try send()
      } catch {
        try mayComeAgain(after: error, begun: begun, sent: sent)
      }
      Clock.pause(milliseconds: min(100, absenceLimit.remainingMilliseconds))
    }
  }

  /// When the wait for a daemon that is not there is over.
  private var absenceLimit: Deadline {
    let (end, isLate) = absentSince.addingReportingOverflow(UInt64(patience) &* 1_000_000_000)
    return Deadline(nanoseconds: isLate ? deadline.nanoseconds : min(end, deadline.nanoseconds))
  }

  /// Throws unless another try is right.
  private mutating func mayComeAgain(
    after error: DaemonClientError, begun: UInt64, sent: UInt64?
  ) throws(CNIError) {
    let now = KernelClock.monotonic
    switch error.reason {
    case .unreachable, .stopping, .noAnswer:
      log.write(.info, error.description)
      // It was there, and had the call for more than a moment.
      if command != .status, let sent, now &- sent > 1_000_000_000 { absentSince = now }
      if absenceLimit.isOver { throw unreachable(error) }
      absence = error
    // If no try was served, a try that began in the last second tells nothing new.
    case .deadline where now &- begun < 1_000_000_000:
      throw absence.map { unreachable($0) } ?? failure(error)
    case .cut where !hasRepeated:
      hasRepeated = true
      absentSince = now
      log.write(.warning, error.description)
    default: throw failure(error)
    }
  }

  /// DEL never waits for a daemon that is not there.
  ///
  /// It goes to the spool, and the daemon does it when it is back.
  private mutating func runDelete() throws(CNIError) -> Response? {
    while true {
      do throws(DaemonClientError) {
        return try sendProbed()
      } catch {
        switch error.reason {
        case .unreachable, .stopping: return try spool(after: error)
        // The probe that follows finds out whether the daemon is still there.
        case .noAnswer where !hasRepeated, .cut where !hasRepeated:
          hasRepeated = true
          log.write(.warning, error.description)
        case .noAnswer: return try spool(after: error)
        default: throw failure(error)
        }
      }
    }
  }

  /// Writes the DEL to the spool, and asks once more: a daemon that came meanwhile may have read
  /// the spool before.
  private mutating func spool(after error: DaemonClientError) throws(CNIError) -> Response? {
    let writer = SpoolWriter(socketDirectory: socketDirectory)
    guard let stamp = headers.stamp,
      let entry = SpoolEntry(request, requestID: headers.requestID ?? "", stamp: stamp)
    else { throw CNIError(.internal, "the call has no id") }
    try writer.write(entry)
    do throws(DaemonClientError) {
      let response = try sendProbed()
      writer.remove(entry)
      return response
    } catch let second {
      if case .refused(let own) = second.reason {
        writer.remove(entry)
        throw own
      }
      let hint = writer.isUsual ? "" : " (is daemonSocketDir right?)"
      log.write(.warning, "DEL waits in \(writer.directory) for cnid\(hint): \(error)")
      return nil
    }
  }

  private func sendProbed() throws(DaemonClientError) -> Response {
    try client.checkAPIReadyNow(.healthz, deadline: deadline)
    return try send()
  }

  private func send() throws(DaemonClientError) -> Response {
    try client.doCNI(request, endpoint: .cni, headers: headers, deadline: deadline)
  }

  private func unreachable(_ error: DaemonClientError) -> CNIError {
    CNIError(
      command == .status ? .notAvailable : .tryAgainLater,
      "cnid serves no calls (waited \(patience) s): is it running (systemctl status cnid), and is "
        + "daemonSocketDir right?",
      details: error.description)
  }

  private func failure(_ error: DaemonClientError) -> CNIError {
    switch error.reason {
    case .refused(let own), .stopping(let own): own
    case .unreachable, .noAnswer: unreachable(error)
    case .deadline, .cancelled:
      CNIError(
        .deadline, "cnid did not answer within \(seconds) s", details: error.description)
    case .cut, .malformed, .failed: CNIError(.ioFailure, error.description)
    }
  }
}
