import CLinux

/// Reads values from bytes that came from the kernel, never past their end.
///
/// Numbers and structures are in the machine's own byte order, as netlink has them.
public struct ByteReader: Sendable {
  /// What has not been read yet.
  public private(set) var rest: ArraySlice<UInt8>

  /// Starts at the beginning of some bytes.
  public init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  /// The next value of a type without pointers: an integer or one of the kernel's structures.
  ///
  /// - Parameter type: the type; its size in memory is what is taken.
  /// - Returns: the value.
  /// - Throws: `WireError.truncated` if fewer bytes are left.
  public mutating func read<Value: BitwiseCopyable>(_ type: Value.Type) throws(WireError) -> Value {
    let size = MemoryLayout<Value>.size
    guard let value = Kernel.load(type, from: rest) else {
      throw .truncated(what: "value", needed: size, left: rest.count)
    }
    rest = rest.dropFirst(size)
    return value
  }
}

/// One attribute: a type and its bytes.
public struct Attribute: Sendable {
  /// The type without the flag bits; what it means depends on the message and on the
  /// attribute around it.
  public let type: Int
  /// The bytes, without header and padding.
  public let value: ArraySlice<UInt8>

  /// The value's beginning as an integer or a structure of the kernel.
  ///
  /// - Parameter type: what to read.
  /// - Returns: the value.
  /// - Throws: `WireError.truncated` if the value is shorter; a longer one is what a
  ///   newer kernel sends.
  public func read<Value: BitwiseCopyable>(_ type: Value.Type) throws(WireError) -> Value {
    var reader = ByteReader(value)
    return try reader.read(type)
  }

  /// The value as text, up to its first NUL.
  public var text: String { String(decoding: value.prefix { $0 != 0 }, as: UTF8.self) }

  /// The attributes inside this one.
  public var nested: AttributeReader { AttributeReader(value) }
}

/// Walks over attributes (`struct nlattr`), one after the other.
public struct AttributeReader: Sendable {
  private var rest: ArraySlice<UInt8>

  /// Starts at the first attribute.
  public init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  /// The next attribute, or nil at the end.
  ///
  /// Fewer than four bytes at the end are padding, as in the kernel's `nla_ok`.
  ///
  /// - Throws: `WireError` for a length below the header's or past the end; nothing can be
  ///   read afterwards.
  public mutating func next() throws(WireError) -> Attribute? {
    guard let header = Kernel.load(nlattr.self, from: rest) else { return nil }
    let value = try take("attribute", Int(header.nla_len), header: nlattr.self, from: &rest)
    return Attribute(type: Int(header.nla_type) & attributeTypeMask, value: value)
  }
}

/// One message of a datagram: the header's fields and the bytes after it.
public struct NetlinkMessage: Sendable {
  /// `RTM_…` or `NLMSG_…`.
  public let type: Int
  /// `NLM_F_…`.
  public let flags: Int32
  /// The number of the request that this answers; notifications have any.
  public let sequence: UInt32
  /// The port to which the kernel speaks.
  public let portID: UInt32
  /// Everything after the header.
  public let payload: ArraySlice<UInt8>
}

/// Walks over the messages of a datagram.
public struct MessageReader: Sendable {
  private var rest: ArraySlice<UInt8>

  /// Starts at the first message.
  public init(_ datagram: ArraySlice<UInt8>) { rest = datagram }

  /// The next message, or nil at the end.
  ///
  /// - Throws: `WireError` for a length below the header's or past the end, and for a cut header;
  ///   nothing can be read afterwards.
  public mutating func next() throws(WireError) -> NetlinkMessage? {
    if rest.isEmpty { return nil }
    guard let header = Kernel.load(nlmsghdr.self, from: rest) else {
      let left = rest.count
      rest = []
      throw .truncated(
        what: "message header", needed: MemoryLayout<nlmsghdr>.size, left: left)
    }
    let payload = try take("message", Int(header.nlmsg_len), header: nlmsghdr.self, from: &rest)
    return NetlinkMessage(
      type: Int(header.nlmsg_type), flags: Int32(header.nlmsg_flags), sequence: header.nlmsg_seq,
      portID: header.nlmsg_pid, payload: payload)
  }
}

/// Takes a message or an attribute, with its padding, off the front of what is left.
///
/// - Parameters:
///   - what: its name for an error.
///   - length: what its header says, the header included.
///   - header: the header's type.
///   - rest: what is left; nothing after an error.
/// - Returns: the bytes after the header.
/// - Throws: `WireError` for a length below the header's or past the end.
private func take<Header>(
  _ what: String, _ length: Int, header: Header.Type, from rest: inout ArraySlice<UInt8>
) throws(WireError) -> ArraySlice<UInt8> {
  let (left, headerSize) = (rest.count, MemoryLayout<Header>.size)
  guard length >= headerSize, length <= left else {
    rest = []
    throw length < headerSize
      ? .shortLength(what: what, length: length)
      : .truncated(what: what, needed: length, left: left)
  }
  let value = rest.prefix(length).dropFirst(headerSize)
  rest = rest.dropFirst(aligned(length))
  return value
}

/// The type's bits in `nla_type`; the two above say "nested" and "network byte order".
private let attributeTypeMask = ~Int(NLA_F_NESTED | NLA_F_NET_BYTEORDER)

/// A length rounded up to netlink's four bytes; the argument is at most a buffer's size.
func aligned(_ length: Int) -> Int { (length &+ 3) & ~3 }
