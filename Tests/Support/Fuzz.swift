import Glibc
import Linux

/// Damaged inputs for a parser: so many rounds from a seed, for the inside of an exit test.
///
/// The seed is told at the beginning and at the end: one that has not ended is the one to repeat.
/// It is run on a thread with the stack of the daemon's workers. `CNI_TEST_SEED` repeats a run.
public struct Fuzz: Sendable {
  private let rounds: Int
  private let least: Int
  private let seed: UInt64
  private let mutator: Mutator

  /// Prepares a run.
  ///
  /// - Parameters:
  ///   - rounds: how many, before ``Program/rounds(_:)``.
  ///   - texts: valid inputs that are damaged.
  ///   - words: pieces that matter to the parser.
  ///   - least: how many inputs must still be accepted, or nothing was tested.
  public init(_ rounds: Int, texts: [String], words: [String], accepting least: Int = 0) {
    self.init(
      rounds, corpus: texts.map { Array($0.utf8) }, tokens: words.map { Array($0.utf8) },
      accepting: least)
  }

  /// The same with bytes.
  public init(_ rounds: Int, corpus: [[UInt8]], tokens: [[UInt8]] = [], accepting least: Int = 0) {
    self.rounds = Program.rounds(rounds)
    self.least = Program.rounds(least)
    let given = Program.environment["CNI_TEST_SEED"].flatMap { UInt64($0) }
    seed = given ?? UInt64.random(in: .min ... .max)
    mutator = Mutator(seed: seed, corpus: corpus, tokens: tokens)
  }

  /// Runs.
  ///
  /// - Parameters:
  ///   - state: what the rounds share.
  ///   - body: takes the next input, and tells whether it was accepted.
  /// - Throws: what `body` threw.
  public func run<State: Sendable, Failure: Error>(
    _ state: State,
    _ body: @escaping @Sendable (inout Mutator, inout State) throws(Failure) -> Bool
  ) async throws(Failure) {
    tell("began")
    let accepted = try await onThread(stackSize: 512 << 10) { () throws(Failure) -> Int in
      var (mutator, state, accepted) = (mutator, state, 0)
      do throws(Failure) {
        for _ in 0..<rounds where try body(&mutator, &state) { accepted += 1 }
      } catch {
        tell("\(error)")
        throw error
      }
      return accepted
    }
    if accepted < least { tell("only \(accepted) inputs were accepted, not \(least)") }
    precondition(accepted >= least)
    tell("ended")
  }

  /// Writes to the standard error of the process that waits for this one: what an exit test prints
  /// itself is lost.
  private func tell(_ text: String) {
    let line = "fuzz: seed \(seed), process \(getpid()): \(text)\n"
    let file = "/proc/\(getppid())/fd/2"
    try? Files.write(file, Array(line.utf8), mode: [.write, .append])
  }

  /// Runs rounds that share nothing.
  public func run<Failure: Error>(
    _ body: @escaping @Sendable (inout Mutator) throws(Failure) -> Bool
  ) async throws(Failure) {
    try await run(()) { mutator, _ throws(Failure) in try body(&mutator) }
  }
}
