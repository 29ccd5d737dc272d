package import Linux
package import PluginKit

/// A short name of an attachment: of its record's file, and in the environment of the programs
/// that run for it.
///
/// By that variable a daemon finds the programs that its predecessor has left running.
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
/// and to no others.
package enum DaemonMark {
  /// The variable's name.
  package static let variable = "CNID_DAEMON"

  /// 32 hexadecimal digits.
  package static func value(stateDirectory: String) -> String {
    var hash = FNV1a()
    hash.combine(stateDirectory)
    return hash.text
  }

  /// Ends what the last daemon's programs were about to do, before anything is looked at or undone.
  ///
  /// - Returns: how many processes were killed.
  package static func endPrograms(
    stateDirectory: String, deadline: Deadline
  ) throws(SystemError) -> Int {
    try Processes.kill(
      withEnvironment: "\(variable)=\(value(stateDirectory: stateDirectory))", deadline: deadline)
  }
}
