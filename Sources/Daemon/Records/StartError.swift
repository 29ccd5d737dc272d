package import Linux

/// The daemon cannot start; one line that says why and what to do.
package struct StartError: Error, Equatable, Sendable, CustomStringConvertible {
  package let description: String
  /// Whether it stays until a person has done something; else another try may succeed.
  package let isLasting: Bool

  /// Something is as it must not be.
  package init(_ description: String, isLasting: Bool = true) {
    self.description = description
    self.isLasting = isLasting
  }

  /// A system call failed; `what` stands before its text unless it is empty.
  package init(_ what: String, _ error: SystemError) {
    self.init(what.isEmpty ? "\(error)" : "\(what): \(error)", isLasting: false)
  }

  /// The status that the process ends with, which tells a service manager whether to try again.
  package var exitStatus: Int32 { isLasting ? 2 : 1 }
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
