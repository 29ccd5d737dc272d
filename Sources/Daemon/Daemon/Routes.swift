import CNI
import DaemonAPI
import HTTP
import Linux
import Records
import Scheduling

/// Where requests go: probes and metrics are answered here, on the epoll thread; calls are handed
/// on.
final class Routes: Sendable {
  /// What the probes say.
  enum Phase {
    case starting(String)
    case ready
    case stopping
  }

  private let calls: CallService
  private let dispatcher: Dispatcher
  private let metrics: Metrics
  private let sources: Metrics.Sources
  private let phase = Mutex(Phase.starting("records are not read yet"))
  private let doorFault = Mutex<String?>(nil)

  init(
    calls: CallService, dispatcher: Dispatcher, metrics: Metrics, sources: Metrics.Sources
  ) {
    self.calls = calls
    self.dispatcher = dispatcher
    self.metrics = metrics
    self.sources = sources
  }

  /// The daemon's life goes on.
  func enter(_ new: Phase) { phase.withLock { $0 = new } }

  /// Says why clients do not get in, or that they do.
  func setDoorFault(_ fault: String?) { doorFault.withLock { $0 = fault } }

  /// Nil if ready, else what is missing.
  private var missing: String? {
    if dispatcher.isStuck { return "\(dispatcher.hung) calls do not come back" }
    let missing: String? = phase.withLock { phase in
      switch phase {
      case .starting(let reason): reason
      case .ready: nil
      case .stopping: "cnid is stopping"
      }
    }
    return missing ?? doorFault.withLock { $0 }
  }

  /// Answers probes and what no path is for, and hands calls on.
  func answer(_ exchange: HTTPExchange) {
    switch Endpoint(rawValue: exchange.request.path) {
    case .healthz:
      guard exchange.allows(["GET", "POST"]) else { return }
      exchange.respond(HTTPResponse(status: 200))
    case .readyz:
      guard exchange.allows(["GET", "POST"]) else { return }
      exchange.respond(
        missing.map { .text(status: 500, $0) } ?? HTTPResponse(status: 200))
    case .metrics:
      guard exchange.allows(["GET"]) else { return }
      exchange.respond(
        HTTPResponse(
          status: 200, headers: HTTPHeaders([("Content-Type", Metrics.contentType)]),
          body: metrics.text(sources.gauges)))
    // Without credentials it came over TCP, where only the probes are served.
    case .some(let endpoint) where Endpoint.calls.contains(endpoint) && exchange.peer != nil:
      guard exchange.allows(["POST"]) else { return }
      calls.take(exchange, endpoint)
    default: exchange.respond(HTTPResponse(status: 404))
    }
  }
}

extension HTTPExchange {
  fileprivate func allows(_ methods: [String]) -> Bool {
    if methods.contains(request.method) { return true }
    respond(.text(status: 405, "Method not allowed"))
    return false
  }
}

extension HTTPResponse {
  /// A line of text, as Go's plain error helper sends it.
  static func text(status: Int, _ line: String) -> HTTPResponse {
    HTTPResponse(
      status: status,
      headers: HTTPHeaders([
        ("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"),
      ]),
      body: Array("\(line)\n".utf8))
  }
}
