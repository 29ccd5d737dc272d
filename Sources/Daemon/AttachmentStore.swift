public import CNI
import DaemonAPI
import Linux
public import PluginKit
import Synchronization

/// The records of all attachments: one file each in `<stateDir>/attachments`, and an index in memory.
public final class AttachmentStore: AttachmentRecording {
  private struct State {
    /// Every record's key, by container and interface.
    var keys: [Interface: [AttachmentKey]] = [:]
    /// Files that could not be understood when the store was opened.
    var damaged = 0
  }

  private struct Interface: Hashable {
    let containerID: String
    let ifName: String
  }

  private let directory: String
  private let bootID: String
  private let state = Mutex(State())

  /// Opens the store: makes the directory if missing and reads every record.
  ///
  /// A file that cannot be understood is set aside under `<name>.damaged`; a temporary file of a process that died is removed.
  ///
  /// - Parameters:
  ///   - stateDirectory: exists already.
  ///   - log: hears of files that were set aside.
  /// - Throws: `StartError` if the directory cannot be used or a record was written by a newer program.
  public init(stateDirectory: String, log: Log) throws(StartError) {
    directory = stateDirectory + "/attachments"
    bootID = try starting("boot id") { () throws(SystemError) in try Boot.id() }
    let directory = directory
    let names = try starting("records") { () throws(SystemError) in
      try Files.makeDirectory(directory)
      return try Files.list(directory)
    }
    for name in names {
      let path = "\(directory)/\(name)"
      if name.hasSuffix(".tmp") {
        try? Files.remove(path)
      } else if name.hasSuffix(".json") {
        try load(path, log)
      }
    }
  }

  private func load(_ path: String, _ log: Log) throws(StartError) {
    let bytes = try starting("records") { () throws(SystemError) in try Files.read(path) }
    let fault: String
    do throws(RecordError) {
      let record = try AttachmentRecord(parsing: bytes)
      index(record.key)
      return
    } catch {
      if case .newer = error.reason { throw StartError("\(path): \(error)") }
      fault = "\(error)"
    }
    try? Files.rename(path, path + ".damaged")
    state.withLock { $0.damaged += 1 }
    log.write(.warning, "a damaged record was set aside", [("file", path), ("fault", fault)])
  }

  /// Writes a record in place of the one with the same key.
  public func write(_ record: AttachmentRecord) throws(CNIError) {
    let path = path(of: record.key)
    try mapped(.ioFailure, "cannot record the attachment \(record.key)") { () throws(SystemError) in
      try Files.replace(path, record.encoded())
    }
    index(record.key)
  }

  /// Removes a record; one that is not there is no error.
  public func remove(_ key: AttachmentKey) throws(CNIError) {
    let path = path(of: key)
    try mapped(.ioFailure, "cannot remove the record of \(key)") { () throws(SystemError) in
      _ = try Files.removeIfPresent(path)
    }
    let interface = Interface(containerID: key.containerID, ifName: key.ifName)
    state.withLock { state in
      let rest = state.keys[interface, default: []].filter { $0 != key }
      state.keys[interface] = rest.isEmpty ? nil : rest
    }
  }

  /// The record of a key; nil if there is none, or if its file has been damaged since.
  ///
  /// A record of another boot has lost its namespace: the kernel counts namespaces anew at each boot.
  public func record(_ key: AttachmentKey) -> AttachmentRecord? {
    guard let bytes = try? Files.read(path(of: key)),
      var record = try? AttachmentRecord(parsing: bytes),
      record.key == key
    else { return nil }
    if record.stamp.bootID != bootID { record.namespace = nil }
    return record
  }

  /// The keys of an interface of a container in a network.
  public func keys(containerID: String, ifName: String, network: String) -> [AttachmentKey] {
    state.withLock { state in
      state.keys[Interface(containerID: containerID, ifName: ifName), default: []]
        .filter { $0.network == network }
    }
  }

  /// The keys of a network.
  public func keys(network: String) -> [AttachmentKey] {
    state.withLock { $0.keys.values.flatMap { $0 }.filter { $0.network == network } }
  }

  /// How many records there are.
  public var count: Int { state.withLock { $0.keys.values.reduce(0) { $0 + $1.count } } }

  private func index(_ key: AttachmentKey) {
    let interface = Interface(containerID: key.containerID, ifName: key.ifName)
    state.withLock { state in
      if !state.keys[interface, default: []].contains(key) {
        state.keys[interface, default: []].append(key)
      }
    }
  }

  /// The file of a key: a hash, because ids may be longer than a file name; the key itself is inside.
  private func path(of key: AttachmentKey) -> String {
    var hash = FNV1a()
    for part in [key.network, key.containerID, key.ifName, key.plugin] { hash.combine(part) }
    return "\(directory)/\(hash.text).json"
  }
}

/// The FNV-1a hash of 128 bits.
struct FNV1a {
  private var value: UInt128 = 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D

  /// Adds a text and an end mark, so that `ab`, `c` differs from `a`, `bc`.
  mutating func combine(_ text: String) {
    for byte in text.utf8 { add(byte) }
    add(0)
  }

  private mutating func add(_ byte: UInt8) {
    value ^= UInt128(byte)
    value = value &* 0x0000_0000_0100_0000_0000_0000_0000_013B
  }

  /// 32 hexadecimal digits.
  var text: String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: max(0, 32 - digits.count)) + digits
  }
}
