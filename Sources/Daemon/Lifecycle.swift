import CNI
import JSON
import Linux
import Netlink
public import PluginKit

/// The daemon's life: start, serve, stop.
public struct Lifecycle: ~Copyable {
  private let configuration: Configuration
  private let log: Log
  private let signals: SignalDescriptor
  private let linkRemover: LinkRemover

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
  ///   - version: for the log.
  /// - Throws: `StartError` if it cannot start.
  public static func run(
    _ configuration: Configuration, plugins: [any NetworkPlugin], version: String
  ) throws(StartError) {
    guard Linux.Process.effectiveUser == 0 else {
      throw StartError("cnid must run as root: it makes network interfaces in other namespaces")
    }
    // Few heaps: memory that one worker frees serves the next.
    Linux.Process.limitHeaps(to: 2)
    Linux.Process.setFileCreationMask(0o077)
    Signal.ignoreBrokenPipes()
    let log = try Log(configuration)
    let signals = try starting { () throws(SystemError) in
      try SignalDescriptor([.terminate, .interrupt])
    }
    let lifecycle = Lifecycle(
      configuration: configuration, log: log, signals: signals,
      linkRemover: try makeLinkRemover(log))
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
      throw StartError("\(error)")
    }
  }

  private func serve(_ plugins: [any NetworkPlugin]) throws(StartError) {
    let directories =
      [configuration.socketDirectory] + configuration.sockets.map { Self.directory(of: $0) }
    for directory in directories { try RunDirectory.prepare(directory) }
    let lock = try takeLock()
    let store = try AttachmentStore(stateDirectory: configuration.stateDirectory, log: log)
    let registry = try assemble(plugins)
    let server = try Server(
      configuration: configuration, registry: registry, store: store, log: log)
    var files: [SocketFile] = []
    for path in [configuration.socketPath] + configuration.sockets {
      try server.add(listener: try RunDirectory.listen(path), rootPeersOnly: true)
      files.append(SocketFile(path))
    }
    try listenForProbes(server)
    server.recover()
    try startServing(server)
    server.becomeReady()
    log.write(.info, "ready", [("records", "\(store.count)")])
    waitForEnd(server)
    stop(server, files)
    _ = consume lock
  }

  /// One daemon owns a state directory; a second one waits, says so, and touches nothing meanwhile.
  private func takeLock() throws(StartError) -> FileLock {
    let directory = configuration.stateDirectory
    let path = directory + "/lock"
    _ = try starting("state directory") { () throws(SystemError) in
      try Files.makeDirectories(directory)
    }
    var hasSaid = false
    while true {
      do throws(SystemError) {
        if let lock = try FileLock.attempt(path) { return lock }
      } catch {
        throw StartError("state directory: \(error)")
      }
      if !hasSaid {
        log.write(
          .warning, "another cnid owns the state directory; waiting for its end", [("lock", path)])
        hasSaid = true
      }
      if let signal = signals.next() {
        throw StartError("stopped by \(signal) while waiting for \(path)")
      }
      Clock.pause(milliseconds: 100)
    }
  }

  private func assemble(_ plugins: [any NetworkPlugin]) throws(StartError) -> PluginRegistry {
    let (registry, refusals) = PluginRegistry.assemble(plugins)
    for refusal in refusals { throw StartError(refusal) }
    let log = log
    let host = PluginHost(
      dataDirectory: configuration.dataDirectory, binDirectories: configuration.binDirectories,
      linkRemover: linkRemover, log: { level, text in log.write(level, text) })
    for plugin in registry.plugins {
      do throws(CNIError) {
        try plugin.initialize(PluginSettings(host: host))
      } catch {
        throw StartError("network plugin \"\(plugin.name)\" failed init: \(error)")
      }
      guard let podCIDR = configuration.podCIDR else { continue }
      plugin.event(
        PluginEvent(
          name: PluginEvent.podCIDRChange,
          details: JSONObject([(PluginEvent.podCIDRDetail, .string("\(podCIDR)"))])))
    }
    if let name = configuration.defaultPlugin, registry.plugin(forType: name) == nil {
      throw StartError("defaultPlugin: no plugin \"\(name)\"")
    }
    for name in configuration.plugins.keys where registry.plugin(named: name) == nil {
      throw StartError("plugins.\(name): no plugin \"\(name)\"")
    }
    return registry
  }

  private func listenForProbes(_ server: Server) throws(StartError) {
    guard let health = configuration.healthAddress else { return }
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

  /// Waits for a signal, and looks after what no client waits for.
  private func waitForEnd(_ server: Server) {
    let descriptors = [signals.descriptor.rawValue] + server.descriptors
    while true {
      if let signal = signals.next() {
        log.write(.info, "stopping", [("signal", "\(signal)")])
        return
      }
      var entries = descriptors.map { PollEntry($0, .read) }
      let tick = Deadline.after(milliseconds: Self.tickMilliseconds)
      // Being over is the usual end of this wait.
      try? tick.wait(&entries, "wait")
      server.lookAfter()
    }
  }

  private func stop(_ server: Server, _ files: [SocketFile]) {
    server.beginStopping()
    let grace = Deadline.after(milliseconds: Self.graceMilliseconds)
    while server.load != (running: 0, waiting: 0), !grace.isOver {
      Clock.pause(milliseconds: 10)
    }
    // From here on the shim finds no socket and comes again to the next daemon.
    for file in files { file.remove() }
    server.stop()
    do throws(NetlinkError) {
      try linkRemover.drain(deadline: .after(milliseconds: 5000))
    } catch {
      log.write(.warning, "links are still being removed", [("error", "\(error)")])
    }
    log.write(.info, "stopped")
  }

  private static func directory(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: 0x2F), slash > path.startIndex else { return "/" }
    return String(path[..<slash])
  }
}
