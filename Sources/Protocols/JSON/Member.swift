/// One value of a document, with its place there and the dialect in which faults are reported.
///
/// Each question is a type; a value of another type is a fault that names the place and both types,
/// never the value.
public struct Member<Dialect: MemberDialect> {
  /// The value.
  public let value: JSONValue
  /// Its place, such as `ips[0].address`; empty for the document itself.
  public let path: String
  /// How faults are reported.
  public let dialect: Dialect
  /// The keys that the value, or what it lists, may have; nil for any.
  public let keys: KeyTable?

  /// Creates a member.
  public init(_ value: JSONValue, path: String, _ dialect: Dialect, keys: KeyTable? = nil) {
    self.value = value
    self.path = path
    self.dialect = dialect
    self.keys = keys
  }

  /// The error for a value that has another type than expected, such as `a string`.
  public func mismatch(_ expected: String) -> Dialect.Failure {
    dialect.failure(MemberFault(path, .type(found: value.kind, expected: expected)))
  }

  /// The error for a value of the right type that cannot be taken, with the reason.
  public func invalid(_ reason: String) -> Dialect.Failure {
    dialect.failure(MemberFault(path, .value(reason)))
  }

  /// A text, without a zero byte: the kernel would take what stands before it for the whole.
  public func string() throws(Dialect.Failure) -> String {
    guard let text = value.string else { throw mismatch("a string") }
    if text.utf8.contains(0) { throw dialect.failure(MemberFault(path, .zeroByte)) }
    return text
  }

  /// True or false.
  public func flag() throws(Dialect.Failure) -> Bool {
    guard let flag = value.bool else { throw mismatch("true or false") }
    return flag
  }

  /// A whole number of any size that fits.
  public func integer() throws(Dialect.Failure) -> Int {
    guard let number = value.int else { throw mismatch(wholeNumber("a whole number")) }
    return number
  }

  /// A whole number from 0 to `maximum`.
  public func number(maximum: UInt64) throws(Dialect.Failure) -> UInt64 {
    guard let number = value.uint64, number <= maximum else {
      throw mismatch(wholeNumber("a whole number from 0 to " + String(maximum)))
    }
    return number
  }

  /// The name of a number's type; with `without quotes` for a value that is a number in quotes, as
  /// other programs take and write them.
  public func wholeNumber(_ name: String) -> String {
    #if !hasFeature(Embedded)
      let isQuoted = value.string?.utf8.allSatisfy { 0x30...0x39 ~= $0 } ?? false
      if isQuoted { return name + " without quotes" }
    #endif
    return name
  }

  /// An object.
  public func object() throws(Dialect.Failure) -> JSONObject {
    guard let object = value.object else { throw mismatch("an object") }
    return object
  }

  /// A reader of the object's members.
  public func reader() throws(Dialect.Failure) -> ObjectReader<Dialect> {
    ObjectReader(try object(), path: path, dialect, keys: keys)
  }

  /// The elements of an array, each with its place.
  public func elements() throws(Dialect.Failure) -> [Member] {
    guard let array = value.array else { throw mismatch("an array") }
    var members: [Member] = []
    for (index, element) in array.enumerated() {
      members.append(
        Member(element, path: path + "[" + String(index) + "]", dialect, keys: keys))
    }
    return members
  }

  /// The texts of an array.
  public func strings() throws(Dialect.Failure) -> [String] {
    var texts: [String] = []
    for element in try elements() { texts.append(try element.string()) }
    return texts
  }

  /// Readers of the objects of an array; a null element is a fault.
  public func readers() throws(Dialect.Failure) -> [ObjectReader<Dialect>] {
    var readers: [ObjectReader<Dialect>] = []
    for element in try elements() { readers.append(try element.reader()) }
    return readers
  }
}
