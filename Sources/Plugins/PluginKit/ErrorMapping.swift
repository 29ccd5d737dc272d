package import CNI
package import Linux
package import Netlink

/// An error of a lower module that has a code in CNI.
package protocol CNIMappable: Error {
  /// The error as the caller of CNI is told.
  ///
  /// - Parameters:
  ///   - code: the code in place of the usual one; a wait that was over has 105 all the same, and
  ///     a lack of descriptors 11.
  ///   - message: what failed; the error's own words are then in the details. nil: they
  ///     are the message.
  /// - Returns: the error with its code.
  func cniError(code: CNIErrorCode?, doing message: String?) -> CNIError
}

extension CNIError {
  /// An error of a lower module: its own words, or a message with those in the details.
  package init(
    _ error: some CNIMappable, code: CNIErrorCode? = nil, doing message: String? = nil
  ) {
    self = error.cniError(code: code, doing: message)
  }

  /// An error with a code of its own, whose words are the message unless there is another one.
  ///
  /// - Parameters:
  ///   - code: the code.
  ///   - words: what the lower module said.
  ///   - message: what failed.
  package init(_ code: CNIErrorCode, _ words: String, doing message: String?) {
    self.init(code, message ?? words, details: message == nil ? "" : words)
  }
}

/// A system call: code 5 unless the caller knows better.
extension SystemError: CNIMappable {
  /// Code 105 when a wait was over or cancelled, 11 when there were no descriptors left.
  package func cniError(code: CNIErrorCode?, doing message: String?) -> CNIError {
    CNIError(errno.ownCode ?? code ?? .ioFailure, description, doing: message)
  }
}

/// What the kernel refused: code 100.
extension NetlinkError: CNIMappable {
  /// Code 105 when a wait was over or cancelled, 11 when there were no descriptors left.
  package func cniError(code: CNIErrorCode?, doing message: String?) -> CNIError {
    CNIError(errno.ownCode ?? code ?? .kernel, description, doing: message)
  }
}

extension Errno {
  /// The code of an error that means the same whatever was done.
  fileprivate var ownCode: CNIErrorCode? {
    if self == .timedOut || self == .cancelled { return .deadline }
    return isExhaustion ? .tryAgainLater : nil
  }
}

/// Runs a body of a lower module, with its error as a CNI error.
///
/// - Parameters:
///   - message: what failed; nil: the error's own words.
///   - code: the code in place of the error's usual one.
///   - body: what to run.
/// - Returns: what the body returns.
/// - Throws: the mapped error.
package func mapped<T: ~Copyable, Failure: CNIMappable>(
  _ message: @autoclosure () -> String? = nil, code: CNIErrorCode? = nil,
  _ body: () throws(Failure) -> T
) throws(CNIError) -> T {
  do throws(Failure) {
    return try body()
  } catch {
    throw CNIError(error, code: code, doing: message())
  }
}
