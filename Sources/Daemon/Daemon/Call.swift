import CNI
import DaemonAPI
import HTTP
import Linux
import PluginKit
import Scheduling

/// One call on its way from a client's request to the answer, which is given once.
final class Call: DispatchedWork {
  let decoded: DecodedRequest
  let progress = CallProgress()
  private let exchange: HTTPExchange
  private let service: CallService
  /// CLOCK_MONOTONIC when its request was complete.
  private let began: UInt64
  /// Ends the waits of an ADD; other verbs go on to their end.
  private let cancellation: Cancellation?
  private let isAnswered = Mutex(false)

  /// Makes a call of a request.
  ///
  /// - Throws: code 11 when there are no descriptors left.
  init(
    _ decoded: DecodedRequest, _ exchange: HTTPExchange, _ service: CallService, began: UInt64
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
    self.service = service
    self.began = began
  }

  /// What the dispatcher needs to know of it.
  var job: Job {
    let request = decoded.request
    let kind: Job.Kind =
      switch request.command {
      case .add: .add
      case .delete: .delete
      default: .other
      }
    return Job(
      kind: kind, claim: service.handler.claim(of: decoded), stamp: request.stamp.nanoseconds,
      deadline: request.deadline, work: self)
  }

  func run() {
    let result: PodResult
    do throws(CNIError) {
      result = .success(try service.handler.handle(decoded, progress))
    } catch {
      result = .failure(error)
    }
    let command = decoded.request.command
    let isAdd = command == .add
    let isFirst = answer(result) { delivery in
      if isAdd, delivery != .written { self.service.undoUnread(self) }
    }
    // Its client was told meanwhile that it failed.
    if isAdd, !isFirst, case .success = result { service.undoUnread(self) }
    if command == .delete, case .failure = result { service.continueLater(self) }
  }

  func refuse(_ reason: Rejection) {
    switch reason {
    case .stopping:
      guard isAnswered.withLock({ $0.take() }) else { return }
      let error = CNIError(.tryAgainLater, "cnid is stopping; try again")
      service.count(self, .failure(error), nanoseconds: KernelClock.monotonic &- began)
      exchange.respond(error.httpResponse(retry: true))
    case .expired: fail("deadline passed while waiting for other calls")
    case .overtaken: fail("cancelled: a DEL of the attachment came")
    case .clientGone: fail("the client hung up before its turn")
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

  func cameBack() { service.cameBack(self) }

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
    // Before the answer, so that who has it finds the call in the metrics; the log can wait.
    service.count(self, result, nanoseconds: time)
    switch result {
    case .success(let bytes):
      exchange.respond(
        Response(result: bytes).httpResponse(for: decoded.endpoint), whenDone: whenDone)
    case .failure(let error): exchange.respond(error.httpResponse())
    }
    service.note(self, result, nanoseconds: time)
    return true
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
