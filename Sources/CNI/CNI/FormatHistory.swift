package import JSON

/// The versions of a file that may be older or newer than the program that reads it.
///
/// A file is a JSON object with the member `version`. A newer one is usable if its member
/// `readableFrom`, the oldest version whose programs may use it, allows that.
package struct FormatHistory: Sendable {
  /// Changes an object from one version to the next.
  package typealias Migration = @Sendable (inout JSONObject) -> Void

  /// What a file is to this program.
  package enum Reading: Sendable {
    /// Brought to ``FormatHistory/current``, or newer and readable as it is.
    case usable(JSONObject, version: Int)
    /// Of this version, which only a newer program understands.
    case newer(Int)
    /// Without a version.
    case unversioned
  }

  private let migrations: [Migration]

  /// Creates a history.
  ///
  /// - Parameter migrations: from 0 to 1, from 1 to 2 and so on; as many as ``current`` says.
  package init(_ migrations: [Migration]) { self.migrations = migrations }

  /// The version that this program writes.
  package var current: Int { migrations.count }

  /// Brings a file's object to the current version; the file itself stays as it is.
  package func read(_ object: JSONObject) -> Reading {
    guard let version = object["version"]?.int, version >= 0 else { return .unversioned }
    guard version <= current else {
      guard let oldest = object["readableFrom"]?.int, oldest <= current else {
        return .newer(version)
      }
      return .usable(object, version: version)
    }
    var object = object
    for migrate in migrations.dropFirst(version) { migrate(&object) }
    return .usable(object, version: current)
  }
}

extension JSONObject {
  /// From 0 to 1, of records and spool entries alike: `bootID` and `nanoseconds`
  /// became one `stamp`.
  package mutating func joinStamp() {
    guard let bootID = self["bootID"]?.string, let nanoseconds = self["nanoseconds"]?.uint64 else {
      return
    }
    self["stamp"] = .string("\(bootID):\(nanoseconds)")
    self["bootID"] = nil
    self["nanoseconds"] = nil
  }
}
