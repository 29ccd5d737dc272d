/// A repeatable source of damaged inputs for the fuzz tests.
///
/// The same seed gives the same inputs, so a failure is found again from the seed that
/// the test printed.
public struct Mutator: Sendable {
  private var state: UInt64
  private let corpus: [[UInt8]]
  private let tokens: [[UInt8]]

  /// Creates a source.
  ///
  /// - Parameters:
  ///   - seed: what to start from; print it before the first input is used.
  ///   - corpus: valid inputs that are damaged; one empty input stands in for none.
  ///   - tokens: pieces that matter to the parser (`"\r\n"`, `{"`), put in at random places.
  public init(seed: UInt64, corpus: [[UInt8]], tokens: [[UInt8]] = []) {
    state = seed
    self.corpus = corpus.isEmpty ? [[]] : corpus
    self.tokens = tokens.isEmpty ? [[0], [0xFF]] : tokens
  }

  /// Texts instead of bytes.
  public init(seed: UInt64, texts: [String], words: [String]) {
    self.init(
      seed: seed, corpus: texts.map { Array($0.utf8) }, tokens: words.map { Array($0.utf8) })
  }

  /// The next number, by SplitMix64.
  public mutating func number() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A number below `bound`; 0 for a bound of 0.
  public mutating func number(below bound: Int) -> Int {
    bound <= 0 ? 0 : Int(number() % UInt64(bound))
  }

  /// The next input: one of the corpus with one to eight places changed.
  public mutating func next() -> [UInt8] {
    var bytes = corpus[number(below: corpus.count)]
    for _ in 0...number(below: 8) { damage(&bytes) }
    return bytes
  }

  private mutating func damage(_ bytes: inout [UInt8]) {
    let at = number(below: bytes.count + 1)
    switch number(below: 7) {
    case 0 where at < bytes.count: bytes[at] ^= UInt8(1 << number(below: 8))
    case 1 where at < bytes.count: bytes[at] = UInt8(truncatingIfNeeded: number())
    case 2: bytes.insert(UInt8(truncatingIfNeeded: number()), at: at)
    case 3: bytes.insert(contentsOf: tokens[number(below: tokens.count)], at: at)
    case 4: bytes.removeSubrange(at..<min(bytes.count, at + 1 + number(below: 16)))
    case 5: bytes.removeSubrange(at..<bytes.count)
    default:
      let other = corpus[number(below: corpus.count)]
      let from = number(below: other.count)
      bytes.insert(contentsOf: other[from..<min(other.count, from + 24)], at: at)
    }
  }
}
