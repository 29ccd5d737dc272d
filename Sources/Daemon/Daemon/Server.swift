import CNI
import DaemonAPI
import HTTP
import JSON
package import Linux
package import PluginKit
package import Records
import Scheduling

/// Serves calls and probes on the daemon's sockets.
///
/// Counterpart of `Server` in OVN-Kubernetes' cniserver and of the Multus thick plugin's API server. Probes are answered on the
/// epoll thread; a call goes to the dispatcher.
package final class Server: Sendable {
  fileprivate enum Phase {
    case starting(String)
    case ready
    case stopping
  }

  private let settings: ConfigurationHolder
  private let registry: PluginRegistry
  private let log: Log
  private let http: HTTPServer
  private let calls: CallService
  private let dispatcher: Dispatcher
  private let background: BackgroundWork
  private let metrics: Metrics
  /// Readable once ``run()`` has returned.
  private let ended: EventDescriptor
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
  ///   - version: the program's, for `/metrics`.
  /// - Throws: `StartError` if there are no descriptors left.
  package init(
    configuration: Configuration, registry: PluginRegistry, store: AttachmentStore, log: Log,
    version: String = ""
  ) throws(StartError) {
    let settings = ConfigurationHolder(configuration)
    let metrics = Metrics()
    let phase = PhaseHolder()
    let dispatcher = try starting { () throws(SystemError) in
      try Dispatcher(
        maximumConcurrent: configuration.maximumConcurrent,
        maximumQueued: configuration.maximumQueued)
    }
    let backlog = try starting { () throws(SystemError) in try Backlog() }
    let spool = try Spool(directories: configuration.spoolDirectories, log: log)
    let decoder = RequestDecoder(settings: settings, registry: registry)
    let handler = CommandHandler(
      store: store, decoder: decoder, spool: spool, backlog: backlog, log: log,
      metrics: metrics)
    let calls = CallService(
      decoder: decoder, handler: handler, dispatcher: dispatcher, backlog: backlog,
      metrics: metrics, log: log)
    background = try starting { () throws(SystemError) in
      try BackgroundWork(
        backlog: backlog, handler: handler, dispatcher: dispatcher,
        orphans: OrphanSweep(
          graceSeconds: configuration.orphanGrace, isAlive: OrphanSweep.kernel(log)),
        metrics: metrics, log: log)
    }
    let sources = Metrics.Sources(
      dispatcher: dispatcher, store: store, spool: spool, registry: registry, version: version)
    var options = HTTPServer.Options()
    // The other half of the descriptors is for what calls open.
    let descriptors = Int(clamping: ProcessFigures()?.maximumDescriptors ?? 1024)
    options.maximumConnections = min(options.maximumConnections, max(16, descriptors / 2))
    let granted = options
    http = try starting { () throws(SystemError) in
      try HTTPServer(options: granted) { exchange in
        exchange.respondOrHand(
          to: calls,
          readiness: {
            dispatcher.isStuck ? "\(dispatcher.hung) calls do not come back" : phase.readiness
          },
          metrics: { metrics.text(sources.gauges) })
      }
    }
    ended = try starting { () throws(SystemError) in try EventDescriptor() }
    self.settings = settings
    self.registry = registry
    self.log = log
    self.metrics = metrics
    self.calls = calls
    self.dispatcher = dispatcher
    self.phase = phase
  }

  /// Adds a listening socket.
  ///
  /// - Parameters:
  ///   - listener: the socket.
  ///   - rootPeersOnly: whether only uid 0 may connect; without it only the probes are answered.
  /// - Throws: `StartError` if it cannot be watched.
  package func add(
    listener: consuming FileDescriptor, rootPeersOnly: Bool
  ) throws(StartError) {
    do throws(SystemError) {
      try http.add(listener: listener, rootPeersOnly: rootPeersOnly)
    } catch {
      throw StartError("\(error)")
    }
  }

  /// Serves until `stop`; on the calling thread.
  package func run() throws(SystemError) {
    defer { ended.signal() }
    try http.run()
  }

  /// Waits until ``run()`` has returned, so that every answer is on its way.
  ///
  /// - Returns: whether it has in time.
  package func waitForEnd(_ deadline: Deadline) -> Bool {
    (try? deadline.wait(ended.descriptor.rawValue, for: .read, "wait")) != nil
  }

  /// Begins with what a daemon that died has left, before the first call of a client; returns at once.
  ///
  /// What is unfinished blocks only its own attachments.
  package func recover() { background.recover() }

  /// From now on `/readyz` says that the daemon is ready.
  package func becomeReady() { phase.phase.withLock { $0 = .ready } }

  /// What ``lookAfter()`` waits for between its turns: readable when there is something to do.
  package var descriptors: [Int32] { background.descriptors }

  /// Does what has to be done now and then: late calls are answered, spooled DELs and unfinished work begun.
  ///
  /// To be called when one of ``descriptors`` is readable, and several times a second.
  package func lookAfter() {
    lookAfterCalls()
    background.lookAround()
  }

  /// When the server's thread last came round, CLOCK_MONOTONIC; wakes it.
  func pulse() -> UInt64 { http.pulse() }

  /// Whether so many workers hang that the daemon should be replaced.
  var isStuck: Bool { dispatcher.isStuck }

  /// The configuration in force.
  var configuration: Configuration { settings.current }

  /// Puts a new configuration in force for the requests to come.
  ///
  /// - Parameter new: what was read.
  /// - Returns: what it changes.
  /// - Throws: `StartError` if it names plugins that there are not; then the old one stays.
  package func reload(_ new: Configuration) throws(StartError) -> ConfigurationHolder.Change {
    try registry.check(new)
    let change = settings.replace(with: new)
    let current = settings.current
    for key in change.effective {
      switch key {
      case .maxConcurrent, .maxQueued:
        dispatcher.setLimits(
          maximumConcurrent: current.maximumConcurrent, maximumQueued: current.maximumQueued)
      case .orphanGrace: background.setOrphanGrace(seconds: current.orphanGrace)
      case .logLevel: log.setLevel(current.logLevel)
      case .podCIDR: registry.announce(podCIDR: current.podCIDR)
      // Read anew for each request, or not changeable.
      default: break
      }
    }
    return change
  }

  /// Notes for `/metrics` whether the configuration was good when it was last read.
  package func noteReload(isGood: Bool) { metrics.reloaded(isGood: isGood) }

  /// Answers late calls only; what has to be done once the daemon is stopping.
  func lookAfterCalls() { dispatcher.lookAfter() }

  /// From now on `/readyz` answers 500, and of new calls only DEL is served.
  package func beginStopping() {
    phase.phase.withLock { $0 = .stopping }
    calls.beginStopping()
    background.stop()
  }

  /// How many calls run and wait, the daemon's own work included.
  package var load: (running: Int, waiting: Int) {
    let load = dispatcher.load
    return (load.running + dispatcher.backgroundLoad, load.waiting)
  }

  /// Ends `run`, after the answers that are being written, and the threads of calls.
  package func stop() {
    http.stop()
    dispatcher.close()
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
  fileprivate func respondOrHand(
    to calls: CallService, readiness: () -> String?, metrics: () -> [UInt8]
  ) {
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
    case .metrics:
      guard allows(["GET"]) else { return }
      respond(
        HTTPResponse(
          status: 200, headers: HTTPHeaders([("Content-Type", Metrics.contentType)]),
          body: metrics()))
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
