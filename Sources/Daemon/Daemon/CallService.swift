import CNI
import DaemonAPI
import HTTP
import Linux
import PluginKit
import Records
import Scheduling

/// Takes calls on: reads their requests and hands them to the dispatcher.
final class CallService: Sendable {
  /// A longer body is read by a worker: a probe must not wait for it.
  private static let shortBody = 64 << 10

  private let decoder: RequestDecoder
  private let finder: PluginFinder
  private let dispatcher: Dispatcher
  private let tools: Call.Tools
  private let isStopping = Mutex(false)
  private let unread = UnreadCalls()

  init(
    decoder: RequestDecoder, finder: PluginFinder, dispatcher: Dispatcher, tools: Call.Tools
  ) {
    self.decoder = decoder
    self.finder = finder
    self.dispatcher = dispatcher
    self.tools = tools
  }

  /// From now on only DEL is served; waiting calls of other verbs are refused and asked to retry.
  func beginStopping() {
    isStopping.withLock { $0 = true }
    for job in dispatcher.removeWaiting(where: { !$0.kind.isServedWhileStopping }) {
      job.work.refuse(.stopping)
    }
  }

  /// Takes a request on; on the epoll thread, so nothing here waits, opens a file or takes long.
  func take(_ exchange: HTTPExchange, _ endpoint: Endpoint) {
    let began = KernelClock.monotonic
    guard exchange.request.body.count > Self.shortBody else {
      return begin(exchange, endpoint, began: began)
    }
    let place = unread.add()
    let reading = ReadingWork { [self] in
      begin(exchange, endpoint, began: began, place)
      unread.remove(place)
    }
    do throws(CNIError) {
      try dispatcher.submit(
        Job(kind: .reading, claim: Claim(), stamp: 0, deadline: .never, work: reading))
    } catch {
      unread.remove(place)
      refuse(exchange, error, began: began, fields: [])
    }
  }

  /// Reads a request and hands the call to the dispatcher.
  private func begin(
    _ exchange: HTTPExchange, _ endpoint: Endpoint, began: UInt64,
    _ place: UnreadCalls.Place? = nil
  ) {
    do throws(CNIError) {
      var decoded = try decoder.decode(exchange.request, endpoint)
      try refuseLoops(&decoded)
      if endpoint == .delegate {
        decoded.first = tools.store.first(of: decoded.request.sandboxID)
      }
      let call = try Call(
        decoded, exchange, tools, claim: finder.claim(of: decoded), began: began)
      let job = call.job
      let own = Claim.attachment(decoded.request.sandboxID, decoded.request.ifName)
      let isServed = job.kind == .delete || decoded.caller != nil
      if !isServed, isStopping.withLock({ $0 }) { return call.refuse(.stopping) }
      // One from inside of an ADD must not end that ADD.
      if job.kind == .delete, decoded.caller == nil {
        // In this order: an ADD that is read just now asks after it was submitted.
        unread.note(deleteOf: own, stamp: job.stamp)
        dispatcher.overtakeAdds(of: own, before: job.stamp)
      }
      let isAdd = job.kind == .add
      if isAdd, unread.isOvertaken(job, place) { return call.refuse(.overtaken) }
      let id = try dispatcher.submit(job)
      if isAdd, unread.isOvertaken(job, place) {
        dispatcher.overtakeAdds(of: own, before: job.stamp)
      }
      exchange.onClientGone { self.dispatcher.clientLeft(id) }
    } catch {
      refuse(exchange, error, began: began, fields: exchange.request.logFields)
    }
  }

  /// A call that comes from a program which another call runs is a part of that call.
  ///
  /// - Throws: code 7 if it would begin once more what runs the program, 11 if that is over.
  private func refuseLoops(_ decoded: inout DecodedRequest) throws(CNIError) {
    let request = decoded.request
    let network = request.configuration
    let what = "network \(goQuoted(network.name)), type \(goQuoted(network.type ?? ""))"
    guard let caller = decoded.caller else {
      let own = Claim.attachment(request.sandboxID, request.ifName)
      guard dispatcher.isExecuting(own) else { return }
      let text =
        "\(what): a program that cnid runs is at work on \(request.ifName); if this call comes "
        + "from there, the networks name each other"
      if request.command == .add { throw CNIError(.invalidConfiguration, text) }
      // What no ADD has recorded a program asks for that does not say where it calls from.
      let keys = tools.store.keys(
        containerID: request.sandboxID, ifName: request.ifName, network: network.name)
      let isOfSets = decoded.plugin?.servesSets == true
      if request.command == .delete, isOfSets, keys.isEmpty { decoded.loop = text }
      return
    }
    guard let inner = dispatcher.inner(caller) else { throw .callIsOver }
    decoded.set = inner.set
    guard decoded.plugin?.servesSets == true else { return }
    let text =
      "\(what): the set of \(inner.set.ifName) is begun once more for \(request.ifName) by a "
      + "program that it runs; the networks name each other"
    if request.command != .delete { throw CNIError(.invalidConfiguration, text) }
    decoded.loop = text
  }

  private func refuse(
    _ exchange: HTTPExchange, _ error: CNIError, began: UInt64, fields: LogFields
  ) {
    tools.metrics.finished(
      command: nil, plugin: "", code: error.code.rawValue,
      nanoseconds: KernelClock.monotonic &- began)
    tools.log.write(
      .warning, "request refused",
      fields + [("code", error.code.rawValue), ("error", "\(error)")])
    exchange.respond(error.httpResponse())
  }
}

/// A request that a worker reads.
private final class ReadingWork: DispatchedWork {
  let progress = CallProgress()
  private let body: @Sendable () -> Void

  init(_ body: @escaping @Sendable () -> Void) { self.body = body }

  func run() { body() }

  // It is never refused; without an answer the exchange says 500.
  func refuse(_ reason: Rejection) {}
}
