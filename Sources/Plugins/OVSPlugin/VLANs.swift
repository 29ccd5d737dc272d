import CNI
import JSON

/// Which VLANs a port carries: `vlan` and `trunk` of a configuration, or the columns of a port.
struct VLANs: Equatable, Sendable {
  /// `Port.vlan_mode`; empty if it was never set.
  let mode: String
  /// `Port.tag`.
  let tag: Int?
  /// `Port.trunks`, sorted.
  let trunks: [Int]

  /// One VLAN, untagged towards the pod.
  static func access(_ tag: Int) -> VLANs { VLANs(mode: "access", tag: tag, trunks: []) }

  /// Some, tagged; an empty list means all of them.
  static func trunk(_ trunks: [Int]) -> VLANs { VLANs(mode: "trunk", tag: nil, trunks: trunks) }

  /// The keys of an entry of `trunk`.
  static let keys = KeyTable(["id", "minID", "maxID"])

  /// The highest number of a VLAN.
  private static let highest = 4095
}

extension VLANs {
  /// Reads a configuration; without `vlan` and `trunk` the port carries every VLAN.
  ///
  /// An empty `trunk` is none.
  ///
  /// - Throws: code 7, with ovs-cni's texts for trunks.
  init(_ reader: MemberReader) throws(CNIError) {
    let tag = try reader.number("vlan", maximum: UInt64(Int32.max))
    guard let trunk = reader.member("trunk"), trunk.value.array?.isEmpty != true else {
      guard let tag else {
        self = .trunk([])
        return
      }
      guard tag <= VLANs.highest else {
        throw CNIError(
          .invalidConfiguration, "invalid vlan \(tag), must be between 0 and \(VLANs.highest)")
      }
      self = .access(Int(tag))
      return
    }
    // ovs-cni takes both, and its CHECK fails ever after.
    guard tag == nil else {
      throw CNIError(
        .invalidConfiguration,
        "vlan and trunk exclude each other: a port is either access or trunk")
    }
    for entry in try trunk.elements() where entry.value.int != nil {
      throw CNIError(
        .decodingFailure, "\(entry.mismatch("an object").message): write {\"id\": 10}")
    }
    self = .trunk(try VLANs.list(try trunk.readers()))
  }

  private static func list(_ entries: [MemberReader]) throws(CNIError) -> [Int] {
    var numbers: Set<Int> = []
    for entry in entries {
      let minimum = try number("minID", entry)
      let maximum = try number("maxID", entry)
      if let id = try number("id", entry) { numbers.insert(id) }
      if let minimum, let maximum {
        guard minimum <= maximum else {
          throw CNIError(.invalidConfiguration, "minID is greater than maxID in trunk parameter")
        }
        // As ovs-cni has it, a range counts only if both ends are above 0.
        if minimum > 0 { numbers.formUnion(minimum...maximum) }
      }
    }
    guard !numbers.isEmpty else {
      throw CNIError(.invalidConfiguration, "trunk parameter is misconfigured")
    }
    return numbers.sorted()
  }

  private static func number(_ key: String, _ entry: MemberReader) throws(CNIError) -> Int? {
    guard let member = entry.member(key) else { return nil }
    guard let number = member.value.int, (0...highest).contains(number) else {
      throw CNIError(
        .invalidConfiguration, "incorrect trunk \(key) parameter",
        details: "must be a number from 0 to \(highest)")
    }
    return number
  }
}
