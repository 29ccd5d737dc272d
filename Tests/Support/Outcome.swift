/// What a call that blocks gave, for an expectation; it runs on a thread of its own.
public func outcome<Value: Sendable, Failure: Error>(
  _ body: @escaping @Sendable () throws(Failure) -> Value
) async -> Result<Value, Failure> {
  await onThread {
    do throws(Failure) {
      return .success(try body())
    } catch {
      return .failure(error)
    }
  }
}

/// The error that a body throws, nil if it throws none.
public func failure<Value, Failure: Error>(of body: () throws(Failure) -> Value) -> Failure? {
  do throws(Failure) {
    _ = try body()
    return nil
  } catch {
    return error
  }
}

extension Result {
  /// The error, nil for a success.
  public var error: Failure? { if case .failure(let error) = self { error } else { nil } }
  /// The value, nil for a failure.
  public var value: Success? { try? get() }
}
