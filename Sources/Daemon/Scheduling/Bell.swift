import Linux

/// Wakes one call that waits for what it asked for.
final class Bell: Sendable {
  private let event: EventDescriptor

  init() throws(SystemError) { event = try EventDescriptor() }

  func ring() { event.signal() }

  /// Waits until it rings.
  func wait(_ deadline: Deadline) throws(SystemError) {
    try deadline.wait(event.descriptor.rawValue, for: .read, "wait for other calls")
  }
}
