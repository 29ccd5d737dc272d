package import CNI
package import Linux
package import PluginKit

/// The records of all attachments: one file each in `<stateDir>/attachments`, and an
/// index in memory.
///
/// A record is `<hash>.json`, and `<hash>.deleting` once its DEL has begun. Where there are both,
/// `.json` counts: only a newer ADD of the same key writes one beside the other.
package final class AttachmentStore: AttachmentRecording {
  private let directory: String
  /// By what the programs of this directory's daemons are known.
  private let mark: DaemonMark
  /// This boot's.
  package let bootID: String
  private let log: any LogWriting
  private let keeper: Keeper?
  private let lock: @Sendable (AttachmentRecord) -> String?
  private let names: @Sendable (AttachmentRecord) -> Set<OutsideName>
  let state = Mutex(RecordIndex())
  private let damaged = Atomic<Int>(0)

  /// Opens the store: makes the directory if missing and reads every record once.
  ///
  /// A file that cannot be understood is set aside under `<name>.damaged`. A temporary file of a
  /// process that died is removed, and so is a file that a power cut before this boot has emptied.
  ///
  /// - Parameters:
  ///   - stateDirectory: exists already.
  ///   - log: is told of files that were set aside or removed.
  ///   - keeper: sends what is written to the disk; nil leaves that to the kernel.
  ///   - lock: says what the plugin of a record must not do twice at a time; asked once for each
  ///     record.
  ///   - names: says which outside names a record has that was written before there were any; asked
  ///     once for each such record.
  /// - Throws: `StartError` if the directory or a file cannot be read, or a record was written by
  ///   a newer program.
  package init(
    stateDirectory: String, log: any LogWriting, keeper: Keeper? = nil,
    lock: @escaping @Sendable (AttachmentRecord) -> String? = { _ in nil },
    names: @escaping @Sendable (AttachmentRecord) -> Set<OutsideName> = { _ in [] }
  ) throws(StartError) {
    directory = stateDirectory + "/attachments"
    mark = try starting("random bytes") { () throws(SystemError) in
      try DaemonMark(stateDirectory: stateDirectory)
    }
    bootID = try starting("boot id") { () throws(SystemError) in try Boot.id() }
    self.log = log
    self.keeper = keeper
    self.lock = lock
    self.names = names
    try loadAll()
    keeper?.note(directory)
  }

  /// How many records were set aside since the start because they could not be understood.
  package var damagedCount: Int { damaged.load(ordering: .relaxed) }

  /// What the programs of this daemon have in their environment.
  package var daemonMark: String { mark.value }

  /// Whether a record of this boot says that programs on disk may run for it.
  package var mayHavePrograms: Bool {
    summaries.values.contains { $0.runsPrograms && !isOfAnotherBoot($0.stamp) }
  }

  /// Ends what the programs of this directory's last daemon were about to do.
  ///
  /// - Parameter deadline: when to give up.
  /// - Returns: how many processes were killed.
  /// - Throws: `timedOut`, or what kept them from being found.
  package func endOldPrograms(deadline: Deadline) throws(SystemError) -> Int {
    try mark.endOldPrograms(deadline: deadline)
  }

  /// Writes a record in place of the one with the same key.
  package func write(_ record: AttachmentRecord) throws(CNIError) {
    let wasRenamed = summary(of: record.key)?.isRenamed == true
    let isRenamed = wasRenamed && record.phase == .deleting
    let path = path(of: record.key, isRenamed: isRenamed)
    try mapped("cannot record the attachment \(record.key)") { () throws(SystemError) in
      do throws(SystemError) {
        try Files.replace(path, record.encoded())
      } catch {
        guard error.errno == .noEntry else { throw error }
        try makeDirectoryAgain()
        try Files.replace(path, record.encoded())
      }
    }
    keeper?.note(path)
    // The new one counts already; what stays here does no harm.
    if wasRenamed, !isRenamed { try? Files.remove(self.path(of: record.key, isRenamed: true)) }
    index(record, isRenamed: isRenamed)
  }

  /// Somebody has removed the directory under the daemon; the records in it are lost.
  private func makeDirectoryAgain() throws(SystemError) {
    try Files.makeDirectories(directory, permissions: 0o700)
    keeper?.note(directory)
    log.write(
      .warning,
      "the directory of records was gone and is made again; attachments that were recorded there "
        + "are found by their marks",
      [("directory", directory)])
  }

  /// Records that the removal of an attachment has begun: a rename, which needs no
  /// room on the disk.
  package func beginDeleting(_ key: AttachmentKey) throws(CNIError) {
    guard let summary = summary(of: key), !summary.isRenamed else { return }
    let (from, to) = (path(of: key, isRenamed: false), path(of: key, isRenamed: true))
    try mapped("cannot record the removal of \(key)") { () throws(SystemError) in
      try Files.rename(from, to)
    }
    keeper?.note(to)
    state.withLock { state in
      state.change(key) { summary in
        summary.phase = .deleting
        summary.isRenamed = true
      }
    }
  }

  /// Removes a record; one that is not there is no error.
  package func remove(_ key: AttachmentKey) throws(CNIError) {
    let paths = [false, true].map { path(of: key, isRenamed: $0) }
    try mapped("cannot remove the record of \(key)") { () throws(SystemError) in
      for path in paths { _ = try Files.removeIfPresent(path) }
    }
    keeper?.note(paths[0])
    forget(key)
  }

  /// Keeps a record aside, under another key, that is in the way of a new ADD and cannot be undone.
  ///
  /// - Returns: the other key.
  package func putAside(_ record: AttachmentRecord) throws(CNIError) -> AttachmentKey {
    let aside = record.putAside
    try write(aside)
    try remove(record.key)
    return aside.key
  }

  /// The file of a record, for people: without it the attachment is forgotten.
  package func file(of key: AttachmentKey) -> String {
    path(of: key, isRenamed: summary(of: key)?.isRenamed == true)
  }

  /// The record of a key; nil if there is none.
  ///
  /// A record of another boot has lost its namespace: the kernel counts namespaces anew at each
  /// boot. A file that has been damaged since it was written is set aside, and the attachment
  /// counts as not recorded from then on.
  ///
  /// - Throws: code 11 or 5 if it cannot be read now, which says nothing about what it holds.
  package func readable(_ key: AttachmentKey) throws(CNIError) -> AttachmentRecord? {
    guard let summary = summary(of: key) else { return nil }
    let path = path(of: key, isRenamed: summary.isRenamed)
    switch RecordFile.read(path) {
    case .success(var record) where record.key == key:
      if isOfAnotherBoot(record) { record.namespace = nil }
      record.stamp = summary.stamp
      // Those of a record from before there were names came from its plugin.
      record.names = summary.names
      return record
    case .success: setAside(path, "its name does not fit its content")
    case .failure(.damaged(let text)): setAside(path, text)
    case .failure(.lost): setAside(path, "it is empty")
    case .failure(.gone): break
    case .failure(.unreadable(let error)):
      throw CNIError(error, doing: "cannot read the record of \(key)")
    case .failure(.newer): return nil
    }
    forget(key)
    return nil
  }

  /// The same where an answer must be given now: nil also if it cannot be read.
  package func record(_ key: AttachmentKey) -> AttachmentRecord? { (try? readable(key)) ?? nil }

  /// Every record that can be read.
  package func records() -> [AttachmentRecord] { summaries.keys.compactMap { record($0) } }

  /// Whether a record was created before the machine was started.
  package func isOfAnotherBoot(_ record: AttachmentRecord) -> Bool { isOfAnotherBoot(record.stamp) }

  /// Whether a call began before the machine was started.
  package func isOfAnotherBoot(_ stamp: Stamp) -> Bool { stamp.bootID != bootID }

  /// The file of a key: a hash, because ids may be longer than a file name; the key
  /// itself is inside.
  private func path(of key: AttachmentKey, isRenamed: Bool) -> String {
    let suffix = isRenamed ? RecordFile.deletingSuffix : RecordFile.suffix
    return "\(directory)/\(AttachmentMark.value(of: key))\(suffix)"
  }

  private func forget(_ key: AttachmentKey) { state.withLock { $0.remove(key) } }

  private func index(_ record: AttachmentRecord, isRenamed: Bool) {
    let isOld = isOfAnotherBoot(record)
    let stamp = record.stamp
    let known = summary(of: record.key)
    let summary = Summary(
      phase: record.phase,
      // One text for all records of this boot.
      stamp: isOld ? stamp : Stamp(bootID: bootID, nanoseconds: stamp.notInFuture.nanoseconds),
      trace: isOld ? nil : AttachmentNamespace.Trace(record), parent: record.parent,
      names: record.names, lock: known.map { $0.lock } ?? lock(record),
      isPlugged: record.isPlugged, parts: record.planned(PlannedPart.self),
      runsPrograms: record.runsPrograms, isRenamed: isRenamed)
    state.withLock { $0.insert(record.key, summary) }
  }

  /// Keeps a file that is no record for those who want to know what happened, under another name.
  private func setAside(_ path: String, _ fault: String) {
    let isMoved = (try? Files.rename(path, path + ".damaged")) != nil
    damaged.add(1, ordering: .relaxed)
    log.write(
      .warning,
      "a damaged record was set aside; a DEL of its attachment still works, and then the file can "
        + "be removed",
      [("file", isMoved ? path + ".damaged" : path), ("fault", fault)])
  }
}

