import CNI
@testable import Daemon
import DaemonAPI
import Linux
import PluginKit
import Records
import TestSupport

/// A daemon in this process: real socket, real directories, its own thread; it stops when nobody
/// has it any more.
final class TestDaemon: Sendable {
  let directory: TemporaryDirectory
  let server: Server
  let store: AttachmentStore
  let socket: String
  private let logFile: String

  /// Starts one.
  ///
  /// - Parameters:
  ///   - plugins: what it has.
  ///   - directory: where it lives; nil for one of its own.
  ///   - isReady: whether `/readyz` says so from the beginning.
  ///   - change: of the configuration.
  /// - Throws: what keeps it from starting.
  init(
    _ plugins: [any NetworkPlugin], in directory: TemporaryDirectory? = nil, isReady: Bool = true,
    _ change: (inout Configuration) -> Void = { _ in }
  ) throws {
    let directory = try directory ?? TemporaryDirectory()
    var configuration = Configuration()
    configuration.socketDirectory = directory("run")
    configuration.stateDirectory = directory("state")
    configuration.logFile = directory("log")
    configuration.logLevel = .debug
    change(&configuration)
    try RunDirectory.prepare(configuration.socketDirectory)
    try Files.makeDirectories(configuration.stateDirectory)
    let log = try Log(configuration)
    let registry = PluginRegistry.assemble(plugins, host: try .ofTests()).registry
    store = try AttachmentStore(
      stateDirectory: configuration.stateDirectory, log: log, lock: { registry.lock(of: $0) })
    let server = try Server(
      configuration: configuration, registry: registry, store: store, log: log)
    try server.add(listener: RunDirectory.listen(configuration.socketPath), rootPeersOnly: true)
    server.recover()
    if isReady { server.becomeReady() }
    try OSThread.start { try? server.run() }
    // What the daemon's first thread does.
    try OSThread.start { [weak server, care] in
      while care.value == .wanted, let server {
        server.lookAfter()
        Clock.pause(milliseconds: 10)
      }
      care.change { $0 = .over }
    }
    self.directory = directory
    self.server = server
    socket = configuration.socketPath
    logFile = configuration.logFile ?? ""
  }

  deinit { server.stop() }

  /// Stops it, and waits until another one can have its directory.
  func end() async throws {
    care.change { if $0 == .wanted { $0 = .unwanted } }
    let isAlone = await care.reaches { $0 == .over }
    let server = server
    server.stop()
    let isOver = await onThread { server.waitForEnd(.after(milliseconds: patience)) }
    guard isAlone, isOver else { throw TestError("the daemon does not end") }
  }

  /// Whether somebody looks after the server.
  private enum Care {
    case wanted
    case unwanted
    case over
  }

  private let care = Watched(Care.wanted)

  /// The log so far.
  var log: String {
    (try? Files.read(logFile)).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  /// Sends a call and waits for its answer.
  func send(_ call: CNICall) async throws -> RawHTTP.Response {
    let (bytes, socket) = (call.bytes, socket)
    return try await onThread {
      try RawHTTP.parse(RawHTTP.exchange(bytes, socket, within: patience))
    }
  }

  /// Sends a request and waits for its answer.
  func send(_ method: String, _ path: String, _ body: String = "") async throws
    -> RawHTTP.Response
  {
    let socket = socket
    return try await onThread {
      try RawHTTP.send(method, path, Array(body.utf8), socket, within: patience)
    }
  }

  /// Sends a call in the background.
  func start(_ call: CNICall) -> Task<RawHTTP.Response, any Error> {
    Task { try await send(call) }
  }

  /// The record of an attachment of the network `net`, made by the plugin `recorder`.
  func record(
    _ container: String = "some-container-id", _ ifName: String = "eth0",
    plugin: String = "recorder"
  ) -> AttachmentRecord? {
    store.record(
      AttachmentKey(network: "net", containerID: container, ifName: ifName, plugin: plugin))
  }

  /// The names of the files of records.
  var files: [String] { TemporaryDirectory.files(below: directory("state/attachments")) }
}

extension AttachmentRecord {
  /// A record in phase `adding`, of the network `net` and made by the plugin `recorder`
  /// unless told otherwise.
  init(
    network: String = "net", container: String, ifName: String = "eth0",
    plugin: String = "recorder", boot: String = Stamp.now.bootID
  ) {
    self.init(
      key: AttachmentKey(
        network: network, containerID: container, ifName: ifName, plugin: plugin),
      configuration: Array(#"{"name":"\#(network)"}"#.utf8), environment: [:], origin: "cni",
      requestID: "", stamp: Stamp(bootID: boot))
  }
}
