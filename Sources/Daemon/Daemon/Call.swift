import CNI
import DaemonAPI
import HTTP
import Linux
import PluginKit
import Records
import Scheduling

/// One call from the request that was read to the answer, which is given once: it counts and notes
/// it, and has undone what must be undone afterwards.
final class Call: DispatchedWork {
  /// What a call works with.
  struct Tools: Sendable {
    let handler: CommandHandler
    let store: AttachmentStore
    let backlog: Backlog
    let metrics: Metrics
    let log: Log
  }

  let progress = CallProgress()
  private let decoded: DecodedRequest
  private let exchange: HTTPExchange
  private let tools: Tools
  private let claim: Claim
  /// CLOCK_MONOTONIC when its request was complete.
  private let began: UInt64
  /// Ends the waits of an ADD; other verbs go on to their end.
  private let cancellation: Cancellation?
  private let isAnswered = Mutex(false)

  /// Creates a call of a request.
  ///
  /// - Throws: code 11 when there are no descriptors left.
  init(
    _ decoded: DecodedRequest, _ exchange: HTTPExchange, _ tools: Tools, claim: Claim,
    began: UInt64
  ) throws(CNIError) {
    var decoded = decoded
    if decoded.request.command == .add {
      do throws(SystemError) {
        cancellation = try Cancellation()
      } catch {
        throw CNIError(
          .tryAgainLater, "cnid has no descriptors left", details: error.description)
      }
      decoded.request.deadline = Deadline(
        nanoseconds: decoded.request.deadline.nanoseconds, cancellation: cancellation)
    } else {
      cancellation = nil
    }
    self.decoded = decoded
    self.exchange = exchange
    self.tools = tools
    self.claim = claim
    self.began = began
  }

  private var command: CNICommand { decoded.request.command }

  /// What the dispatcher needs to know of it.
  var job: Job {
    let kind: Job.Kind =
      switch command {
      case .add: .add
      case .delete: .delete
      default: .other
      }
    return Job(
      kind: kind, claim: claim, stamp: decoded.request.stamp.nanoseconds,
      deadline: decoded.request.deadline, caller: decoded.caller, work: self)
  }

  // MARK: What the dispatcher does with it

  func run() {
    progress.tellSteps { [weak self] step in self?.noteStep(step) }
    var decoded = decoded
    // The peer is the shim, and its parent is the caller. On the other endpoints the peer is
    // the caller itself.
    let isWanted = decoded.plugin?.readsCallerName ?? true
    if isWanted, decoded.endpoint == .cni, let shim = exchange.peer?.pid {
      decoded.request.callerName = Processes.nameOfParent(of: shim) ?? ""
    }
    let result: PodResult
    do throws(CNIError) {
      result = .success(try tools.handler.handle(decoded, progress))
    } catch {
      result = .failure(error)
    }
    let isFirst = answer(result) { delivery in
      if delivery != .written { self.undoUnread() }
    }
    switch result {
    // Its client was told meanwhile that it failed.
    case .success where !isFirst: undoUnread()
    case .failure where command == .delete: finishLater(hasFailed: true)
    default: break
    }
  }

  func refuse(_ reason: Rejection) {
    switch reason {
    case .stopping:
      guard isAnswered.withLock({ $0.take() }) else { return }
      let error = CNIError(.tryAgainLater, "cnid is stopping; try again")
      count(.failure(error), nanoseconds: KernelClock.monotonic &- began)
      exchange.respond(error.httpResponse(retry: true))
      // Its client comes again by itself.
      tools.log.write(.debug, "\(command.rawValue) put off: cnid is stopping", callFields)
    case .expired: fail("deadline passed while waiting for other calls")
    case .overtaken: fail("cancelled: a DEL of the attachment came")
    case .clientGone: fail("the client hung up before its turn")
    case .outlived: answer(.failure(.callIsOver))
    case .overdue:
      if let failure = progress.failure {
        answer(.failure(failure))
        return
      }
      let step = progress.current
      fail("deadline passed" + (step.isEmpty ? "" : " in step \(step)"))
    }
  }

