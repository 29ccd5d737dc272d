package import Linux

/// The daemon cannot start; one line that says why and what to do.
package struct StartError: Error, Equatable, Sendable, CustomStringConvertible {
  package let description: String

  package init(_ description: String) { self.description = description }

  /// A system call failed; `what` stands before its text unless it is empty.
  package init(_ what: String, _ error: SystemError) {
    description = what.isEmpty ? "\(error)" : "\(what): \(error)"
  }
}

/// Runs a body whose failing system calls keep the daemon from starting.
///
/// - Parameters:
///   - what: stands before the error's text; empty for the text alone.
///   - body: what to run.
/// - Returns: what the body returns.
/// - Throws: the error of the body as a `StartError`.
package func starting<T: ~Copyable>(
  _ what: String = "", _ body: () throws(SystemError) -> T
) throws(StartError) -> T {
  do throws(SystemError) {
    return try body()
  } catch {
    throw StartError(what, error)
  }
}
