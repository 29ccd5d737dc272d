import CNI
import HTTP
package import Linux
import PluginKit
package import Records
import Scheduling

/// The daemon's parts as one: begins, looks after them, takes a new configuration, and ends.
///
/// Counterpart of `Server` in OVN-Kubernetes' cniserver and of the Multus thick plugin's API
/// server.
package final class Server: Sendable {
  private let settings: ConfigurationHolder
  let registry: PluginRegistry
  private let log: Log
  private let http: HTTPServer
  private let calls: CallService
  private let dispatcher: Dispatcher
  private let background: BackgroundWork
  private let programs: OldPrograms
  /// The networks of `networkDirs`.
  let networks: Networks
  private let metrics: Metrics
  /// Readable once ``run()`` has returned.
  private let ended: EventDescriptor
  private let routes: Routes

  /// Takes over the parts; see ``init(configuration:registry:store:log:version:)``.
  init(
    settings: ConfigurationHolder, registry: PluginRegistry, log: Log, http: HTTPServer,
    routes: Routes, calls: CallService, dispatcher: Dispatcher, background: BackgroundWork,
    programs: OldPrograms, networks: Networks, metrics: Metrics
  ) throws(StartError) {
    ended = try starting { () throws(SystemError) in try EventDescriptor() }
    self.settings = settings
    self.registry = registry
    self.log = log
    self.http = http
    self.routes = routes
    self.calls = calls
    self.dispatcher = dispatcher
    self.background = background
    self.programs = programs
    self.networks = networks
    self.metrics = metrics
  }

  /// Adds a listening socket.
  ///
  /// - Parameters:
  ///   - listener: the socket.
  ///   - rootPeersOnly: whether only uid 0 may connect; without it only the probes are answered.
  ///   - name: its path; a listener of the same path is closed.
  /// - Throws: `StartError` if it cannot be watched.
  package func add(
    listener: consuming FileDescriptor, rootPeersOnly: Bool, named name: String? = nil
  ) throws(StartError) {
    do throws(SystemError) {
      try http.add(
        listener: listener, rootPeersOnly: rootPeersOnly, isForProbes: !rootPeersOnly, named: name)
    } catch {
      throw StartError("", error)
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

  /// Submits what a daemon that died has left, before the first call of a client.
  ///
  /// Returns at once.
  ///
  /// What is unfinished blocks only its own attachments.
  package func recover() {
    programs.begin()
    background.recover()
  }

  /// From now on `/readyz` says that the daemon is ready.
  package func becomeReady() { routes.enter(.ready) }

  /// Says on `/readyz` why clients do not get in; nil when they do.
  func setDoorFault(_ fault: String?) { routes.setDoorFault(fault) }

  /// Whether the last daemon's programs have been ended, or were given up.
  ///
  /// Calls that such a program could disturb wait for it by themselves. Others begin when the
  /// daemon is ready, and that should wait.
  var hasEndedPrograms: Bool { programs.isOver }

  /// Says on `/readyz` that the daemon waits for the end of those programs.
  func waitForPrograms() {
    routes.enter(.starting("programs that the last cnid had left running are being ended"))
  }

  /// What ``lookAfter()`` waits for between its turns: readable when there is something to do.
  package var descriptors: [Int32] { background.descriptors }

  /// Readable when ``hasEndedPrograms`` has become true by itself.
  var programsDescriptor: Int32 { programs.descriptor }

  /// Does what has to be done now and then: late calls are answered, spooled DELs and unfinished
  /// work begun.
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
      case .allowedPaths, .plugins, .overrides:
        registry.host.paths.replace(with: current.trustedPaths)
      case .networkDirs: networks.setDirectories(current.networkDirectories)
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
    routes.enter(.stopping)
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
    networks.stop()
    dispatcher.close()
  }
}
