import CLinux

/// Builds one request: a header, a structure of the kernel, attributes.
///
/// ```swift
/// var message = MessageBuilder(type: RTM_NEWLINK, flags: NLM_F_CREATE)
/// message.append(ifinfomsg())
/// message.attribute(IFLA_IFNAME, text: "eth0")
/// message.nested(IFLA_LINKINFO) { $0.attribute(IFLA_INFO_KIND, text: "macvlan") }
/// ```
/// A value that does not fit the 16-bit length of an attribute makes the whole message unusable:
/// `isTooLong` becomes true and sending it is the error `EMSGSIZE`. Nothing traps.
public struct MessageBuilder: Sendable {
  private var bytes: [UInt8]
  private let type: Int
  private let flags: Int32

  /// Whether something did not fit.
  public private(set) var isTooLong = false

  /// Starts a request.
  ///
  /// - Parameters:
  ///   - type: `RTM_…`.
  ///   - flags: `NLM_F_…` beside `NLM_F_REQUEST`, which is always set.
  public init(type: Int, flags: Int32 = 0) {
    self.type = type
    self.flags = flags
    bytes = [UInt8](repeating: 0, count: MemoryLayout<nlmsghdr>.size)
    bytes.reserveCapacity(256)
  }

  /// Appends a structure of the kernel or an integer, padded to four bytes.
  public mutating func append(_ value: some BitwiseCopyable) {
    Kernel.append(value, to: &bytes)
    pad()
  }

  /// Appends raw bytes, padded to four.
  public mutating func append(bytes value: some Collection<UInt8>) {
    bytes.append(contentsOf: value)
    pad()
  }

  /// Appends an attribute of raw bytes.
  public mutating func attribute(_ type: Int, bytes value: some Collection<UInt8>) {
    begin(type) { $0.bytes.append(contentsOf: value) }
  }

  /// Appends an attribute that holds an integer or a structure of the kernel.
  public mutating func attribute(_ type: Int, _ value: some BitwiseCopyable) {
    begin(type) { Kernel.append(value, to: &$0.bytes) }
  }

  /// Appends an attribute of text with its final NUL.
  public mutating func attribute(_ type: Int, text: String) {
    begin(type) {
      $0.bytes.append(contentsOf: text.utf8)
      $0.bytes.append(0)
    }
  }

  /// Appends an attribute that holds what a body appends: further attributes, and at
  /// times a structure.
  ///
  /// The flag `NLA_F_NESTED` is not set: rtnetlink's older attributes do not want it.
  public mutating func nested(_ type: Int, _ body: (inout MessageBuilder) -> Void) {
    begin(type, body)
  }

  /// The finished message.
  ///
  /// - Parameters:
  ///   - sequence: the number that the answer will carry.
  ///   - acknowledged: whether to ask for an acknowledgement.
  ///   - more: further flags, such as `NLM_F_DUMP`.
  /// - Returns: the bytes to send.
  public func finished(
    sequence: UInt32, acknowledged: Bool = true, flags more: Int32 = 0
  ) -> [UInt8] {
    var header = nlmsghdr()
    header.nlmsg_len = UInt32(truncatingIfNeeded: bytes.count)
    header.nlmsg_type = UInt16(truncatingIfNeeded: type)
    header.nlmsg_flags = UInt16(
      truncatingIfNeeded: flags | more | NLM_F_REQUEST | (acknowledged ? NLM_F_ACK : 0))
    header.nlmsg_seq = sequence
    var message = bytes
    Kernel.overwrite(&message, at: 0, with: header)
    return message
  }

  private mutating func begin(_ type: Int, _ body: (inout MessageBuilder) -> Void) {
    let start = bytes.count
    Kernel.append(nlattr(), to: &bytes)
    body(&self)
    let length = bytes.count - start
    if length > Int(UInt16.max) { isTooLong = true }
    let header = nlattr(
      nla_len: UInt16(truncatingIfNeeded: length), nla_type: UInt16(truncatingIfNeeded: type))
    Kernel.overwrite(&bytes, at: start, with: header)
    pad()
  }

  private mutating func pad() {
    while bytes.count & 3 != 0 { bytes.append(0) }
  }
}
