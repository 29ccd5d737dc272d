import Linux

/// A value that several threads share: a mutex that can be kept in a constant and passed on.
public final class Locked<Value: Sendable>: Sendable {
  private let mutex: Mutex<Value>

  /// Guards a value.
  public init(_ value: Value) { mutex = Mutex(value) }

  /// Reads or changes the value; nobody else sees it meanwhile.
  public func withLock<Result: Sendable, Failure: Error>(
    _ body: (inout Value) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try mutex.withLock { (value: inout sending Value) throws(Failure) -> Result in
      try body(&value)
    }
  }

  /// A copy of the value as it is now.
  public var value: Value { withLock { $0 } }
}
