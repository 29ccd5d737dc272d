import CNI
package import Linux
package import PluginKit

/// A short name of an attachment: of its record's file, and in the environment of the programs
/// that run for it.
package enum AttachmentMark {
  /// The variable's name.
  package static let variable = "CNID_ATTACHMENT"

  /// 32 hexadecimal digits.
  package static func value(of key: AttachmentKey) -> String {
    var hash = FNV1a()
    for part in [key.network, key.containerID, key.ifName, key.plugin] { hash.combine(part) }
    if !key.place.isEmpty { hash.combine(key.place) }
    return hash.text
  }
}

/// The variable by which every program that a daemon started is found when the daemon was killed.
///
/// A state directory has one daemon at a time, so its path is what is common to all of its daemons
/// and to no others. What follows it tells this daemon's programs from those of its predecessors.
package struct DaemonMark: Sendable {
  /// The variable's name.
  package static let variable = "CNID_DAEMON"

  /// What the programs of this daemon have in it: 32 hexadecimal digits, a dot and 32 more.
  package let value: String
  private let common: String

  /// The mark of a daemon that begins now.
  package init(stateDirectory: String) throws(SystemError) {
    var hash = FNV1a()
    hash.combine(stateDirectory)
    common = hash.text
    value = "\(common).\(try RequestID.random())"
  }

  /// Ends what the last daemons' programs were about to do.
  ///
  /// - Parameter deadline: when to give up.
  /// - Returns: how many processes were killed.
  /// - Throws: `timedOut`, or what kept them from being found.
  package func endOldPrograms(deadline: Deadline) throws(SystemError) -> Int {
    let (old, own) = (Array("\(Self.variable)=\(common)".utf8), Array(value.utf8))
    return try Processes.kill(by: deadline) { line in
      guard line.starts(with: old) else { return false }
      let rest = line.dropFirst(old.count)
      // Those of cnid 0.1.0 had nothing behind it.
      return (rest.isEmpty || rest.first == UInt8(ascii: "."))
        && !line.dropFirst(Self.variable.utf8.count + 1).elementsEqual(own)
    }
  }
}