  func cancel() { cancellation?.cancel() }

  func cameBack() {
    tools.log.write(
      .warning, "a call that was given up has come back",
      callFields + [("step", progress.current)])
    // What it did in its last step is undone.
    finishLater(hasFailed: false)
  }

  // MARK: The answer

  private func fail(_ message: String) { answer(.failure(CNIError(.deadline, message))) }

  /// Answers, if nobody has.
  ///
  /// - Returns: whether this was the answer.
  @discardableResult
  private func answer(
    _ result: PodResult, whenDone: (@Sendable (HTTPExchange.Delivery) -> Void)? = nil
  ) -> Bool {
    guard isAnswered.withLock({ $0.take() }) else { return false }
    let time = KernelClock.monotonic &- began
    // Before the answer, so that a client that has it finds the call in the metrics.
    // The log can wait.
    count(result, nanoseconds: time)
    switch result {
    case .success(let bytes):
      exchange.respond(
        Response(result: bytes).httpResponse(for: decoded.endpoint), whenDone: whenDone)
    case .failure(let error): exchange.respond(error.httpResponse())
    }
    note(result, nanoseconds: time)
    return true
  }

  /// Counts how it was answered.
  private func count(_ result: PodResult, nanoseconds: UInt64) {
    let code: Int
    switch result {
    case .success: code = 0
    case .failure(let error): code = error.code.rawValue
    }
    tools.metrics.finished(
      command: command, plugin: decoded.plugin?.name ?? "", code: code, nanoseconds: nanoseconds,
      isKnownAway: decoded.plugin?.isReady == false)
    tools.metrics.steps(progress.finished)
  }

  /// Writes into the log how it was answered.
  private func note(_ result: PodResult, nanoseconds: UInt64) {
    let level: LogLevel
    var (message, fields) = (command.rawValue, callFields)
    fields.append(("ms", Int(clamping: nanoseconds / 1_000_000)))
    switch result {
    case .success:
      // A runtime may ask several times a second.
      level = command == .status || command == .check ? .debug : .info
      message += " done"
      fields += progress.result?.logFields(decoded.request.ifName) ?? []
      fields.append(("code", 0))
    case .failure(let error):
      level = .warning
      message += " failed"
      fields += [("code", error.code.rawValue), ("error", "\(error)")]
    }
    tools.log.write(level, message, fields)
  }

  /// Writes into the log that a step has ended.
  private func noteStep(_ step: CallProgress.Step) {
    guard tools.log.has(.debug) else { return }
    let time = Milliseconds(nanoseconds: step.nanoseconds)
    tools.log.write(
      .debug, "\(command.rawValue) step", callFields + [("step", step.name), ("ms", time)])
  }

  /// What every line about it says.
  private var callFields: LogFields {
    decoded.request.logFields + [
      ("plugin", decoded.plugin?.name ?? ""), ("request", decoded.request.requestID),
    ]
  }

  // MARK: Afterwards

  /// Has an ADD undone whose result nobody has got.
  private func undoUnread() {
    guard command == .add, let key = decoded.ownKey else { return }
    let request = decoded.request
    tools.backlog.add(
      .undoUnread(key, requestID: request.requestID), stamp: request.stamp.nanoseconds)
  }

  /// Has its unfinished work completed, whether its client retries or not.
  private func finishLater(hasFailed: Bool) {
    for key in tools.store.unfinished(of: decoded.request) {
      tools.backlog.add(.finish(key), hasFailed: hasFailed)
    }
  }
}

extension Bool {
  /// Turns a flag on.
  ///
  /// - Returns: whether it was off.
  fileprivate mutating func take() -> Bool {
    defer { self = true }
    return !self
  }
}
