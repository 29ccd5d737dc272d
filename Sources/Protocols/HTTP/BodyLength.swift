/// How the header says that the body ends (RFC 9112, 6.3).
enum BodyLength: Equatable {
  case none
  case bytes(Int)
  case chunked
  case untilEnd

  /// Reads the framing fields.
  ///
  /// Two ways at once are refused: two readers could see two different messages. `unstated` is what
  /// it means when neither field is there, `limit` the largest body that is read.
  init(
    headers: HTTPHeaders, minorVersion: Int, unstated: BodyLength, limit: Int
  ) throws(HTTPError) {
    let encodings = headers.all("Transfer-Encoding")
    let lengths = headers.all("Content-Length")
    if !encodings.isEmpty {
      guard lengths.isEmpty, minorVersion >= 1 else { throw HTTPError(.conflictingLength) }
      let list = encodings.flatMap(Self.listItems)
      guard list.count == 1, let only = list.first,
        ASCII.equalIgnoringCase(only, "chunked".utf8)
      else { throw HTTPError(.unsupportedTransferEncoding) }
      self = .chunked
      return
    }
    var length: Int?
    for item in lengths.flatMap(Self.listItems) {
      let number = try Self.number(item)
      if let length, length != number { throw HTTPError(.badContentLength) }
      length = number
    }
    guard let length else {
      if !lengths.isEmpty { throw HTTPError(.badContentLength) }
      self = unstated
      return
    }
    if length > limit { throw HTTPError(.bodyTooLarge) }
    self = length == 0 ? .none : .bytes(length)
  }

  /// The items of a comma-separated value, without blanks around them.
  private static func listItems(_ value: String) -> [ArraySlice<UInt8>] {
    Array(value.utf8).split(separator: ASCII.comma, omittingEmptySubsequences: false)
      .map(ASCII.trimmed)
  }

  /// A decimal number; one that does not fit counts as the largest.
  private static func number(_ digits: ArraySlice<UInt8>) throws(HTTPError) -> Int {
    if digits.isEmpty { throw HTTPError(.badContentLength) }
    var number = 0
    for byte in digits {
      guard let digit = ASCII.digit(byte) else { throw HTTPError(.badContentLength) }
      number = number > (Int.max - 9) / 10 ? Int.max : number * 10 + digit
    }
    return number
  }
}
