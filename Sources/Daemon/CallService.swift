import CNI
import DaemonAPI
import HTTP
import Linux
import PluginKit

/// A call's way from the HTTP request to the answer.
final class CallService: Sendable {
  private let decoder: RequestDecoder
  private let handler: CommandHandler
  private let dispatcher: Dispatcher
  private let log: Log
  private let isStopping = Mutex(false)

  init(decoder: RequestDecoder, handler: CommandHandler, dispatcher: Dispatcher, log: Log) {
    self.decoder = decoder
    self.handler = handler
    self.dispatcher = dispatcher
    self.log = log
  }

  /// How many calls run and wait.
  var load: (running: Int, waiting: Int) {
    let load = dispatcher.load
    return (load.running, load.waiting)
  }

  /// From now on only DEL is served; waiting calls of other verbs are sent away to come again.
  func beginStopping() {
    isStopping.withLock { $0 = true }
    for job in dispatcher.removeWaiting(where: { !$0.mayRunWhileStopping }) { job.turnAway() }
  }

  func expireWaiting() { dispatcher.expireWaiting() }

  /// Lets the workers end after the calls that there are.
  func close() { dispatcher.close() }

  /// Takes a request on; on the epoll thread, so nothing here waits.
  func take(_ exchange: HTTPExchange, _ endpoint: Endpoint) {
    let began = KernelClock.monotonic
    do throws(CNIError) {
      let decoded = try decoder.decode(exchange.request, endpoint)
      let isDelete = decoded.request.command == .delete
      if !isDelete, isStopping.withLock({ $0 }) { return turnAway(exchange) }
      try dispatcher.submit(job(decoded, exchange, began, mayRunWhileStopping: isDelete))
    } catch {
      log.write(
        .info, "request refused", [("code", "\(error.code.rawValue)"), ("error", "\(error)")])
      exchange.respond(error.httpResponse())
    }
  }

  private func job(
    _ decoded: DecodedRequest, _ exchange: HTTPExchange, _ began: UInt64, mayRunWhileStopping: Bool
  ) -> Dispatcher.Job {
    let request = decoded.request
    return Dispatcher.Job(
      attachment: request.command.isForNode ? nil : "\(request.sandboxID)/\(request.ifName)",
      network: request.configuration.name,
      isExclusive: request.command == .garbageCollect,
      stamp: request.stamp.nanoseconds,
      deadline: request.deadline,
      mayRunWhileStopping: mayRunWhileStopping,
      run: { self.run(decoded, exchange, began) },
      expire: {
        self.finish(
          decoded, exchange, began,
          .failure(CNIError(.deadline, "deadline passed while waiting for other calls")))
      },
      turnAway: { self.turnAway(exchange) })
  }

  private func run(_ decoded: DecodedRequest, _ exchange: HTTPExchange, _ began: UInt64) {
    let progress = CallProgress()
    let result: PodResult
    do throws(CNIError) {
      result = .success(try handler.handle(decoded, progress))
    } catch {
      result = .failure(error)
    }
    finish(decoded, exchange, began, result)
  }

  private func finish(
    _ decoded: DecodedRequest, _ exchange: HTTPExchange, _ began: UInt64, _ result: PodResult
  ) {
    let request = decoded.request
    var fields = [
      ("command", request.command.rawValue), ("pod", request.title),
      ("container", request.sandboxID), ("ifname", request.ifName),
      ("network", request.configuration.name), ("plugin", decoded.plugin?.name ?? ""),
      ("ms", "\((KernelClock.monotonic &- began) / 1_000_000)"),
    ]
    switch result {
    case .success(let bytes):
      fields.append(("code", "0"))
      exchange.respond(Response(result: bytes).httpResponse(for: decoded.endpoint))
      log.write(.info, "done", fields)
    case .failure(let error):
      fields += [("code", "\(error.code.rawValue)"), ("error", "\(error)")]
      exchange.respond(error.httpResponse())
      log.write(.warning, "failed", fields)
    }
  }

  private func turnAway(_ exchange: HTTPExchange) {
    exchange.respond(
      CNIError(.tryAgainLater, "cnid is stopping; try again").httpResponse(retry: true))
  }
}
