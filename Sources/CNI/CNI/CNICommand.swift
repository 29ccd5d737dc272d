/// A verb: the value of CNI_COMMAND.
///
/// Any text can be one, because unknown verbs are passed on and refused by who would have to serve
/// them. Verbs are compared by bytes.
public struct CNICommand: RawRepresentable, Sendable {
  /// The text of CNI_COMMAND.
  public let rawValue: String

  /// Creates a verb of any text.
  public init(rawValue: String) { self.rawValue = rawValue }

  /// Attaches a container to the network.
  public static let add = CNICommand(rawValue: "ADD")
  /// Detaches it; the same attachment may be detached any number of times.
  public static let delete = CNICommand(rawValue: "DEL")
  /// Compares what is with what ADD created.
  public static let check = CNICommand(rawValue: "CHECK")
  /// Asks whether ADD would be served.
  public static let status = CNICommand(rawValue: "STATUS")
  /// Removes what belongs to attachments that are not listed as valid.
  public static let garbageCollect = CNICommand(rawValue: "GC")
  /// Asks for the supported versions.
  public static let version = CNICommand(rawValue: "VERSION")
  /// Changes an attachment in place; not in the specification, from OVN-Kubernetes' early server.
  public static let update = CNICommand(rawValue: "UPDATE")

  /// Every verb that the daemon serves, and VERSION.
  public static let known: [CNICommand] = [
    .add, .delete, .check, .status, .garbageCollect, .version, .update,
  ]

  /// Whether the verb is one of ``known``.
  public var isKnown: Bool { Self.known.contains { $0 == self } }

  /// The oldest version whose specification has the verb; nil if there is no such condition.
  public var minimumVersion: CNIVersion? {
    switch self {
    case .check: .v040
    case .status, .garbageCollect: .v110
    default: nil
    }
  }
}

extension CNICommand: Hashable {
  /// Compares by bytes.
  public static func == (left: CNICommand, right: CNICommand) -> Bool {
    sameBytes(left.rawValue, right.rawValue)
  }

  /// Hashes the bytes.
  public func hash(into hasher: inout Hasher) {
    for byte in rawValue.utf8 { hasher.combine(byte) }
  }
}

extension CNICommand: CustomStringConvertible {
  /// The text of CNI_COMMAND.
  public var description: String { rawValue }
}
