import CNI

/// Who holds a lease: the content of an address file.
struct LeaseOwner: Hashable, Sendable {
  /// The file's content: container id, CR LF, interface name.
  let content: [UInt8]
  /// What files of old plugins hold: the container id alone.
  let idOnly: [UInt8]

  init(containerID: String, ifName: String) {
    idOnly = Array(containerID.utf8)
    content = idOnly + [0x0D, 0x0A] + Array(ifName.utf8)
  }

  /// A file's bytes without white space at both ends, which is how contents are compared.
  static func trimmed(_ bytes: [UInt8]) -> [UInt8] {
    let rest = bytes.drop(while: isBlank)
    guard let end = rest.lastIndex(where: { !isBlank($0) }) else { return [] }
    return Array(rest[...end])
  }

  /// What a file's content says, for people: `container podA eth0`.
  static func words(_ content: [UInt8]) -> String {
    let words = content.split { isBlank($0) }.map { String(decoding: $0, as: UTF8.self) }
    if words.isEmpty { return "an empty lease" }
    let text = harmless(words.joined(separator: " "))
    // The container alone, or a word of somebody who keeps the address.
    return words.count == 1 ? goQuoted(text) : "container " + text
  }

  private static func isBlank(_ byte: UInt8) -> Bool {
    byte == 0x20 || (0x09...0x0D).contains(byte)
  }
}
