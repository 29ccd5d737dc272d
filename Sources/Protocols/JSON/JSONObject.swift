/// A JSON object: its members in order, duplicates included.
///
/// Keys are compared byte by byte. Looking a key up reads all members, so a caller that wants every
/// member walks ``members`` once.
public struct JSONObject: Sendable, Equatable {
  /// One member of an object.
  public struct Member: Sendable, Equatable {
    /// The key, unescaped.
    public var key: String
    /// The value.
    public var value: JSONValue
    /// The value's bytes in the parsed input, without white space around it; `0..<0`
    /// when it was built.
    public var range: Range<Int>

    /// Creates a member.
    public init(key: String, value: JSONValue, range: Range<Int> = 0..<0) {
      self.key = key
      self.value = value
      self.range = range
    }

    /// Compares key and value, not positions.
    public static func == (a: Member, b: Member) -> Bool {
      sameBytes(a.key, b.key) && a.value == b.value
    }
  }

  /// The members in order; a key that was written twice is here twice and is printed twice.
  public var members: [Member]

  /// Creates an empty object.
  public init() { members = [] }

  /// Creates an object with these members in this order.
  public init(_ members: [(String, JSONValue)]) {
    self.members = members.map { Member(key: $0.0, value: $0.1) }
  }

  init(members: [Member]) { self.members = members }

  /// Whether there is no member.
  public var isEmpty: Bool { members.isEmpty }

  /// The keys in order, duplicates included.
  public var keys: [String] { members.map { $0.key } }

  /// The value of a key.
  ///
  /// Reading gives the last of several members with that key. Setting replaces the first one's
  /// value and removes the others, or appends; setting nil removes them all.
  public subscript(key: String) -> JSONValue? {
    get { lastIndex(of: key).map { members[$0].value } }
    set {
      guard let newValue else {
        members.removeAll { sameBytes($0.key, key) }
        return
      }
      guard let first = members.firstIndex(where: { sameBytes($0.key, key) }) else {
        members.append(Member(key: key, value: newValue))
        return
      }
      members[first] = Member(key: key, value: newValue)
      var index = 0
      members.removeAll {
        defer { index += 1 }
        return index > first && sameBytes($0.key, key)
      }
    }
  }

  /// Where the value of a key stands in the parsed input; nil when the key is absent or its
  /// value was built.
  ///
  /// Like reading by subscript it means the last of several members.
  public func range(of key: String) -> Range<Int>? {
    guard let index = lastIndex(of: key), !members[index].range.isEmpty else { return nil }
    return members[index].range
  }

  /// The value of a key as Go's programs find it: exactly, or else in another case.
  ///
  /// Only the case of ASCII letters does not count. Of several members of the same kind it is the
  /// last.
  public func value(inAnyCase key: String) -> JSONValue? {
    self[key] ?? members.last { isSameKey($0.key, key) }?.value
  }

  /// Sets the value of a key in place of every member of that name in any case; nil removes them.
  public mutating func set(inAnyCase key: String, to value: JSONValue?) {
    members.removeAll { isSameKey($0.key, key) && !sameBytes($0.key, key) }
    self[key] = value
  }

  private func lastIndex(of key: String) -> Int? {
    members.lastIndex { sameBytes($0.key, key) }
  }
}
