public import JSON

/// A step on the way into a JSON value: a member's name or an element's position.
public enum JSONStep: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, Sendable {
  /// A member of an object.
  case member(String)
  /// An element of an array.
  case element(Int)

  /// A member's name.
  public init(stringLiteral name: String) { self = .member(name) }
  /// An element's position.
  public init(integerLiteral position: Int) { self = .element(position) }
}

extension JSONValue {
  /// What stands at the end of a way such as `("ips", 0, "address")`, nil if there is no such way.
  public func at(_ steps: JSONStep...) -> JSONValue? {
    var value: JSONValue? = self
    for step in steps {
      switch step {
      case .member(let name): value = value?[name]
      case .element(let position):
        guard let elements = value?.array, elements.indices.contains(position) else { return nil }
        value = elements[position]
      }
    }
    return value
  }

  /// A copy of an object with a member set; nil removes it.
  ///
  /// Any other kind stays as it is.
  public func setting(_ key: String, _ value: JSONValue?) -> JSONValue {
    guard var object else { return self }
    object[key] = value
    return .object(object)
  }

  /// A copy of an object with several members set; nil removes one.
  public func setting(_ changes: [String: JSONValue?]) -> JSONValue {
    // In the order of the keys, so that the bytes are the same each time.
    changes.keys.sorted().reduce(self) { $0.setting($1, changes[$1] ?? nil) }
  }

  /// Its compact bytes.
  public var bytes: [UInt8] { encoded(.compact) }

  /// Parses a text of a test; `null` if it is none.
  public init(text: String) {
    self = (try? JSONValue.parse(Array(text.utf8))) ?? .null
  }
}
