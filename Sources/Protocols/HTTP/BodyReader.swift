/// Reads a body whose end is known from the header, or which lasts until the connection ends.
struct BodyReader {
  private enum Stage: Equatable {
    case bytes(Int)
    case untilEnd
    case chunkSize
    case chunk(Int)
    case chunkEnd
    case trailers
    case complete
  }

  private(set) var body: [UInt8] = []
  private var stage: Stage
  private var lines = LineReader()
  private let limits: HTTPLimits
  /// Bytes of chunk lines beyond what honest chunks need: tiny chunks with long extensions.
  private var waste = 0

  /// The longest chunk size line, extensions included.
  private static let chunkLineLimit = 4 * 1024
  /// The most bytes that chunk lines may waste in all.
  private static let wasteLimit = 16 * 1024

  init(_ length: BodyLength, limits: HTTPLimits) {
    self.limits = limits
    switch length {
    case .none: stage = .complete
    case .bytes(let count):
      stage = .bytes(count)
      // A stated length is a claim: memory grows with what really comes.
      body.reserveCapacity(min(count, 64 * 1024))
    case .chunked: stage = .chunkSize
    case .untilEnd: stage = .untilEnd
    }
  }

  /// Whether the whole body has been read.
  var isComplete: Bool { stage == .complete }

  /// Whether the end of the connection is the end of the body.
  var endsWithConnection: Bool { stage == .untilEnd }

  /// Takes from `input` what belongs to the body; `fields` reads trailers, within its limits.
  mutating func read(
    _ input: inout ArraySlice<UInt8>, trailers fields: inout FieldReader
  ) throws(HTTPError) {
    while stage != .complete, !input.isEmpty {
      switch stage {
      case .bytes(let left):
        let rest = take(left, from: &input)
        stage = rest == 0 ? .complete : .bytes(rest)
      case .untilEnd:
        if input.count > limits.body - body.count { throw HTTPError(.bodyTooLarge) }
        _ = take(input.count, from: &input)
      case .chunkSize:
        if let size = try chunkSize(&input) { stage = size == 0 ? .trailers : .chunk(size) }
      case .chunk(let left):
        let rest = take(left, from: &input)
        stage = rest == 0 ? .chunkEnd : .chunk(rest)
      case .chunkEnd:
        let end = try lines.take(from: &input, limit: 0, tooLong: .malformedChunk)
        guard let end else { return }
        guard end.endedInCRLF else { throw HTTPError(.malformedChunk) }
        stage = .chunkSize
      case .trailers:
        if try fields.read(&input, keep: false) { stage = .complete }
      case .complete: return
      }
    }
  }

  /// Moves at most `count` bytes to the body and returns how many are still to come.
  private mutating func take(_ count: Int, from input: inout ArraySlice<UInt8>) -> Int {
    let taken = min(count, input.count)
    body.append(contentsOf: input.prefix(taken))
    input = input.dropFirst(taken)
    return count - taken
  }

  /// Reads a line `size[;extensions]` (RFC 9112, 7.1) once it is there.
  private mutating func chunkSize(_ input: inout ArraySlice<UInt8>) throws(HTTPError) -> Int? {
    let line = try lines.take(from: &input, limit: Self.chunkLineLimit, tooLong: .malformedChunk)
    guard let line else { return nil }
    guard line.endedInCRLF, line.bytes.allSatisfy(ASCII.isFieldValue) else {
      throw HTTPError(.malformedChunk)
    }
    let digits = line.bytes.prefix { ASCII.hexDigit($0) != nil }
    let extensions = line.bytes.dropFirst(digits.count).drop(while: ASCII.isBlank)
    guard !digits.isEmpty, extensions.first ?? ASCII.semicolon == ASCII.semicolon else {
      throw HTTPError(.malformedChunk)
    }
    var size = 0
    for byte in digits {
      size = size * 16 + (ASCII.hexDigit(byte) ?? 0)
      if size > limits.body { throw HTTPError(.bodyTooLarge) }
    }
    if size > limits.body - body.count { throw HTTPError(.bodyTooLarge) }
    waste = max(0, waste + line.bytes.count - 16 - 2 * min(size, Self.wasteLimit))
    if waste > Self.wasteLimit { throw HTTPError(.malformedChunk) }
    return size
  }
}
