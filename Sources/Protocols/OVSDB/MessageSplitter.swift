/// Cuts a stream of JSON objects into its messages.
///
/// JSON-RPC over a stream has no lengths and no separators: a message ends where its object ends.
/// Bytes may come in pieces of any size.
package struct MessageSplitter: Sendable {
  /// Why the stream cannot be cut.
  package enum Failure: Error, Equatable, Sendable, CustomStringConvertible {
    /// Between messages stands something else than white space.
    case junk(UInt8)
    /// A message is longer than the limit.
    case tooLong(limit: Int)

    package var description: String {
      switch self {
      case .junk(let byte): "a message begins with byte \(byte) instead of {"
      case .tooLong(let limit): "a message is longer than \(limit) bytes"
      }
    }
  }

  private let limit: Int
  private var message: [UInt8] = []
  /// How many objects and arrays are open.
  private var depth = 0
  private var isInString = false
  private var isEscaped = false

  /// Creates one for messages of at most so many bytes.
  ///
  /// The first copy of a switch with 10 000 ports has about 12 MB.
  package init(limit: Int = 16 << 20) { self.limit = limit }

  /// Takes the next bytes.
  ///
  /// - Parameters:
  ///   - bytes: the bytes.
  ///   - messages: gets the messages that are complete with them, those before a failure too.
  /// - Throws: when the stream cannot be cut; it is of no use any more then.
  package mutating func feed(
    _ bytes: ArraySlice<UInt8>, into messages: inout [[UInt8]]
  ) throws(Failure) {
    var start = bytes.startIndex
    for index in bytes.indices {
      guard depth > 0 else {
        try begin(bytes[index])
        start = index
        continue
      }
      guard ends(bytes[index]) else { continue }
      try take(bytes[start...index])
      messages.append(message)
      message = []
      start = index + 1
    }
    if depth > 0 { try take(bytes[start...]) }
  }

  private mutating func take(_ bytes: ArraySlice<UInt8>) throws(Failure) {
    guard bytes.count <= limit - message.count else { throw .tooLong(limit: limit) }
    message += bytes
  }

  private mutating func begin(_ byte: UInt8) throws(Failure) {
    switch byte {
    case UInt8(ascii: "{"): depth = 1
    case 0x20, 0x09, 0x0A, 0x0D: break
    default: throw .junk(byte)
    }
  }

  /// Whether a byte of a message is its last one.
  private mutating func ends(_ byte: UInt8) -> Bool {
    if isInString {
      if isEscaped {
        isEscaped = false
      } else if byte == UInt8(ascii: "\\") {
        isEscaped = true
      } else if byte == UInt8(ascii: "\"") {
        isInString = false
      }
      return false
    }
    switch byte {
    case UInt8(ascii: "\""): isInString = true
    case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
    case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
    default: break
    }
    return depth == 0
  }
}
