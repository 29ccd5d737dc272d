// What an ADD that could not be undone has left, when another one of the same attachment needs its
// place. It is nobody's attachment any more: only the daemon's own repetition of the undo knows it.

extension AttachmentKey {
  private static let prefix = "left-"

  /// Whether it names what could not be undone, put aside for a later ADD.
  package var isLeftover: Bool { place.utf8.starts(with: Self.prefix.utf8) }

  fileprivate func leftover(_ mark: String) -> AttachmentKey {
    AttachmentKey(
      network: network, containerID: containerID, ifName: ifName, plugin: plugin,
      place: Self.prefix + mark)
  }
}

extension AttachmentRecord {
  /// The record under a name that is in nobody's way; what the same configuration has left before
  /// has the same name, because one undo does for both.
  package var putAside: AttachmentRecord {
    var hash = FNV1a()
    hash.combine(String(decoding: configuration, as: UTF8.self))
    var record = AttachmentRecord(
      key: key.leftover(hash.short(digits: 12)), configuration: configuration,
      environment: environment, origin: origin, requestID: requestID, stamp: stamp)
    record.phase = .deleting
    record.namespace = namespace
    record.plan = plan
    record.result = result
    record.names = names
    record.duties = duties
    record.notes = notes
    return record
  }
}
