import CNI
import DaemonAPI
import HTTP
import JSON
public import Linux
public import PluginKit

/// Serves calls and probes on the daemon's sockets.
///
/// Counterpart of `Server` in OVN-Kubernetes' cniserver and of the Multus thick plugin's API server. Probes are answered on the
/// epoll thread; a call goes to the dispatcher.
public final class Server: Sendable {
  fileprivate enum Phase {
    case starting(String)
    case ready
    case stopping
  }

  private let http: HTTPServer
  private let calls: CallService
  private let phase: PhaseHolder

  /// What the probes say.
  fileprivate final class PhaseHolder: Sendable {
    let phase = Mutex(Phase.starting("records are not read yet"))
  }

  /// Makes a server that does not listen yet.
  ///
  /// - Parameters:
  ///   - configuration: the daemon's.
  ///   - registry: the plugins, initialised.
  ///   - store: the records.
  ///   - log: hears of every call.
  /// - Throws: `StartError` if there are no descriptors left.
  public init(
    configuration: Configuration, registry: PluginRegistry, store: AttachmentStore, log: Log
  ) throws(StartError) {
    let phase = PhaseHolder()
    let dispatcher = try starting { () throws(SystemError) in
      try Dispatcher(
        maximumConcurrent: configuration.maximumConcurrent,
        maximumQueued: configuration.maximumQueued)
    }
    let calls = CallService(
      decoder: RequestDecoder(configuration: configuration, registry: registry),
      handler: CommandHandler(store: store, registry: registry, log: log),
      dispatcher: dispatcher, log: log)
    http = try starting { () throws(SystemError) in
      try HTTPServer(options: HTTPServer.Options()) { exchange in
        exchange.respondOrHand(to: calls, readiness: { phase.readiness })
      }
    }
    self.calls = calls
    self.phase = phase
  }

  /// Adds a listening socket.
  ///
  /// - Parameters:
  ///   - listener: the socket.
  ///   - rootPeersOnly: whether only uid 0 may connect; without it only the probes are answered.
  /// - Throws: `StartError` if it cannot be watched.
  public func add(
    listener: consuming FileDescriptor, rootPeersOnly: Bool
  ) throws(StartError) {
    do throws(SystemError) {
      try http.add(listener: listener, rootPeersOnly: rootPeersOnly)
    } catch {
      throw StartError("\(error)")
    }
  }

  /// Serves until `stop`; on the calling thread.
  public func run() throws(SystemError) { try http.run() }

  /// From now on `/readyz` says that the daemon is ready.
  public func becomeReady() { phase.phase.withLock { $0 = .ready } }

  /// From now on `/readyz` answers 500, and of new calls only DEL is served.
  public func beginStopping() {
    phase.phase.withLock { $0 = .stopping }
    calls.beginStopping()
  }

  /// How many calls run and wait.
  public var load: (running: Int, waiting: Int) { calls.load }

  /// Ends the wait of calls whose time is over.
  public func expireWaiting() { calls.expireWaiting() }

  /// Ends `run`, after the answers that are being written, and the threads of calls.
  public func stop() {
    http.stop()
    calls.close()
  }
}

extension Server.PhaseHolder {
  /// Nil if ready, else what is missing.
  fileprivate var readiness: String? {
    phase.withLock { phase in
      switch phase {
      case .starting(let reason): reason
      case .ready: nil
      case .stopping: "cnid is stopping"
      }
    }
  }
}

extension HTTPExchange {
  /// Answers probes and what no path is for, and hands calls on.
  fileprivate func respondOrHand(to calls: CallService, readiness: () -> String?) {
    switch Endpoint(rawValue: request.path) {
    case .healthz:
      guard allows(["GET", "POST"]) else { return }
      respond(HTTPResponse(status: 200))
    case .readyz:
      guard allows(["GET", "POST"]) else { return }
      if let missing = readiness() {
        respond(.text(status: 500, missing))
      } else {
        respond(HTTPResponse(status: 200))
      }
    // Without credentials it came over TCP, where only the probes are served.
    case .some(let endpoint) where Endpoint.calls.contains(endpoint) && peer != nil:
      guard allows(["POST"]) else { return }
      calls.take(self, endpoint)
    default: respond(HTTPResponse(status: 404))
    }
  }

  private func allows(_ methods: [String]) -> Bool {
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
