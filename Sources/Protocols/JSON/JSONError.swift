/// Why bytes are not one JSON value, and where.
///
/// It never holds more of the input than the one character that is wrong, so it can be shown and
/// logged.
public struct JSONError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong.
  public enum Reason: Sendable, Equatable {
    /// The input ends inside a value, or is empty.
    case unexpectedEnd
    /// This byte cannot stand here.
    case unexpectedByte(UInt8)
    /// This byte follows the complete value.
    case trailingByte(UInt8)
    /// A control character stands unescaped in a string.
    case controlCharacter(UInt8)
    /// A backslash is followed by this byte, which begins no escape.
    case invalidEscape(UInt8)
    /// An escape stands for half of a surrogate pair.
    case loneSurrogate
    /// A string is not UTF-8 here.
    case invalidUTF8
    /// Arrays and objects are nested deeper than ``JSONLimits/depth``.
    case tooDeep
    /// There are more values than ``JSONLimits/values``.
    case tooManyValues
  }

  /// The offset in bytes of the place.
  public let offset: Int
  /// What is wrong there.
  public let reason: Reason
  /// One line such as `line 1, column 22: "}" after a comma`.
  public private(set) var description: String

  package init(offset: Int, reason: Reason) {
    self.offset = offset
    self.reason = reason
    description = ""
  }

  /// The same error in the words that the text around the place gives it.
  func explained(in bytes: [UInt8]) -> JSONError {
    var error = self
    error.description = JSONContext(bytes, before: offset).explanation(of: self)
    return error
  }

  /// Compares place and reason, which decide the words.
  public static func == (a: JSONError, b: JSONError) -> Bool {
    a.offset == b.offset && a.reason == b.reason
  }
}

/// How much a parser takes before it refuses.
///
/// The size of the input itself is its reader's matter: see the limits of HTTP and
/// of standard input.
public struct JSONLimits: Sendable, Equatable {
  /// How deeply arrays and objects may be nested; more than 64 is taken as 64.
  ///
  /// A level takes about 2 KiB of stack in a debug build, so 64 leave most of a
  /// worker's 512 KiB free.
  public let depth: Int
  /// How many values there may be in all, elements and members counted, so that 16 MiB of
  /// `[[],[],…` do not become some hundred megabytes of values.
  public let values: Int

  /// Creates limits.
  public init(depth: Int = 64, values: Int = 250_000) {
    self.depth = min(depth, 64)
    self.values = values
  }

  /// 64 levels, 250 000 values.
  public static let `default` = JSONLimits()
}
