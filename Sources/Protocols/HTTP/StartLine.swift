/// The first line of a request: `METHOD target HTTP/1.x` (RFC 9112, 3).
struct RequestLine {
  let method: String
  let target: String
  let minorVersion: Int

  /// Reads the line without its line end.
  init(_ line: ArraySlice<UInt8>) throws(HTTPError) {
    let parts = line.split(separator: ASCII.space, omittingEmptySubsequences: false)
    guard parts.count == 3, let method = parts.first, let version = parts.last,
      !method.isEmpty, method.allSatisfy(ASCII.isToken)
    else { throw HTTPError(.malformedStartLine) }
    let target = parts[1]
    guard !target.isEmpty, target.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
      throw HTTPError(.malformedStartLine)
    }
    minorVersion = try minorHTTPVersion(version)
    self.method = String(decoding: method, as: UTF8.self)
    self.target = String(decoding: target, as: UTF8.self)
  }
}

/// The first line of an answer: `HTTP/1.x NNN reason` (RFC 9112, 4); the reason may be missing.
struct StatusLine {
  let status: Int
  let minorVersion: Int

  /// Reads the line without its line end.
  init(_ line: ArraySlice<UInt8>) throws(HTTPError) {
    guard let blank = line.firstIndex(of: ASCII.space) else {
      throw HTTPError(.malformedStartLine)
    }
    minorVersion = try minorHTTPVersion(line[..<blank])
    let rest = line[blank...].dropFirst()
    var status = 0
    for byte in rest.prefix(3) {
      guard let digit = ASCII.digit(byte) else { throw HTTPError(.malformedStartLine) }
      status = status * 10 + digit
    }
    let reason = rest.dropFirst(3)
    guard status >= 100, reason.first ?? ASCII.space == ASCII.space,
      reason.allSatisfy(ASCII.isFieldValue)
    else { throw HTTPError(.malformedStartLine) }
    self.status = status
  }
}

/// The `x` of `HTTP/1.x`.
private func minorHTTPVersion(_ version: ArraySlice<UInt8>) throws(HTTPError) -> Int {
  let digits = version.dropFirst(5)
  guard version.starts(with: "HTTP/".utf8), digits.count == 3,
    let first = digits.first, let last = digits.last,
    let major = ASCII.digit(first), let minor = ASCII.digit(last),
    digits.dropFirst().first == 0x2E
  else { throw HTTPError(.malformedStartLine) }
  guard major == 1 else { throw HTTPError(.unsupportedVersion) }
  return minor
}
