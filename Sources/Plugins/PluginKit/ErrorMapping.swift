public import CNI
public import Linux
public import Netlink

/// The one place where errors of the lower modules become CNI errors.
extension CNIError {
  /// A system call that failed: 105 when a wait was over or cancelled, else `code`.
  public init(_ error: SystemError, code: CNIErrorCode = .ioFailure, doing message: String? = nil) {
    let isWait = error.errno == .timedOut || error.errno == .cancelled
    self.init(
      isWait ? .deadline : code, message ?? error.description,
      details: message == nil ? "" : error.description)
  }

  /// A change that the kernel refused: code 100, the kernel's own words in the details.
  public init(_ error: NetlinkError, doing message: String? = nil) {
    let isWait = error.errno == .timedOut || error.errno == .cancelled
    self.init(
      isWait ? .deadline : .kernel, message ?? error.description,
      details: message == nil ? "" : error.description)
  }
}

/// Runs a body that speaks to the kernel's netlink, with its error as a CNI error.
///
/// - Parameters:
///   - message: the error's message; the kernel's text is then in the details. nil: the text is the message.
///   - body: what to run.
/// - Returns: what the body returns.
/// - Throws: the mapped error.
public func mapped<T: ~Copyable>(
  _ message: @autoclosure () -> String? = nil, _ body: () throws(NetlinkError) -> T
) throws(CNIError) -> T {
  do throws(NetlinkError) {
    return try body()
  } catch {
    throw CNIError(error, doing: message())
  }
}

/// Runs a body that makes system calls, with its error as a CNI error.
///
/// - Parameters:
///   - code: the error's code.
///   - message: its message; the system call's text is then in the details. nil: the text is the message.
///   - body: what to run.
/// - Returns: what the body returns.
/// - Throws: the mapped error.
public func mapped<T: ~Copyable>(
  _ code: CNIErrorCode = .ioFailure, _ message: @autoclosure () -> String? = nil,
  _ body: () throws(SystemError) -> T
) throws(CNIError) -> T {
  do throws(SystemError) {
    return try body()
  } catch {
    throw CNIError(error, code: code, doing: message())
  }
}
