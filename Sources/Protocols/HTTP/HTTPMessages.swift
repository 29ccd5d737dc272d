/// A request: what a client sends and a server's handler gets.
public struct HTTPRequest: Sendable, Equatable {
  /// The method as sent: upper case by custom, compared as it is.
  public var method: String
  /// Path and query as sent, not decoded.
  public var target: String
  /// The header fields.
  public var headers: HTTPHeaders
  /// The body, chunks joined.
  public var body: [UInt8]

  /// Creates a request.
  public init(
    method: String, target: String, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = []
  ) {
    self.method = method
    self.target = target
    self.headers = headers
    self.body = body
  }

  /// The path of the target, without query, scheme and authority; not decoded.
  public var path: String {
    var bytes = Array(target.utf8)[...]
    if let scheme = Self.schemeLength(bytes) {
      bytes = bytes.dropFirst(scheme)
      guard let slash = bytes.firstIndex(of: 0x2F) else { return "/" }
      bytes = bytes[slash...]
    }
    if let question = bytes.firstIndex(of: 0x3F) { bytes = bytes[..<question] }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The bytes to send.
  ///
  /// `Content-Length` is made from the body; a length or transfer encoding among the headers is
  /// left out. Bytes that would break the framing (line ends in a value, blanks in the target) are
  /// replaced, so no caller's text can add a field or a request.
  public func encoded() -> [UInt8] {
    var writer = MessageWriter(capacity: body.count + 256)
    writer.append(method.utf8.filter(ASCII.isToken))
    writer.append([ASCII.space])
    writer.appendTarget(target)
    writer.append(" HTTP/1.1\r\n".utf8)
    writer.appendFields(headers)
    if !body.isEmpty || isMethod("POST") || isMethod("PUT") {
      writer.appendLength(body.count)
    }
    writer.append("\r\n".utf8)
    writer.append(body)
    return writer.bytes
  }

  /// Whether the method is this one; compared by bytes, because `==` would cost the shim
  /// Unicode's tables.
  func isMethod(_ name: String) -> Bool { method.utf8.elementsEqual(name.utf8) }

  /// The length of `http://` or `https://` at the start of an absolute target.
  private static func schemeLength(_ bytes: ArraySlice<UInt8>) -> Int? {
    for scheme in ["http://", "https://"]
    where ASCII.equalIgnoringCase(bytes.prefix(scheme.utf8.count), scheme.utf8) {
      return scheme.utf8.count
    }
    return nil
  }
}

/// An answer: what a server's handler gives and a client gets.
public struct HTTPResponse: Sendable, Equatable {
  /// The three-digit status.
  public var status: Int
  /// The header fields.
  public var headers: HTTPHeaders
  /// The body, chunks joined.
  public var body: [UInt8]

  /// Creates an answer.
  public init(status: Int, headers: HTTPHeaders = HTTPHeaders(), body: [UInt8] = []) {
    self.status = status
    self.headers = headers
    self.body = body
  }

  /// The bytes to send.
  ///
  /// `Content-Length` is made from the body; a length or transfer encoding among the headers is
  /// left out. Line ends in a value are replaced. Without the body (`includingBody` is `false`: the
  /// answer to `HEAD`) the length stays.
  public func encoded(includingBody: Bool = true) -> [UInt8] {
    var writer = MessageWriter(capacity: body.count + 256)
    writer.append("HTTP/1.1 ".utf8)
    writer.append(String(min(max(status, 100), 999)).utf8)
    writer.append([ASCII.space])
    writer.append(Self.reasonPhrase(status).utf8)
    writer.append("\r\n".utf8)
    writer.appendFields(headers)
    let mayHaveBody = status >= 200 && status != 204 && status != 304
    if mayHaveBody { writer.appendLength(body.count) }
    writer.append("\r\n".utf8)
    if mayHaveBody && includingBody { writer.append(body) }
    return writer.bytes
  }

  /// The words for a status (RFC 9110, 15); empty for one that this project does not use.
  public static func reasonPhrase(_ status: Int) -> String {
    switch status {
    case 100: "Continue"
    case 200: "OK"
    case 204: "No Content"
    case 400: "Bad Request"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 405: "Method Not Allowed"
    case 408: "Request Timeout"
    case 413: "Content Too Large"
    case 414: "URI Too Long"
    case 431: "Request Header Fields Too Large"
    case 500: "Internal Server Error"
    case 501: "Not Implemented"
    case 503: "Service Unavailable"
    case 505: "HTTP Version Not Supported"
    default: ""
    }
  }
}

/// Collects the bytes of a message before it is sent.
private struct MessageWriter {
  private(set) var bytes: [UInt8] = []

  init(capacity: Int) { bytes.reserveCapacity(capacity) }

  mutating func append(_ more: some Sequence<UInt8>) { bytes.append(contentsOf: more) }

  /// Appends the target with everything that is not visible ASCII percent-encoded.
  mutating func appendTarget(_ target: String) {
    let digits = Array("0123456789ABCDEF".utf8)
    for byte in target.utf8 {
      if byte > 0x20 && byte < 0x7F {
        bytes.append(byte)
      } else {
        bytes.append(0x25)
        bytes.append(digits[Int(byte >> 4)])
        bytes.append(digits[Int(byte & 0x0F)])
      }
    }
    if target.utf8.isEmpty { bytes.append(0x2F) }
  }

  /// Appends the field lines but those that say where the body ends.
  mutating func appendFields(_ headers: HTTPHeaders) {
    for field in headers.fields {
      let name = field.name.utf8.filter(ASCII.isToken)
      if name.isEmpty || Self.isFraming(name) { continue }
      append(name)
      append(": ".utf8)
      append(field.value.utf8.map { ASCII.isFieldValue($0) ? $0 : ASCII.space })
      append("\r\n".utf8)
    }
  }

  mutating func appendLength(_ length: Int) {
    append("Content-Length: ".utf8)
    append(String(length).utf8)
    append("\r\n".utf8)
  }

  private static func isFraming(_ name: [UInt8]) -> Bool {
    ASCII.equalIgnoringCase(name, "content-length".utf8)
      || ASCII.equalIgnoringCase(name, "transfer-encoding".utf8)
  }
}
