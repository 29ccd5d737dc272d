/// Bytes that are not what netlink(7) says they are.
///
/// The kernel never sends such bytes; a reader still must end on them, so every length is checked
/// and none can be zero steps.
public enum WireError: Error, Equatable, Sendable, CustomStringConvertible {
  /// Fewer bytes are left than the thing takes.
  case truncated(what: String, needed: Int, left: Int)
  /// A length field is smaller than its own header.
  case shortLength(what: String, length: Int)

  /// One line, `attribute: 4 bytes needed, 2 left`.
  public var description: String {
    switch self {
    case .truncated(let what, let needed, let left): "\(what): \(needed) bytes needed, \(left) left"
    case .shortLength(let what, let length): "\(what): impossible length \(length)"
    }
  }
}
