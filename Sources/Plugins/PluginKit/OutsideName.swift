package import CNI
import JSON

/// A name that only one attachment at a time can have outside of the node's kernel, such as a
/// port's in a switch.
public struct OutsideName: Hashable, Sendable {
  /// What kind of name: `iface-id`.
  public let kind: String
  /// Where it is unique: `unix:/run/openvswitch/db.sock`.
  public let scope: String
  /// The name.
  public let value: String

  /// Creates a name.
  public init(kind: String, scope: String, value: String) {
    self.kind = kind
    self.scope = scope
    self.value = value
  }
}

/// Who has an outside name.
package struct NameHolder: Sendable {
  /// The attachment.
  package let key: AttachmentKey
  /// When its ADD began.
  package let stamp: Stamp
  /// Whether that ADD has ended well.
  package let isAttached: Bool

  package init(key: AttachmentKey, stamp: Stamp, isAttached: Bool) {
    (self.key, self.stamp, self.isAttached) = (key, stamp, isAttached)
  }
}

extension OutsideName: CustomStringConvertible {
  /// `kind value`, as people know it.
  public var description: String { "\(kind) \(value)" }

  /// What a call claims with the name, in the sense of ``NetworkPlugin/lock(for:)``.
  var lock: String { "name \(kind) \(value) in \(scope)" }
}

extension CNIError {
  /// Code 11: the names belong to a sandbox whose ADD began later.
  package static func superseded(by sandbox: String, _ names: Set<OutsideName>) -> CNIError {
    let list = names.map(\.description).sorted().joined(separator: ", ")
    return CNIError(
      .tryAgainLater, "superseded by sandbox \(sandbox), whose ADD is newer", details: list)
  }
}

extension OutsideName {
  init?(_ json: JSONValue) {
    guard let kind = json["kind"]?.string, let scope = json["scope"]?.string,
      let value = json["value"]?.string
    else { return nil }
    self.init(kind: kind, scope: scope, value: value)
  }

  var json: JSONValue {
    ["kind": .string(kind), "scope": .string(scope), "value": .string(value)]
  }

  static func isBefore(_ a: OutsideName, _ b: OutsideName) -> Bool {
    (a.kind, a.scope, a.value) < (b.kind, b.scope, b.value)
  }
}
