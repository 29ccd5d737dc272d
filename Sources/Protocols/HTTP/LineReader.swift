/// Collects one line from pieces of any size and never more than it may.
struct LineReader {
  /// One line without its line end.
  struct Line {
    let bytes: ArraySlice<UInt8>
    /// Whether it ended in CR LF; a bare LF ends a line too (RFC 9112, 2.2).
    let endedInCRLF: Bool
  }

  private var partial: [UInt8] = []

  /// Takes bytes from `input` up to and with the next line feed.
  ///
  /// The outcome does not depend on where the pieces were cut.
  ///
  /// - Parameters:
  ///   - input: loses what was taken.
  ///   - limit: the longest line without its end.
  ///   - reason: what a longer line is refused with.
  /// - Returns: the line, or `nil` when its end has not come yet.
  /// - Throws: `reason`.
  mutating func take(
    from input: inout ArraySlice<UInt8>, limit: Int, tooLong reason: HTTPError.Reason
  ) throws(HTTPError) -> Line? {
    guard let end = input.firstIndex(of: ASCII.lineFeed) else {
      // One byte more may be the CR of the line's end.
      if partial.count + input.count > limit + 1 { throw HTTPError(reason) }
      partial.append(contentsOf: input)
      input = input[input.endIndex...]
      return nil
    }
    if partial.count + (end - input.startIndex) > limit + 1 { throw HTTPError(reason) }
    var bytes: ArraySlice<UInt8>
    if partial.isEmpty {
      bytes = input[..<end]
    } else {
      partial.append(contentsOf: input[..<end])
      bytes = partial[...]
      partial = []
    }
    input = input[end...].dropFirst()
    let hasCR = bytes.last == ASCII.carriageReturn
    if hasCR { bytes = bytes.dropLast() }
    if bytes.count > limit { throw HTTPError(reason) }
    return Line(bytes: bytes, endedInCRLF: hasCR)
  }
}
