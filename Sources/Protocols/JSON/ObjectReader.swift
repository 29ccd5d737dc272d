/// Reads the members of one object by type; an absent member and `null` are both nil, as in Go.
public struct ObjectReader<Dialect: MemberDialect> {
  /// The object.
  public let object: JSONObject
  /// Its place in the document, such as `ips[0]`; empty for the document itself.
  public let path: String
  /// How faults are reported.
  public let dialect: Dialect
  /// The keys that can be read, so that every key that is read is a known one; nil for any.
  public let keys: KeyTable?

  /// Creates a reader.
  public init(
    _ object: JSONObject, path: String = "", _ dialect: Dialect, keys: KeyTable? = nil
  ) {
    self.object = object
    self.path = path
    self.dialect = dialect
    self.keys = keys
  }

  /// Parses a document, which must be an object.
  public init(
    parsing bytes: [UInt8], _ dialect: Dialect, keys: KeyTable? = nil
  ) throws(Dialect.Failure) {
    let value: JSONValue
    do throws(JSONError) {
      value = try JSONValue.parse(bytes)
    } catch {
      throw dialect.failure(MemberFault("", .syntax(error)))
    }
    self = try Member(value, path: "", dialect, keys: keys).reader()
  }

  /// The member of a key; nil if it is absent or null, or if the reader's table lacks the key.
  public func member(_ key: String) -> Member<Dialect>? {
    if let keys, !keys.has(key) { return nil }
    let found = dialect.ignoresCase ? object.value(inAnyCase: key) : object[key]
    guard let value = found, !value.isNull else { return nil }
    return Member(value, path: at(key), dialect, keys: keys?.inner(key))
  }

  /// The member of a key, which must be there.
  public func required(_ key: String) throws(Dialect.Failure) -> Member<Dialect> {
    guard let member = member(key) else { throw dialect.failure(MemberFault(at(key), .missing)) }
    return member
  }

  /// The error for a member that cannot be taken.
  public func invalid(_ key: String, _ reason: String) -> Dialect.Failure {
    dialect.failure(MemberFault(at(key), .value(reason)))
  }

  /// A text.
  public func string(_ key: String) throws(Dialect.Failure) -> String? {
    try member(key)?.string()
  }

  /// True or false.
  public func flag(_ key: String) throws(Dialect.Failure) -> Bool? { try member(key)?.flag() }

  /// A whole number of any size that fits.
  public func integer(_ key: String) throws(Dialect.Failure) -> Int? {
    try member(key)?.integer()
  }

  /// A whole number from 0 to `maximum`.
  public func number(_ key: String, maximum: UInt64) throws(Dialect.Failure) -> UInt64? {
    try member(key)?.number(maximum: maximum)
  }

  /// An object.
  public func object(_ key: String) throws(Dialect.Failure) -> JSONObject? {
    try member(key)?.object()
  }

  /// A reader of an object.
  public func reader(_ key: String) throws(Dialect.Failure) -> ObjectReader? {
    try member(key)?.reader()
  }

  /// The texts of an array; none if it is absent.
  public func strings(_ key: String) throws(Dialect.Failure) -> [String] {
    try member(key)?.strings() ?? []
  }

  /// Readers of the objects of an array; none if it is absent.
  public func readers(_ key: String) throws(Dialect.Failure) -> [ObjectReader] {
    try member(key)?.readers() ?? []
  }

  /// The place of a key's value.
  public func at(_ key: String) -> String { path.isEmpty ? key : path + "." + key }
}
