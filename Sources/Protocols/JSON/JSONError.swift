/// Why bytes are not one JSON value, and where.
///
/// It never holds more of the input than the one byte that is wrong, so it can be shown and logged.
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
  public var offset: Int
  /// What is wrong there.
  public var reason: Reason

  /// Creates an error.
  public init(offset: Int, reason: Reason) {
    self.offset = offset
    self.reason = reason
  }

  /// One line such as `invalid JSON at byte 17: unexpected byte 0x7d`.
  public var description: String { "invalid JSON at byte \(offset): \(text)" }

  private var text: String {
    switch reason {
    case .unexpectedEnd: "unexpected end"
    case .unexpectedByte(let byte): "unexpected byte \(hexadecimal(byte))"
    case .trailingByte(let byte): "unexpected byte \(hexadecimal(byte)) after the value"
    case .controlCharacter(let byte): "unescaped control character \(hexadecimal(byte))"
    case .invalidEscape(let byte): "unknown escape \(hexadecimal(byte))"
    case .loneSurrogate: "half of a surrogate pair"
    case .invalidUTF8: "not UTF-8"
    case .tooDeep: "nested too deeply"
    case .tooManyValues: "too many values"
    }
  }

  private func hexadecimal(_ byte: UInt8) -> String {
    "0x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
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
