package import CNI
import JSON

extension AttachmentRecord {
  /// The layouts of a record's file.
  package static let history = FormatHistory([
    { $0.joinStamp() },
    // Version 2 has members more, all of which may be missing.
    { $0["readableFrom"] = .number(JSONNumber(oldestReader)) },
  ])

  /// What this program writes as `readableFrom`: programs of version 1 refuse everything newer.
  static let oldestReader = 2
}

/// A record's file could not be understood.
public struct RecordError: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is wrong.
  public enum Reason: Equatable, Sendable {
    /// It is not JSON, or a member is missing or of another type.
    case damaged(String)
    /// It was written by a newer program.
    case newer(Int)
  }

  /// What is wrong.
  public let reason: Reason

  init(_ reason: Reason) { self.reason = reason }

  /// One line for people.
  public var description: String {
    switch reason {
    case .damaged(let what): "damaged record: \(what)"
    case .newer(let version):
      "record of version \(version), this program knows \(AttachmentRecord.history.current)"
    }
  }
}
