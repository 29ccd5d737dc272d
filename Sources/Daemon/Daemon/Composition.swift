import CNI
import DaemonAPI
import HTTP
import Linux
package import PluginKit
package import Records
import Scheduling

extension Server {
  /// Puts the daemon together, from what keeps things up to what serves; it does not listen yet.
  ///
  /// - Parameters:
  ///   - configuration: the daemon's.
  ///   - registry: the plugins, initialised.
  ///   - store: the records.
  ///   - log: is told of every call.
  ///   - version: the program's, for `/metrics`.
  /// - Throws: `StartError` if there are no descriptors left.
  package convenience init(
    configuration: Configuration, registry: PluginRegistry, store: AttachmentStore, log: Log,
    version: String = ""
  ) throws(StartError) {
    // What is kept: configuration, networks, figures, spooled DELs, unfinished work.
    let settings = ConfigurationHolder(configuration)
    let networks = try Networks(configuration.networkDirectories, log: log)
    let metrics = Metrics()
    let spool = try Spool(directories: configuration.spoolDirectories, log: log)
    let backlog = try starting { () throws(SystemError) in try Backlog() }
    let programs = try starting { () throws(SystemError) in
      try OldPrograms(store: store, log: log)
    }

    // Who works: threads for calls.
    let dispatcher = try starting { () throws(SystemError) in
      try Dispatcher(
        maximumConcurrent: configuration.maximumConcurrent,
        maximumQueued: configuration.maximumQueued)
    }

    // What is done, from one attachment up to the verbs.
    let work = Workshop(
      settings: settings, registry: registry, store: store, spool: spool, backlog: backlog,
      programs: programs, metrics: metrics, log: log)

    // For whom: clients, and nobody.
    let calls = CallService(
      decoder: work.decoder, finder: work.finder, dispatcher: dispatcher,
      tools: Call.Tools(
        handler: work.handler, store: store, backlog: backlog, metrics: metrics, log: log))
    let orphans = OrphanSweep(
      graceSeconds: configuration.orphanGrace, isAlive: OrphanSweep.kernel(log))
    let background = try starting { () throws(SystemError) in
      try BackgroundWork(
        backlog: backlog, store: store, spool: spool, recovery: work.recovery,
        spooled: work.spooled, finder: work.finder, dispatcher: dispatcher, orphans: orphans,
        networks: networks, metrics: metrics, log: log)
    }

    // Who is told of it.
    let routes = Routes(
      calls: calls, dispatcher: dispatcher, metrics: metrics,
      sources: Metrics.Sources(
        dispatcher: dispatcher, store: store, spool: spool, registry: registry,
        networks: networks, version: version))
    let http = try starting { () throws(SystemError) in
      try HTTPServer(options: Self.options) { exchange in routes.answer(exchange) }
    }
    try self.init(
      settings: settings, registry: registry, log: log, http: http, routes: routes, calls: calls,
      dispatcher: dispatcher, background: background, programs: programs, networks: networks,
      metrics: metrics)
  }

  /// The other half of the descriptors is for what calls open.
  private static var options: HTTPServer.Options {
    var options = HTTPServer.Options()
    let descriptors = Int(clamping: ProcessFigures()?.maximumDescriptors ?? 1024)
    options.maximumConnections = min(options.maximumConnections, max(16, descriptors / 2))
    return options
  }
}

/// All that is done for calls, put together from what is kept.
struct Workshop: Sendable {
  let decoder: RequestDecoder
  let finder: PluginFinder
  let recovery: Recovery
  let spooled: SpooledDeletes
  let handler: CommandHandler

  init(
    settings: ConfigurationHolder, registry: PluginRegistry, store: AttachmentStore, spool: Spool,
    backlog: Backlog, programs: OldPrograms, metrics: Metrics, log: Log
  ) {
    decoder = RequestDecoder(settings: settings, registry: registry)
    finder = PluginFinder(registry: registry, store: store)
    let detacher = Detacher(
      finder: finder, store: store, settings: settings, backlog: backlog, programs: programs,
      remarks: NetworkRemarks(dataDirectory: registry.host.dataDirectory, log: log), log: log)
    let attachments = detacher.attachments
    recovery = Recovery(store: store, detacher: detacher, log: log)
    spooled = SpooledDeletes(
      spool: spool, store: store, decoder: decoder, finder: finder, attachments: attachments,
      log: log)
    handler = CommandHandler(
      finder: finder, attachments: attachments, spooled: spooled,
      garbage: GarbageCollector(
        finder: finder, store: store, detacher: detacher, attachments: attachments,
        metrics: metrics, log: log, isAlive: OrphanSweep.kernel(log)),
      backlog: backlog)
  }
}
