import JSON

/// A name that only one attachment at a time can have outside of the node's kernel, such as a
/// port's in a switch.
package struct OutsideName: Hashable, Sendable {
  /// What kind of name: `iface-id`.
  package let kind: String
  /// Where it is unique: `unix:/run/openvswitch/db.sock`.
  package let scope: String
  /// The name.
  package let value: String

  package init(kind: String, scope: String, value: String) {
    self.kind = kind
    self.scope = scope
    self.value = value
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
