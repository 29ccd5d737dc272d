import Linux

/// Keeps the record that an ADD has written.
final class Recorded: Sendable {
  private let value = Mutex<AttachmentRecord?>(nil)

  func set(_ record: AttachmentRecord) { value.withLock { $0 = record } }
  func change(_ body: (inout AttachmentRecord) -> Void) {
    value.withLock { value in
      guard var record = value else { return }
      body(&record)
      value = record
    }
  }
  func get() -> AttachmentRecord? { value.withLock { $0 } }
}
