/// The header fields of one message, in the order in which they came or will be sent.
///
/// Names are compared without regard to ASCII case (RFC 9110, 5.1).
public struct HTTPHeaders: Sendable, Equatable {
  /// One field line.
  public struct Field: Sendable, Equatable {
    /// The name as written.
    public var name: String
    /// The value without the white space around it.
    public var value: String

    /// Creates a field line.
    public init(name: String, value: String) {
      self.name = name
      self.value = value
    }
  }

  /// Every field line, repeated names included.
  public private(set) var fields: [Field]

  /// Creates a list of fields from pairs of name and value.
  public init(_ pairs: [(String, String)] = []) {
    fields = pairs.map { Field(name: $0.0, value: $0.1) }
  }

  /// Adds a field line at the end; fields of the same name stay.
  public mutating func append(_ name: String, _ value: String) {
    fields.append(Field(name: name, value: value))
  }

  /// The value of the first field of that name.
  ///
  /// Setting replaces all fields of the name by one at the end; `nil` removes them.
  public subscript(name: String) -> String? {
    get { fields.first { Self.sameName($0.name, name) }?.value }
    set {
      fields.removeAll { Self.sameName($0.name, name) }
      if let newValue { append(name, newValue) }
    }
  }

  /// The values of all fields of that name, in order.
  public func all(_ name: String) -> [String] {
    fields.filter { Self.sameName($0.name, name) }.map { $0.value }
  }

  /// Whether two names are equal but for ASCII case.
  static func sameName(_ one: String, _ other: String) -> Bool {
    ASCII.equalIgnoringCase(one.utf8, other.utf8)
  }
}
