/// What says on a link to which attachment it belongs: its alias, `cnid:<container id>/<ifname>`.
///
/// It stays with the link wherever that is moved, and whatever becomes of the record.
public struct OwnerMark: Sendable {
  /// The alias, at most 255 bytes.
  public let text: String

  /// What every mark begins with.
  private static let prefix = "cnid:"

  /// The kernel's limit for an alias, without the final NUL.
  private static let longest = 255

  /// Creates the mark of an attachment.
  public init(containerID: String, ifName: String) {
    var text = "\(Self.prefix)\(containerID)/\(ifName)"
    while text.utf8.count > Self.longest { text.unicodeScalars.removeLast() }
    self.text = text
  }

  /// Whether a link with this alias is the attachment's.
  public func matches(alias: String) -> Bool { alias.utf8.elementsEqual(text.utf8) }

  /// Whether a link with this alias is an attachment's of this container.
  public static func isMark(_ alias: String, ofContainer containerID: String) -> Bool {
    alias.utf8.starts(with: "\(prefix)\(containerID)/".utf8)
  }

  /// Whether a link with this alias is some attachment's of cnid.
  public static func isMark(_ alias: String) -> Bool {
    alias.utf8.starts(with: prefix.utf8)
  }
}