// MARK: - Start

extension AttachmentStore {
  private func loadAll() throws(StartError) {
    var lost = 0
    let names = try listPatiently()
    for name in names where name.hasSuffix(".tmp") { try? Files.remove("\(directory)/\(name)") }
    // What counts first.
    for suffix in [RecordFile.suffix, RecordFile.deletingSuffix] {
      for name in names where name.hasSuffix(suffix) {
        if try load("\(directory)/\(name)", suffix) { lost += 1 }
      }
    }
    guard lost > 0 else { return }
    log.write(
      .warning, "records that a power cut had emptied were removed", [("count", lost)])
  }

  private func listPatiently() throws(StartError) -> [String] {
    var pauses = [10, 40, 150, 800][...]
    while true {
      do throws(SystemError) {
        try Files.makeDirectory(directory)
        return try Files.list(directory)
      } catch {
        guard !error.isAboutTheFile, let pause = pauses.popFirst() else {
          throw StartError("records", error)
        }
        Clock.pause(milliseconds: pause)
      }
    }
  }

  /// - Returns: whether a power cut had emptied the file.
  private func load(_ path: String, _ suffix: String) throws(StartError) -> Bool {
    let isRenamed = suffix == RecordFile.deletingSuffix
    switch RecordFile.readPatiently(path) {
    case .success(var record) where self.path(of: record.key, isRenamed: isRenamed) == path:
      if record.names.isEmpty { record.names = names(record) }
      if isRenamed, summary(of: record.key) != nil {
        try? Files.remove(path)
      } else {
        index(record, isRenamed: isRenamed)
      }
    case .success: setAside(path, "its name does not fit its content")
    case .failure(.damaged(let text)): setAside(path, text)
    case .failure(.gone): break
    case .failure(.unreadable(let error)): throw StartError("records", error)
    case .failure(.newer(let version, let text)):
      throw StartError(
        "\(path): \(text); install a cnid that knows version \(version), or move the file away "
          + "(its attachment is then removed by its marks at DEL)")
    case .failure(.lost):
      try? Files.remove(path)
      return true
    }
    return false
  }
}
