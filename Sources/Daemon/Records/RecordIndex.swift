package import CNI
package import PluginKit

extension AttachmentStore {
  /// What is known of a record without reading its file.
  package struct Summary: Sendable {
    /// How far the attachment has come.
    package internal(set) var phase: AttachmentRecord.Phase
    /// When the request began that made it; holds the boot id.
    package let stamp: Stamp
    /// What leads to its namespace; nil without one, and after another boot.
    package let trace: AttachmentNamespace.Trace?
    /// The record of the set that it is a part of.
    package let parent: AttachmentKey?
    /// Its names outside of the kernel.
    package let names: Set<OutsideName>
    /// What its plugin must not do twice at a time.
    package let lock: String?
    /// Whether it was plugged into a running pod.
    package let isPlugged: Bool
    /// The parts of the set that it is; empty for other attachments.
    package let parts: [PlannedPart]
    /// Whether programs on disk may run for it.
    let runsPrograms: Bool
    /// Whether its file has the suffix that says `deleting`.
    var isRenamed: Bool

    /// The id of its namespace, where it has one.
    package var namespaceID: Int32? { trace?.namespace.id }
  }
}

/// The records by what is asked for, in memory.
struct RecordIndex {
  private(set) var summaries: [AttachmentKey: AttachmentStore.Summary] = [:]
  private var containers: [String: Set<AttachmentKey>] = [:]
  private var children: [AttachmentKey: Set<AttachmentKey>] = [:]
  private var names: [OutsideName: Set<AttachmentKey>] = [:]

  mutating func insert(_ key: AttachmentKey, _ summary: AttachmentStore.Summary) {
    remove(key)
    summaries[key] = summary
    containers[key.containerID, default: []].insert(key)
    if let parent = summary.parent { children[parent, default: []].insert(key) }
    for name in summary.names { names[name, default: []].insert(key) }
  }

  mutating func remove(_ key: AttachmentKey) {
    guard let summary = summaries.removeValue(forKey: key) else { return }
    Self.take(key, outOf: &containers[key.containerID])
    if let parent = summary.parent { Self.take(key, outOf: &children[parent]) }
    for name in summary.names { Self.take(key, outOf: &names[name]) }
  }

  mutating func change(
    _ key: AttachmentKey, _ change: (inout AttachmentStore.Summary) -> Void
  ) {
    guard var summary = summaries[key] else { return }
    change(&summary)
    summaries[key] = summary
  }

  private static func take(_ key: AttachmentKey, outOf keys: inout Set<AttachmentKey>?) {
    keys?.remove(key)
    if keys?.isEmpty == true { keys = nil }
  }

  // MARK: Questions

  func keys(containerID: String, ifName: String) -> Set<AttachmentKey> {
    keys(containerID: containerID).filter { $0.ifName == ifName }
  }

  func keys(containerID: String) -> Set<AttachmentKey> { containers[containerID] ?? [] }

  /// Whether a record belongs to no set, or to one that is gone.
  func isRoot(_ key: AttachmentKey) -> Bool {
    summaries[key]?.parent.map { summaries[$0] == nil } ?? true
  }

  func children(of parent: AttachmentKey) -> Set<AttachmentKey> { children[parent] ?? [] }

  func users(of name: OutsideName) -> Set<AttachmentKey> { names[name] ?? [] }

  /// The attachment to which a name belongs: the newest one that lists it and is not being deleted.
  func holder(of name: OutsideName, bootID: String) -> AttachmentKey? {
    let holders = users(of: name).compactMap { key in
      summaries[key].flatMap { $0.phase == .deleting ? nil : (key: key, stamp: $0.stamp) }
    }
    func order(_ stamp: Stamp) -> (Int, UInt64) {
      (stamp.bootID == bootID ? 1 : 0, stamp.nanoseconds)
    }
    return holders.max { a, b in order(a.stamp) < order(b.stamp) }?.key
  }
}
