/// The keys that an object of a document may have, those of objects inside of it included.
///
/// A reader with a table finds only keys that stand there. So no key can be read and be taken for
/// unknown at the same time.
public struct KeyTable: Sendable {
  /// The keys of the object itself, in the order in which they were listed.
  public let names: [String]
  private let inside: [(key: String, table: KeyTable)]

  /// Lists keys.
  ///
  /// - Parameters:
  ///   - names: keys whose values have no table.
  ///   - inside: keys of objects, or of lists of objects, and what those have.
  public init(_ names: [String], inside: [(key: String, table: KeyTable)] = []) {
    self.names = names + inside.map { $0.key }
    self.inside = inside
  }

  /// Both tables' keys; of a key inside that both have, the other's.
  public func joined(_ other: KeyTable) -> KeyTable {
    let own = inside.filter { entry in other.inner(entry.key) == nil }
    let names = (names + other.names).filter { name in
      inner(name) == nil && other.inner(name) == nil
    }
    return KeyTable(names, inside: own + other.inside)
  }

  /// Whether the table has a key, in any case of its ASCII letters.
  public func has(_ key: String) -> Bool { names.contains { isSameKey($0, key) } }

  /// The table of the value of a key; nil if anything may stand there.
  public func inner(_ key: String) -> KeyTable? {
    inside.first { isSameKey($0.key, key) }?.table
  }
}

/// Whether two keys differ at most in the case of ASCII letters: what Go's programs take for the
/// same.
package func isSameKey(_ a: String, _ b: String) -> Bool {
  a.utf8.count == b.utf8.count && a.utf8.elementsEqual(b.utf8) { lowered($0) == lowered($1) }
}

/// A byte with an ASCII letter in lower case.
func lowered(_ byte: UInt8) -> UInt8 { 0x41...0x5A ~= byte ? byte | 0x20 : byte }
