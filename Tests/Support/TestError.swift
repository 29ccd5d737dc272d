import Linux

/// A fixture could not do what a test asked of it.
public struct TestError: Error, CustomStringConvertible {
  /// What failed, on what, and what was seen.
  public let description: String

  /// Creates an error.
  public init(_ description: String) { self.description = description }
}
