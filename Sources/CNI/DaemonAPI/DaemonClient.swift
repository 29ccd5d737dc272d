import CNI
package import HTTP
package import Linux

/// A client of the daemon on one socket.
///
/// Counterpart of `Plugin` (`NewCNIPlugin`) of OVN-Kubernetes' cni package, which holds the
/// endpoint and the functions that use it, and of the functions of Multus' server api. Each call is
/// one connection; every wait ends with its deadline.
package struct DaemonClient: Sendable {
  /// How often the daemon is asked whether it is ready: counterpart of Multus'
  /// `APIReadyPollDuration`.
  package static let apiReadyPollMilliseconds = 100
  /// How long it is waited for unless the caller says otherwise: counterpart of
  /// `APIReadyPollTimeout`.
  package static let apiReadyTimeoutMilliseconds = 60_000
  /// How long one probe may take.
  package static let probeMilliseconds = 1000

  package let socketPath: String
  private let http: HTTPClient

  /// Creates a client; nothing is opened yet.
  ///
  /// - Parameters:
  ///   - socketPath: see ``socketPath(directory:)``.
  ///   - limits: how much of an answer is read.
  package init(socketPath: String, limits: HTTPLimits = .client) {
    self.socketPath = socketPath
    http = HTTPClient(.unix(path: socketPath), limits: limits)
  }

  /// Sends a call and waits for its answer: counterpart of Multus' `DoCNI`.
  ///
  /// - Parameters:
  ///   - request: the call.
  ///   - endpoint: ``Endpoint/cni``, ``Endpoint/delegate`` or ``Endpoint/ovn``.
  ///   - headers: id and stamp; the time left is the deadline's unless given.
  ///   - deadline: for the whole exchange.
  /// - Returns: the answer, with the result's exact bytes.
  /// - Throws: what came of the call otherwise; nothing is tried again here.
  package func doCNI(
    _ request: Request, endpoint: Endpoint = .cni, headers: RequestHeaders = RequestHeaders(),
    deadline: Deadline
  ) throws(DaemonClientError) -> Response {
    var headers = headers
    if headers.timeLeft == nil, deadline.nanoseconds != .max {
      headers.timeLeft = deadline.remainingMilliseconds
    }
    let answer = try post(endpoint, request.encoded(), headers, deadline)
    guard answer.status == 200 else { throw DaemonClientError(answer) }
    do throws(CNIError) {
      return try Response(parsing: answer.body, from: endpoint)
    } catch {
      throw DaemonClientError(.malformed, "\(socketPath): cannot read the answer: \(error)")
    }
  }

  /// Asks the daemon once whether it is ready, for a second at most: counterpart of Multus'
  /// `CheckAPIReadyNow`.
  ///
  /// - Parameters:
  ///   - endpoint: ``Endpoint/readyz``, or ``Endpoint/healthz`` for what is served
  ///     while stopping too.
  ///   - deadline: ends the probe sooner.
  /// - Throws: `unreachable` whatever is in the way, or `cancelled`, or `failed` when trying
  ///   again is in vain.
  package func checkAPIReadyNow(
    _ endpoint: Endpoint = .readyz, deadline: Deadline = .never
  ) throws(DaemonClientError) {
    let probe = deadline.capped(milliseconds: Self.probeMilliseconds)
    let answer: HTTPResponse
    do throws(DaemonClientError) {
      // The 4 bytes that Multus' client sends, too.
      answer = try post(endpoint, Array("null".utf8), RequestHeaders(), probe)
    } catch {
      switch error.reason {
      case .cancelled, .failed: throw error
      default: throw DaemonClientError(.unreachable, error.description)
      }
    }
    guard answer.status == 200 else {
      let text = CNIError(answer: answer).message
      throw DaemonClientError(.unreachable, "\(socketPath): not ready: \(text)")
    }
  }

  /// Asks every 100 ms until the daemon is ready: counterpart of Multus' `WaitUntilAPIReady`.
  ///
  /// - Parameters:
  ///   - endpoint: ``Endpoint/readyz`` or ``Endpoint/healthz``.
  ///   - deadline: when to give up; a minute from now unless given.
  /// - Throws: what the last probe threw.
  package func waitUntilAPIReady(
    _ endpoint: Endpoint = .readyz,
    deadline: Deadline = .after(milliseconds: apiReadyTimeoutMilliseconds)
  ) throws(DaemonClientError) {
    while true {
      let next = deadline.capped(milliseconds: Self.apiReadyPollMilliseconds)
      do throws(DaemonClientError) {
        return try checkAPIReadyNow(endpoint, deadline: deadline)
      } catch {
        guard error.reason == .unreachable, !deadline.isOver else { throw error }
        try pause(until: next)
        // The last probe's error says more than that the time is over.
        if deadline.isOver { throw error }
      }
    }
  }

  /// Waits for the moment or for the cancellation that goes with it.
  private func pause(until moment: Deadline) throws(DaemonClientError) {
    var nothing: [PollEntry] = []
    do throws(SystemError) {
      try moment.wait(&nothing, "wait", socketPath)
    } catch {
      if error.errno == .timedOut { return }
      let reason: DaemonClientError.Reason = error.errno == .cancelled ? .cancelled : .failed
      throw DaemonClientError(reason, error.description)
    }
  }

  private func post(
    _ endpoint: Endpoint, _ body: [UInt8], _ headers: RequestHeaders, _ deadline: Deadline
  ) throws(DaemonClientError) -> HTTPResponse {
    var request = HTTPRequest(method: "POST", target: endpoint.path, body: body)
    request.headers.append("Content-Type", "application/json")
    headers.append(to: &request.headers)
    do throws(HTTPClientError) {
      return try http.send(request, deadline: deadline)
    } catch {
      throw DaemonClientError(error)
    }
  }
}
