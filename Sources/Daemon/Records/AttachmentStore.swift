package import CNI
import Linux
package import PluginKit

/// The records of all attachments: one file each in `<stateDir>/attachments`, and an index in memory.
package final class AttachmentStore: AttachmentRecording {
  /// What is known of a record without reading its file.
  package struct Summary: Sendable {
    /// How far the attachment has come.
    package let phase: AttachmentRecord.Phase
    /// The id of its namespace, where it has one.
    package let namespaceID: Int32?
  }

  private struct State {
    /// Every record's key, by container and interface.
    var keys: [Interface: [AttachmentKey]] = [:]
    package var summaries: [AttachmentKey: Summary] = [:]
  }

  private struct Interface: Hashable {
    let containerID: String
    let ifName: String
  }

  private let directory: String
  /// What the programs of this directory's daemons have in their environment.
  package let daemonMark: String
  /// This boot's.
  package let bootID: String
  private let log: any LogWriting
  private let state = Mutex(State())

  /// Opens the store: makes the directory if missing and reads every record.
  ///
  /// A file that cannot be understood is set aside under `<name>.damaged`; a temporary file of a process that died is removed.
  ///
  /// - Parameters:
  ///   - stateDirectory: exists already.
  ///   - log: hears of files that were set aside.
  /// - Throws: `StartError` if the directory cannot be used or a record was written by a newer program.
  package init(stateDirectory: String, log: any LogWriting) throws(StartError) {
    directory = stateDirectory + "/attachments"
    daemonMark = DaemonMark.value(stateDirectory: stateDirectory)
    bootID = try starting("boot id") { () throws(SystemError) in try Boot.id() }
    self.log = log
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
        try load(path)
      }
    }
  }

  private func load(_ path: String) throws(StartError) {
    switch Self.read(path) {
    case .success(let record) where self.path(of: record.key) == path: index(record)
    case .success: setAside(path, "its name does not fit its content")
    case .failure(.newer(let text)): throw StartError("\(path): \(text)")
    case .failure(.unreadable(let error)): setAside(path, "\(error)")
    case .failure(.damaged(let text)): setAside(path, text)
    }
  }

  private enum ReadFailure: Error {
    case unreadable(SystemError)
    case damaged(String)
    case newer(String)
  }

  private static func read(_ path: String) -> Result<AttachmentRecord, ReadFailure> {
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try Files.read(path)
    } catch {
      return .failure(.unreadable(error))
    }
    do throws(RecordError) {
      return .success(try AttachmentRecord(parsing: bytes))
    } catch {
      if case .newer = error.reason { return .failure(.newer("\(error)")) }
      return .failure(.damaged("\(error)"))
    }
  }

  /// Keeps a file that is no record for those who want to know what happened, under another name.
  private func setAside(_ path: String, _ fault: String) {
    try? Files.rename(path, path + ".damaged")
    log.write(.warning, "a damaged record was set aside", [("file", path), ("fault", fault)])
  }

  /// Writes a record in place of the one with the same key.
  package func write(_ record: AttachmentRecord) throws(CNIError) {
    let path = path(of: record.key)
    try mapped(.ioFailure, "cannot record the attachment \(record.key)") { () throws(SystemError) in
      try Files.replace(path, record.encoded())
    }
    index(record)
  }

  /// Removes a record; one that is not there is no error.
  package func remove(_ key: AttachmentKey) throws(CNIError) {
    let path = path(of: key)
    try mapped(.ioFailure, "cannot remove the record of \(key)") { () throws(SystemError) in
      _ = try Files.removeIfPresent(path)
    }
    forget(key)
  }

  /// The record of a key; nil if there is none.
  ///
  /// A record of another boot has lost its namespace: the kernel counts namespaces anew at each boot. A file that has
  /// been damaged since it was written is set aside, and the attachment counts as not recorded from then on.
  package func record(_ key: AttachmentKey) -> AttachmentRecord? {
    let path = path(of: key)
    switch Self.read(path) {
    case .success(var record) where record.key == key:
      if record.stamp.bootID != bootID { record.namespace = nil }
      return record
    case .success: setAside(path, "its name does not fit its content")
    case .failure(.damaged(let text)): setAside(path, text)
    case .failure(.unreadable(let error)) where error.errno == .noEntry: break
    // It may be readable again later.
    case .failure: return nil
    }
    forget(key)
    return nil
  }

  /// The keys of an interface of a container in a network.
  package func keys(containerID: String, ifName: String, network: String) -> [AttachmentKey] {
    state.withLock { state in
      state.keys[Interface(containerID: containerID, ifName: ifName), default: []]
        .filter { $0.network == network }
    }
  }

  /// The keys of a network.
  package func keys(network: String) -> [AttachmentKey] {
    summaries.keys.filter { $0.network == network }
  }

  /// What is known of every record, from memory.
  package var summaries: [AttachmentKey: Summary] { state.withLock { $0.summaries } }

  /// Whether a record was made before the machine was started.
  package func isOfAnotherBoot(_ record: AttachmentRecord) -> Bool { isOfAnotherBoot(record.stamp) }

  /// Whether a call began before the machine was started.
  package func isOfAnotherBoot(_ stamp: Stamp) -> Bool { stamp.bootID != bootID }

  /// The records whose namespace had an id when they were written.
  package func records(namespaceID id: Int32) -> [AttachmentRecord] {
    let keys = summaries.filter { $0.value.namespaceID == id }.keys
    return keys.compactMap { record($0) }.filter { $0.namespace?.id == id }
  }

  /// Every record that can be read.
  package func records() -> [AttachmentRecord] {
    summaries.keys.compactMap { record($0) }
  }

  /// How many records there are.
  package var count: Int { state.withLock { $0.summaries.count } }

  private func forget(_ key: AttachmentKey) {
    let interface = Interface(containerID: key.containerID, ifName: key.ifName)
    state.withLock { state in
      let rest = state.keys[interface, default: []].filter { $0 != key }
      state.keys[interface] = rest.isEmpty ? nil : rest
      state.summaries[key] = nil
    }
  }

  private func index(_ record: AttachmentRecord) {
    let key = record.key
    let interface = Interface(containerID: key.containerID, ifName: key.ifName)
    let summary = Summary(phase: record.phase, namespaceID: record.namespace?.id)
    state.withLock { state in
      if state.summaries.updateValue(summary, forKey: key) == nil {
        state.keys[interface, default: []].append(key)
      }
    }
  }

  /// The file of a key: a hash, because ids may be longer than a file name; the key itself is inside.
  private func path(of key: AttachmentKey) -> String {
    "\(directory)/\(AttachmentMark.value(of: key)).json"
  }
}
