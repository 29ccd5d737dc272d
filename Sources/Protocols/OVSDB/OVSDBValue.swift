import JSON

/// One scalar of a column, RFC 7047 §5.1 `<atom>`.
///
/// Strings are compared byte by byte, as the server compares them.
public enum OVSDBAtom: Sendable {
  /// An integer.
  case integer(Int)
  /// A real number; one without a fraction is read as an integer, because the wire does not
  /// tell them apart.
  case real(Double)
  /// A truth value.
  case boolean(Bool)
  /// A text.
  case string(String)
  /// A reference to a row.
  case uuid(OVSDBUUID)
  /// A reference to a row that the same transaction inserts under this name (`named-uuid`).
  case named(String)
}

extension OVSDBAtom: Hashable {
  /// Compares kind and content.
  public static func == (a: OVSDBAtom, b: OVSDBAtom) -> Bool {
    switch (a, b) {
    case (.integer(let a), .integer(let b)): a == b
    case (.real(let a), .real(let b)): a == b
    case (.boolean(let a), .boolean(let b)): a == b
    case (.string(let a), .string(let b)), (.named(let a), .named(let b)): sameBytes(a, b)
    case (.uuid(let a), .uuid(let b)): a == b
    default: false
    }
  }

  /// Equal atoms hash alike.
  public func hash(into hasher: inout Hasher) {
    switch self {
    case .integer(let value): hasher.combine(value)
    case .real(let value): hasher.combine(value)
    case .boolean(let value): hasher.combine(value)
    case .string(let text), .named(let text): for byte in text.utf8 { hasher.combine(byte) }
    case .uuid(let value): hasher.combine(value)
    }
  }
}

/// What a column of a row holds, RFC 7047 §5.1 `<value>`.
///
/// A set of one element may come as an atom, so read by the properties and not by the case.
public enum OVSDBValue: Hashable, Sendable {
  /// One scalar, or a set of one.
  case atom(OVSDBAtom)
  /// A set; the order means nothing and no element is twice in it.
  case set([OVSDBAtom])
  /// A map.
  case map([OVSDBAtom: OVSDBAtom])
}

/// A row: the columns that were asked for and what they hold.
public typealias OVSDBRow = [String: OVSDBValue]

extension OVSDBValue {
  /// A set without elements: what an optional column holds that is not set.
  public static let empty = OVSDBValue.set([])

  /// An integer.
  public static func integer(_ value: Int) -> OVSDBValue { .atom(.integer(value)) }
  /// A truth value.
  public static func boolean(_ value: Bool) -> OVSDBValue { .atom(.boolean(value)) }
  /// A text.
  public static func string(_ text: String) -> OVSDBValue { .atom(.string(text)) }
  /// A reference to a row.
  public static func uuid(_ uuid: OVSDBUUID) -> OVSDBValue { .atom(.uuid(uuid)) }
  /// A reference to a row that the same transaction inserts under this name.
  public static func named(_ name: String) -> OVSDBValue { .atom(.named(name)) }
  /// A set of integers.
  public static func integers(_ values: [Int]) -> OVSDBValue { .set(values.map { .integer($0) }) }
  /// A set of references.
  public static func uuids(_ uuids: [OVSDBUUID]) -> OVSDBValue { .set(uuids.map { .uuid($0) }) }
  /// A map from texts to texts.
  public static func strings(_ pairs: [String: String]) -> OVSDBValue {
    var map: [OVSDBAtom: OVSDBAtom] = [:]
    for (key, value) in pairs { map[.string(key)] = .string(value) }
    return .map(map)
  }

  /// The elements of a set; one for an atom, none for a map.
  public var atoms: [OVSDBAtom] {
    switch self {
    case .atom(let atom): [atom]
    case .set(let atoms): atoms
    case .map: []
    }
  }

  /// The only element; nil for none, for several and for a map.
  public var atom: OVSDBAtom? {
    let atoms = atoms
    return atoms.count == 1 ? atoms.first : nil
  }

  /// The integer, if that is the only element.
  public var integer: Int? { if case .integer(let value)? = atom { value } else { nil } }

  /// The number, if that is the only element.
  public var real: Double? {
    switch atom {
    case .real(let value)?: value
    case .integer(let value)?: Double(value)
    default: nil
    }
  }

  /// The truth value, if that is the only element.
  public var boolean: Bool? { if case .boolean(let value)? = atom { value } else { nil } }

  /// The text, if that is the only element.
  public var string: String? { if case .string(let text)? = atom { text } else { nil } }

  /// The reference, if that is the only element.
  public var uuid: OVSDBUUID? { if case .uuid(let uuid)? = atom { uuid } else { nil } }

  /// The integers among the elements.
  public var integers: [Int] {
    atoms.compactMap { if case .integer(let value) = $0 { value } else { nil } }
  }

  /// The references among the elements.
  public var uuids: [OVSDBUUID] {
    atoms.compactMap { if case .uuid(let uuid) = $0 { uuid } else { nil } }
  }

  /// The pairs of texts of a map; empty for anything else.
  public var strings: [String: String] {
    guard case .map(let map) = self else { return [:] }
    var pairs: [String: String] = [:]
    for case (.string(let key), .string(let value)) in map { pairs[key] = value }
    return pairs
  }

  /// The text that a map of texts has for a key; nil for anything else.
  public subscript(key: String) -> String? {
    guard case .map(let map) = self, case .string(let text)? = map[.string(key)] else { return nil }
    return text
  }
}
