/// Why a part of a document cannot be read, and where it stands.
public struct MemberFault: Error, Equatable, Sendable, CustomStringConvertible {
  /// What is wrong.
  public enum Reason: Equatable, Sendable {
    /// The document is not JSON.
    case syntax(JSONError)
    /// The member must be there.
    case missing
    /// Another kind of value is expected; both are words for an error text.
    case type(found: String, expected: String)
    /// The value has the right type and cannot be taken; the words say why.
    case value(String)
    /// A text has a zero byte, at which the kernel would end it.
    case zeroByte
  }

  /// Where it is wrong, such as `ips[0].address`; empty for the document itself.
  public let path: String
  /// What is wrong there.
  public let reason: Reason

  /// Creates a fault.
  public init(_ path: String, _ reason: Reason) {
    self.path = path
    self.reason = reason
  }

  /// `<path>: <what is wrong>`, such as `mtu: string found where a whole number belongs`.
  public var description: String {
    if path.isEmpty { return text }
    if case .missing = reason { return path + " " + text }
    return path + ": " + text
  }

  /// What is wrong, without the path.
  public var text: String {
    switch reason {
    case .syntax(let error): "no JSON: " + error.description
    case .missing: "is missing"
    case .type(let found, let expected): found + " found where " + expected + " belongs"
    case .value(let words): words
    case .zeroByte: "the text has a zero byte"
    }
  }
}

/// How the readers of one kind of document report a fault: their own error, with their own words.
public protocol MemberDialect: Sendable {
  /// The error that the readers throw.
  associatedtype Failure: Error

  /// Whether keys are found in any case, as Go's programs find them.
  ///
  /// For documents that others write: a network configuration, not a file of our own.
  var ignoresCase: Bool { get }

  /// The error for a fault.
  func failure(_ fault: MemberFault) -> Failure
}

extension MemberDialect {
  /// No: keys are compared byte by byte.
  public var ignoresCase: Bool { false }
}
