import CNI
import Linux

/// What is known of the calls that come from a program which a call runs.
///
/// Such a program may be a meta-plugin that calls us again. What it asks for is a part of the
/// call that runs it, and must not wait for that call.
package struct InnerCalls: Sendable {
  /// The variable by which a call says from which program it comes.
  package static let variable = "CNID_CALL"

  /// The program's own value of it, never used again.
  package let id: String
  /// The set of attachments that the program works for.
  package let set: AttachmentKey
  /// What the program attaches or detaches, as in a claim.
  package let attachment: String

  package init(id: String, set: AttachmentKey, attachment: String) {
    (self.id, self.set, self.attachment) = (id, set, attachment)
  }
}

extension CallProgress {
  /// Runs a body in which calls from inside are let in; none of them outlives it.
  func admitting<T: ~Copyable>(
    _ inner: InnerCalls, _ body: () throws(CNIError) -> T
  ) throws(CNIError) -> T {
    let place = place
    place?.admit(inner)
    defer { place?.dismiss(inner, self) }
    return try body()
  }
}
