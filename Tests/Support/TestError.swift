import Linux

/// A fixture could not do what a test asked of it.
public struct TestError: Error, CustomStringConvertible {
  /// What failed, on what, and what was seen.
  public let description: String

  /// Makes an error.
  public init(_ description: String) { self.description = description }
}

/// Looks again and again until something is true; for conditions that nobody announces.
///
/// - Parameters:
///   - milliseconds: how long to look.
///   - condition: what must become true; it runs on a thread of its own, all looks on the same one.
/// - Returns: whether it became true in time.
/// - Throws: what `condition` threw.
public func eventually(
  within milliseconds: Int = 5000, _ condition: @escaping @Sendable () throws -> Bool
) async throws -> Bool {
  try await onThread {
    let deadline = Deadline.after(milliseconds: milliseconds * Program.patience)
    while true {
      if try condition() { return true }
      if deadline.isOver { return false }
      Clock.pause(milliseconds: 5)
    }
  }
}
