import CNI
import DaemonAPI
import HTTP
import Linux
import PluginKit
import Scheduling

/// A call's way from the HTTP request to the answer.
final class CallService: Sendable {
  let handler: CommandHandler
  private let decoder: RequestDecoder
  private let dispatcher: Dispatcher
  private let backlog: Backlog
  private let metrics: Metrics
  private let log: Log
  private let isStopping = Mutex(false)

  init(
    decoder: RequestDecoder, handler: CommandHandler, dispatcher: Dispatcher,
    backlog: Backlog, metrics: Metrics, log: Log
  ) {
    self.decoder = decoder
    self.handler = handler
    self.dispatcher = dispatcher
    self.backlog = backlog
    self.metrics = metrics
    self.log = log
  }

  /// From now on only DEL is served; waiting calls of other verbs are sent away to come again.
  func beginStopping() {
    isStopping.withLock { $0 = true }
    for job in dispatcher.removeWaiting(where: { $0.kind != .delete }) {
      job.work.refuse(.stopping)
    }
  }

  /// Takes a request on; on the epoll thread, so nothing here waits.
  func take(_ exchange: HTTPExchange, _ endpoint: Endpoint) {
    let began = KernelClock.monotonic
    do throws(CNIError) {
      var decoded = try decoder.decode(exchange.request, endpoint)
      // The peer is the shim; who ran that is its parent. On the other endpoints the peer is whoever asks.
      if endpoint == .cni, let shim = exchange.peer?.pid {
        decoded.request.callerName = Processes.nameOfParent(of: shim) ?? ""
      }
      let call = try Call(decoded, exchange, self, began: began)
      let isDelete = decoded.request.command == .delete
      if !isDelete, isStopping.withLock({ $0 }) { return call.refuse(.stopping) }
      let job = call.job
      for attachment in isDelete ? job.claim.attachments : [] {
        dispatcher.overtakeAdds(of: attachment, before: job.stamp)
      }
      let id = try dispatcher.submit(job)
      exchange.onClientGone { self.dispatcher.clientLeft(id) }
    } catch {
      metrics.finished(
        command: nil, plugin: "", code: error.code.rawValue,
        nanoseconds: KernelClock.monotonic &- began)
      log.write(
        .info, "request refused", [("code", "\(error.code.rawValue)"), ("error", "\(error)")])
      exchange.respond(error.httpResponse())
    }
  }

  /// Writes into the log how a call was answered.
  func note(_ call: Call, _ result: PodResult, nanoseconds: UInt64) {
    let request = call.decoded.request
    var fields = [
      ("command", request.command.rawValue), ("pod", request.title),
      ("container", request.sandboxID), ("ifname", request.ifName),
      ("network", request.configuration.name), ("plugin", call.decoded.plugin?.name ?? ""),
      ("ms", "\(nanoseconds / 1_000_000)"),
    ]
    switch result {
    case .success:
      fields.append(("code", "0"))
      log.write(.info, "done", fields)
    case .failure(let error):
      fields += [("code", "\(error.code.rawValue)"), ("error", "\(error)")]
      log.write(.warning, "failed", fields)
    }
  }

  /// Counts how a call was answered.
  func count(_ call: Call, _ result: PodResult, nanoseconds: UInt64) {
    let code: Int
    switch result {
    case .success: code = 0
    case .failure(let error): code = error.code.rawValue
    }
    metrics.finished(
      command: call.decoded.request.command, plugin: call.decoded.plugin?.name ?? "", code: code,
      nanoseconds: nanoseconds)
    metrics.steps(call.progress.finished)
  }

  /// Has an ADD undone whose result nobody has got.
  func undoUnread(_ call: Call) {
    guard let key = call.decoded.ownKey else { return }
    let request = call.decoded.request
    backlog.add(
      .undoUnread(key, requestID: request.requestID), stamp: request.stamp.nanoseconds)
  }

  /// Has a DEL that failed brought to its end, whether its client comes again or not.
  func continueLater(_ call: Call) {
    for key in handler.unfinished(of: call.decoded.request) {
      backlog.add(.finish(key), hasFailed: true)
    }
  }

  /// Has undone what a call did in its last step, after it had been given up.
  func cameBack(_ call: Call) {
    log.write(
      .warning, "a call that was given up has come back",
      [("command", call.decoded.request.command.rawValue), ("step", call.progress.current)])
    for key in handler.unfinished(of: call.decoded.request) { backlog.add(.finish(key)) }
  }
}
