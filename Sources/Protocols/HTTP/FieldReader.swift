/// Reads field lines (RFC 9112, 5) within the limits of one message.
struct FieldReader {
  private(set) var headers = HTTPHeaders()
  private let limits: HTTPLimits
  private var lines = LineReader()
  private var bytesLeft: Int
  private var countLeft: Int

  init(limits: HTTPLimits) {
    self.limits = limits
    bytesLeft = limits.headerBytes
    countLeft = limits.headerCount
  }

  /// Forgets the fields but not what they have used of the limits.
  mutating func forgetFields() { headers = HTTPHeaders() }

  /// Reads lines up to the empty one.
  ///
  /// - Parameters:
  ///   - input: loses what was taken.
  ///   - keep: whether the fields are wanted; trailers are checked and dropped.
  /// - Returns: whether the empty line has come.
  /// - Throws: the broken rule.
  mutating func read(_ input: inout ArraySlice<UInt8>, keep: Bool) throws(HTTPError) -> Bool {
    while let line = try lines.take(from: &input, limit: bytesLeft, tooLong: .headersTooLarge) {
      if line.bytes.isEmpty { return true }
      bytesLeft -= min(bytesLeft, line.bytes.count + 2)
      if countLeft <= 0 { throw HTTPError(.tooManyHeaders) }
      countLeft -= 1
      let field = try Self.field(line.bytes)
      if keep { headers.append(field.name, field.value) }
    }
    return false
  }

  /// Reads `name: value`; a line that continues the one before it has no name and is refused.
  private static func field(
    _ line: ArraySlice<UInt8>
  ) throws(HTTPError) -> (name: String, value: String) {
    guard let colon = line.firstIndex(of: ASCII.colon) else { throw HTTPError(.malformedHeader) }
    let name = line[..<colon]
    let value = ASCII.trimmed(line[colon...].dropFirst())
    guard !name.isEmpty, name.allSatisfy(ASCII.isToken), value.allSatisfy(ASCII.isFieldValue)
    else { throw HTTPError(.malformedHeader) }
    return (String(decoding: name, as: UTF8.self), String(decoding: value, as: UTF8.self))
  }
}
