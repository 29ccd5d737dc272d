import Addresses

/// What a lease directory holds: its addresses and, as hashes, their owners.
///
/// A hash only says which files to read, so a collision costs a read and nothing else.
struct LeaseIndex: Sendable {
  /// Every address that has a file.
  private(set) var taken: Set<IPAddress> = []
  /// Addresses whose file is empty: a plugin died between making and writing it.
  private(set) var empty: Set<IPAddress> = []
  /// The empty ones of another boot: a power cut took their content, and the pods that
  /// had them are gone.
  private(set) var lost: Set<IPAddress> = []
  private var owners: [Int: [IPAddress]] = [:]

  /// How many addresses it knows.
  var count: Int { taken.count }

  /// Adds an address file.
  ///
  /// - Parameters:
  ///   - address: the file's name.
  ///   - content: its trimmed content; nil if it could not be read, so that it is nobody's.
  ///   - isLost: whether it is an empty one of another boot.
  mutating func insert(_ address: IPAddress, _ content: [UInt8]?, isLost: Bool = false) {
    taken.insert(address)
    guard let content else { return }
    if content.isEmpty {
      empty.insert(address)
      if isLost { lost.insert(address) }
    } else {
      owners[content.hashValue, default: []].append(address)
    }
  }

  /// Takes an address file out whose trimmed content was this.
  mutating func remove(_ address: IPAddress, _ content: [UInt8]) {
    taken.remove(address)
    empty.remove(address)
    lost.remove(address)
    let key = content.hashValue
    owners[key]?.removeAll { $0 == address }
    if owners[key]?.isEmpty == true { owners[key] = nil }
  }

  /// The addresses whose files may have this content, lowest first.
  func candidates(_ content: [UInt8]) -> [IPAddress] {
    (owners[content.hashValue] ?? []).sorted()
  }
}
