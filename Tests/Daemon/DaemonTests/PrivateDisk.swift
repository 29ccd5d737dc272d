import CLinux
import CNI
@testable import Daemon
import DaemonAPI
import Glibc
import Linux
import PluginKit
import Records
import Scheduling
import TestSupport

/// A small file system that only one thread sees, and a handler that keeps its records on it.
///
/// To be made and used on one thread of its own; its mount namespace ends with that thread.
struct PrivateDisk {
  let store: AttachmentStore
  private let workshop: Workshop
  private let state: String

  /// Mounts it.
  ///
  /// - Parameters:
  ///   - plugin: what is called.
  ///   - directory: where it is mounted; it must outlive the thread, on which it
  ///     could not be removed.
  ///   - kibibytes: the disk's size.
  /// - Throws: when it cannot be mounted.
  init(
    _ plugin: any NetworkPlugin, in directory: TemporaryDirectory, kibibytes: Int = 256
  ) throws {
    let state = directory("state")
    try Files.makeDirectory(state)
    try Self.check("unshare", CLinux.unshare(0x0002_0000))
    try Self.check(
      "mount", unsafe mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil))
    let options = "size=\(kibibytes)k"
    try Self.check(
      "mount tmpfs",
      unsafe options.withCString { unsafe mount("tmpfs", state, "tmpfs", 0, $0) })
    var configuration = Configuration()
    configuration.stateDirectory = state
    configuration.logFile = directory("log")
    let log = try Log(configuration)
    let registry = PluginRegistry.assemble([plugin], host: try .ofTests()).registry
    self.state = state
    store = try AttachmentStore(stateDirectory: state, log: log)
    workshop = Workshop(
      settings: ConfigurationHolder(configuration), registry: registry, store: store,
      spool: try Spool(directories: [directory("spool")], log: log), backlog: try Backlog(),
      programs: try OldPrograms(store: store, log: log), metrics: Metrics(), log: log)
  }

  /// Handles a call; the error if it failed.
  func handle(_ call: CNICall) -> CNIError? {
    do throws(CNIError) {
      let decoded = try workshop.decoder.decode(call.request, Endpoint(rawValue: call.path) ?? .cni)
      _ = try workshop.handler.handle(decoded, CallProgress())
      return nil
    } catch {
      return error
    }
  }

  /// From now on nothing on it can be changed.
  ///
  /// Other tests start programs: until such a child has become its program it has every file that
  /// is open here for writing, and the disk is busy.
  func makeReadOnly() throws {
    let limit = Deadline.after(milliseconds: patience)
    while true {
      if unsafe mount("none", state, nil, UInt(MS_REMOUNT | MS_RDONLY), nil) == 0 { return }
      if errno != EBUSY || limit.isOver { throw TestError("remount: errno \(errno)") }
      Clock.pause(milliseconds: 5)
    }
  }

  /// From now on nothing can be added to it.
  func fill() throws { try Self.fill(state) }

  /// Fills the disk below a directory to its last byte.
  static func fill(_ directory: String) throws {
    let file = try Files.open("\(directory)/filling", [.write, .create, .append])
    for size in [4096, 1] {
      let bytes = [UInt8](repeating: 0x2E, count: size)
      while (try? Descriptor.write(file.rawValue, bytes)) != nil {}
    }
  }

  /// The names of the files of records.
  var files: [String] { TemporaryDirectory.files(below: "\(state)/attachments") }

  /// Where the records are kept.
  var stateDirectory: String { state }

  private static func check(_ what: String, _ code: Int32) throws {
    if code != 0 { throw TestError("\(what): errno \(errno)") }
  }
}
