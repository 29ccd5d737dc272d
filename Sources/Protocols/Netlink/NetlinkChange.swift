import CLinux
public import Linux

/// One change of the kernel's tables, sent alone or together with others by `NetlinkSocket.apply`.
///
/// The files of the objects (links, addresses, routes) make them.
public struct NetlinkChange: Sendable {
  /// What is done, in a few words: `add address`.
  public let operation: String
  /// To what, for the error: `10.1.2.3/24 to interface 7`.
  public let object: String
  private let message: MessageBuilder
  private var tolerated: [Errno] = []

  /// Creates a change from a request.
  ///
  /// - Parameters:
  ///   - operation: what is done, for the error.
  ///   - object: to what, for the error.
  ///   - message: the request; the acknowledgement is asked for when it is sent.
  public init(_ operation: String, _ object: String, _ message: MessageBuilder) {
    self.operation = operation
    self.object = object
    self.message = message
  }

  /// The same change, for which an error number counts as success.
  public func tolerating(_ errno: Errno) -> NetlinkChange {
    var change = self
    change.tolerated.append(errno)
    return change
  }

  func finished(sequence: UInt32) throws(NetlinkError) -> [UInt8] {
    if message.isTooLong {
      throw NetlinkError(
        operation, object, .messageSize, kernelMessage: "a value does not fit its attribute")
    }
    return message.finished(sequence: sequence)
  }

  func outcome(_ acknowledgement: Acknowledgement) -> NetlinkError? {
    let errno = Errno(rawValue: acknowledgement.errorNumber)
    if errno.rawValue == 0 || tolerated.contains(errno) { return nil }
    return NetlinkError(operation, object, errno, kernelMessage: acknowledgement.message)
  }
}
