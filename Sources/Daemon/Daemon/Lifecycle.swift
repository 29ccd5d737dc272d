import CNI
import JSON
import Linux
import Netlink
package import PluginKit
package import Records

/// The daemon's life: start, serve, stop.
package struct Lifecycle: ~Copyable {
  private let configuration: Configuration
  private let log: Log
  private let signals: SignalDescriptor
  private let hostRoot: RootDirectory?
  private let linkRemover: LinkRemover
  private let manager: ServiceManager
  private let activated: ActivatedSockets
  private let version: String
  private let readAgain: () throws(UsageError) -> Configuration

  /// Time that running calls have after SIGTERM.
  private static let graceMilliseconds = 100_000
  /// How often calls that wait are looked after.
  private static let tickMilliseconds = 250

  /// Runs the daemon until it is told to stop.
  ///
  /// To be called on the process's first thread, before there is another.
  ///
  /// - Parameters:
  ///   - configuration: what to do.
  ///   - plugins: what there is; the caller links them in.
  ///   - version: for the log and the metrics.
  ///   - readAgain: reads the configuration once more, for SIGHUP.
  /// - Throws: `StartError` if it cannot start.
  package static func run(
    _ configuration: Configuration, plugins: [any NetworkPlugin], version: String,
    readAgain: @escaping () throws(UsageError) -> Configuration
  ) throws(StartError) {
    // Before anything that a program could inherit is opened, and before there are threads.
    let manager = ServiceManager.ofThisProcess()
    let activated = try ActivatedSockets.ofThisProcess(configuration)
    guard Linux.Process.effectiveUser == 0 else {
      throw StartError("cnid must run as root: it makes network interfaces in other namespaces")
    }
    // Few heaps: memory that one worker frees serves the next.
    Linux.Process.limitHeaps(to: 2)
    Linux.Process.setFileCreationMask(0o077)
    Signal.ignoreBrokenPipes()
    let log = try Log(configuration)
    let signals = try starting { () throws(SystemError) in
      try SignalDescriptor([.terminate, .interrupt, .hangUp])
    }
    let lifecycle = Lifecycle(
      configuration: configuration, log: log, signals: signals,
      hostRoot: try configuration.openHostRoot(),
      linkRemover: try makeLinkRemover(log), manager: manager, activated: activated,
      version: version, readAgain: readAgain)
    log.write(.info, "cnid \(version) starts", [("socket", configuration.socketPath)])
    try lifecycle.serve(plugins)
  }

  private static func makeLinkRemover(_ log: Log) throws(StartError) -> LinkRemover {
    do throws(NetlinkError) {
      return try LinkRemover { error in
        log.write(
          .error, "a link's removal failed after its DEL was answered", [("error", "\(error)")])
      }
    } catch {
      throw StartError("\(error)", isLasting: false)
    }
  }

  private func serve(_ plugins: [any NetworkPlugin]) throws(StartError) {
    let directories =
      [configuration.socketDirectory] + configuration.sockets.map { Doors.directory(of: $0) }
    for directory in directories { try RunDirectory.prepare(directory) }
    var mustReload = false
    let lock = try takeLock(&mustReload)
    let registry = try assemble(plugins)
    let log = log
    try starting { () throws(SystemError) in
      try Keeper.shared.start { error in
        log.write(.error, "files cannot be sent to the disk", [("error", "\(error)")])
      }
    }
    let store = try AttachmentStore(
      stateDirectory: configuration.stateDirectory, log: log, keeper: .shared,
      lock: { registry.lock(of: $0) }, names: { registry.outsideNames(of: $0) })
    let server = try Server(
      configuration: configuration, registry: registry, store: store, log: log,
      version: version)
    let doors = Doors(server, log: log)
    for path in [configuration.socketPath] + configuration.sockets {
      try doors.open(path, activated.take(path: path, log: log))
    }
    try listenForProbes(server)
    server.recover()
    if !server.hasEndedPrograms { server.waitForPrograms() }
    try startServing(server)
    let probe = DoorProbe(
      configuration.socketPath, pause: (manager.watchdogTime ?? 0) / 8
    ) { server.pulse() }
    var watchdog = Watchdog(
      manager, log: log, pulse: { probe.pulse() }, isStuck: { server.isStuck })
    if waitForPrograms(server, &mustReload) {
      server.becomeReady()
      log.write(.info, "ready", [("records", store.count)])
      manager.ready(Self.serving)
      if mustReload { reload(server) }
      waitForEnd(server, doors, &watchdog)
    }
    stop(server, doors, &watchdog)
    _ = consume lock
  }

  /// One daemon owns a state directory; a second one waits, says so, and touches nothing meanwhile.
  private func takeLock(_ mustReload: inout Bool) throws(StartError) -> FileLock {
    let directory = configuration.stateDirectory
    let path = directory + "/lock"
    try RunDirectory.prepareState(directory)
    var hasSaid = false
    var tries = 0
    while true {
      do throws(SystemError) {
        if let lock = try Self.attempt(path) { return lock }
      } catch {
        throw StartError("state directory", error)
      }
      if !hasSaid {
        log.write(
          .warning, "another cnid owns the state directory; waiting for its end", [("lock", path)])
        manager.status("waiting for another cnid that owns \(directory)")
        hasSaid = true
      }
      // The other one may have long to go; whoever waits for this one shall bear with it.
      if tries % 100 == 0 { manager.extendStart(seconds: 30) }
      tries += 1
      switch signals.next() {
      case nil: break
      case .hangUp: mustReload = true
      case .some(let signal):
        throw StartError("stopped by \(signal) while waiting for \(path)", isLasting: false)
      }
      Clock.pause(milliseconds: 100)
    }
  }

  /// Also takes the lock of a disk that has become read-only: DEL works on it.
  private static func attempt(_ path: String) throws(SystemError) -> FileLock? {
    do throws(SystemError) {
      return try FileLock.attempt(path)
    } catch {
      guard error.errno == .readOnly else { throw error }
      return try FileLock.attempt(path, .read)
    }
  }

  private func assemble(_ plugins: [any NetworkPlugin]) throws(StartError) -> PluginRegistry {
    let log = log
    let host = PluginHost(
      dataDirectory: configuration.dataDirectory, binDirectories: configuration.binDirectories,
      hostRoot: hostRoot, linkRemover: linkRemover, paths: AllowedPaths(configuration.trustedPaths),
      log: { level, text in log.write(level, text) })
    let (registry, refusals) = PluginRegistry.assemble(plugins, host: host)
    for refusal in refusals { throw StartError(refusal) }
    try starting { () throws(SystemError) in
      try NamespaceSockets.keepHome { text in log.write(.error, text) }
    }
    for plugin in registry.plugins {
      do throws(CNIError) {
        try plugin.initialize(PluginSettings(host: host))
      } catch {
        throw StartError(
          "network plugin \"\(plugin.name)\" failed init: \(error)", isLasting: false)
      }
    }
    registry.announce(podCIDR: configuration.podCIDR)
    try registry.check(configuration)
    return registry
  }

  private func listenForProbes(_ server: Server) throws(StartError) {
    guard let health = configuration.healthAddress else { return }
    if let listener = activated.take(health) {
      return try server.add(listener: listener, rootPeersOnly: false)
    }
    let listener = try starting("healthAddress") { () throws(SystemError) in
      try TCPSocket.listen(health.address, port: health.port)
    }
    try server.add(listener: listener, rootPeersOnly: false)
  }

  private func startServing(_ server: Server) throws(StartError) {
    let log = log
    try starting { () throws(SystemError) in
      try OSThread.start {
        do throws(SystemError) {
          try server.run()
        } catch {
          // Without its server the daemon is of no use: its supervisor starts a new one.
          log.write(.error, "the server ended", [("error", "\(error)")])
          Linux.Process.exit(1)
        }
      }
    }
  }

  /// Looks after calls until the last daemon's programs cannot act any more.
  ///
  /// - Parameters:
  ///   - server: whose calls are looked after.
  ///   - mustReload: becomes true if it was told to read its configuration again.
  /// - Returns: false if the daemon was told to stop meanwhile.
  private func waitForPrograms(_ server: Server, _ mustReload: inout Bool) -> Bool {
    let began = KernelClock.monotonic
    var hasSaid = false
    while !server.hasEndedPrograms {
      switch signals.next() {
      case nil: break
      case .hangUp: mustReload = true
      case .some(let signal):
        log.write(.info, "stopping", [("signal", "\(signal)")])
        return false
      }
      var entries = ([server.programsDescriptor, signals.descriptor.rawValue] + server.descriptors)
        .map { PollEntry($0, .read) }
      // Being over is the usual end of this wait.
      try? Deadline.after(milliseconds: Self.tickMilliseconds).wait(&entries, "wait")
      server.lookAfter()
      if !hasSaid, KernelClock.monotonic &- began > 1_000_000_000 {
        log.write(.info, "waiting for the end of programs that the last cnid had left running")
        hasSaid = true
      }
    }
    return true
  }

  /// What the service manager shows while all is well.
  static let serving = "serving"

  /// Waits for a signal to end, and looks after what no client waits for.
  private func waitForEnd(_ server: Server, _ doors: Doors, _ watchdog: inout Watchdog) {
    let pause = min(Self.tickMilliseconds, watchdog.interval ?? .max)
    let descriptors = [signals.descriptor.rawValue] + server.descriptors
    while true {
      switch signals.next() {
      case nil: break
      case .hangUp:
        reload(server)
        continue
      case .some(let signal):
        log.write(.info, "stopping", [("signal", "\(signal)")])
        return
      }
      var entries = descriptors.map { PollEntry($0, .read) }
      let tick = Deadline.after(milliseconds: pause)
      // Being over is the usual end of this wait.
      try? tick.wait(&entries, "wait")
      doors.look()
      server.lookAfter()
      manager.flush()
      watchdog.tick()
    }
  }

  /// Reads the configuration again; one that is not good changes nothing.
  private func reload(_ server: Server) {
    manager.reloading()
    log.reopen()
    let fault: String
    do throws(UsageError) {
      let new = try readAgain()
      do throws(StartError) {
        tell(try server.reload(new))
        server.noteReload(isGood: true)
        return manager.ready(Self.serving)
      } catch {
        fault = error.description
      }
    } catch {
      fault = error.description
    }
    server.noteReload(isGood: false)
    log.write(
      .error, "the configuration is not good; the old one stays in force", [("error", fault)])
    manager.ready("serving; configuration not reloaded: \(fault)")
  }

  private func tell(_ change: ConfigurationHolder.Change) {
    func names(_ keys: [Configuration.Key]) -> String {
      keys.map(\.rawValue).joined(separator: ",")
    }
    log.write(.info, "configuration read again", [("changed", names(change.effective))])
    guard !change.needingRestart.isEmpty else { return }
    log.write(
      .warning, "what has changed here takes effect only after a restart",
      [("keys", names(change.needingRestart))])
  }

  private func stop(_ server: Server, _ doors: Doors, _ watchdog: inout Watchdog) {
    manager.stopping("waiting for running calls")
    server.beginStopping()
    let grace = Deadline.after(milliseconds: Self.graceMilliseconds)
    while server.load != (running: 0, waiting: 0), !grace.isOver {
      Clock.pause(milliseconds: 10)
      server.lookAfterCalls()
      manager.flush()
      watchdog.tick()
    }
    // From here on the shim finds no socket, and retries until the next daemon is there. On the
    // service manager's sockets, calls wait.
    doors.remove()
    server.stop()
    if !server.waitForEnd(.after(milliseconds: 2000)) {
      log.write(.warning, "answers are still being sent")
    }
    do throws(NetlinkError) {
      try linkRemover.drain(deadline: .after(milliseconds: 5000))
    } catch {
      log.write(.warning, "links are still being removed", [("error", "\(error)")])
    }
    Keeper.shared.flush()
    log.write(.info, "stopped")
  }
}
