import CLinux
public import Linux

/// A netlink operation that failed: what was done, to which object, and why.
///
/// Its description is one line for people, with the kernel's own words where it gave some:
/// `add address 10.1.2.3/24 to eth0: File exists (EEXIST)`.
public struct NetlinkError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What was done, such as `create link`.
  public let operation: String
  /// To what: an interface, an address, a route; may be empty.
  public let object: String
  /// The kernel's error number; `Errno.timedOut` and `.cancelled` when the deadline ended the wait.
  public let errno: Errno
  /// The kernel's own words (`NLMSGERR_ATTR_MSG`), or ours about an answer that could not be
  /// read; may be empty.
  public let kernelMessage: String

  /// Creates an error.
  public init(_ operation: String, _ object: String, _ errno: Errno, kernelMessage: String = "") {
    self.operation = operation
    self.object = object
    self.errno = errno
    self.kernelMessage = kernelMessage
  }

  /// Takes over a failed system call, such as a wait whose deadline has passed.
  init(_ operation: String, _ object: String, _ error: SystemError) {
    self.init(operation, object, error.errno)
  }

  /// An answer that cannot be read.
  init(_ operation: String, _ object: String, _ error: WireError) {
    self.init(operation, object, .badMessage, kernelMessage: "unreadable answer: \(error)")
  }

  /// `operation object: text (NAME): the kernel's words`.
  public var description: String {
    let start = object.isEmpty ? "\(operation): \(errno)" : "\(operation) \(object): \(errno)"
    return kernelMessage.isEmpty ? start : "\(start): \(kernelMessage)"
  }
}

extension Errno {
  /// The answer is not what the protocol says it is.
  static var badMessage: Errno { Errno(rawValue: EBADMSG) }
}
