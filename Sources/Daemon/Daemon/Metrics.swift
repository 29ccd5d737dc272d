package import CNI
import Linux
package import PluginKit

/// What the daemon counts and times, for `/metrics`.
///
/// Label values are names of plugins, verbs, steps and codes, never a request's free text, so
/// the number of series is bounded; networks come from records only. Counting a call costs a
/// lock and two look-ups.
package final class Metrics: Sendable {
  /// A verb and the plugin that served it.
  struct Service: Hashable {
    let command: String
    let plugin: String
  }

  /// What is known of the calls of one verb to one plugin.
  struct Calls {
    var codes: [Int: UInt64] = [:]
    var durations = Histogram()
  }

  /// Everything that is counted.
  struct State {
    var calls: [Service: Calls] = [:]
    /// By `plugin.step`.
    var steps: [String: Histogram] = [:]
    var recovered: [String: UInt64] = [:]
    var garbage: [String: UInt64] = [:]
    var kept: [String: UInt64] = [:]
    var orphans: UInt64 = 0
    var isLastReloadGood = true
    /// The plugins whose last STATUS said that they cannot serve an ADD.
    var unready: Set<String> = []
  }

  private let state = Mutex(State())
  /// When this process started, seconds since 1970.
  let startTime: UInt64

  /// The most codes that are told apart for a verb and plugin: executed plugins
  /// choose theirs freely.
  static let maximumCodes = 64
  /// Stands for codes beyond that.
  static let otherCode = -1

  /// Starts with nothing counted.
  package init() {
    let started = ProcessFigures()?.startNanoseconds ?? KernelClock.boot
    let age = KernelClock.boot.subtractingReportingOverflow(started)
    startTime = (KernelClock.real &- (age.overflow ? 0 : age.partialValue)) / 1_000_000_000
  }

  /// Counts a call that was answered.
  ///
  /// - Parameters:
  ///   - command: the verb; one that is not known counts as none.
  ///   - plugin: the name of the plugin that served it; empty if it came to none.
  ///   - code: the CNI error code; 0 for success.
  ///   - nanoseconds: from the complete request to the answer.
  ///   - isKnownAway: whether the plugin itself says that its backend is away, and will say when
  ///     it is back.
  package func finished(
    command: CNICommand?, plugin: String, code: Int, nanoseconds: UInt64, isKnownAway: Bool = false
  ) {
    let verb = command.flatMap { $0.isKnown ? $0.rawValue : nil } ?? ""
    let service = Service(command: verb, plugin: plugin)
    state.withLock { state in
      state.calls[service, default: Calls()].count(code, nanoseconds)
      guard !plugin.isEmpty else { return }
      switch (verb, code) {
      case ("STATUS", 0), ("ADD", 0): state.unready.remove(plugin)
      case ("STATUS", 50), ("STATUS", 51):
        if !isKnownAway { state.unready.insert(plugin) }
      default: return
      }
    }
  }

  /// Times the steps of a call, finished or not.
  package func steps(_ steps: [CallProgress.Step]) {
    if steps.isEmpty { return }
    state.withLock { state in
      for step in steps { state.steps[step.name, default: Histogram()].add(step.nanoseconds) }
    }
  }

  /// Counts something that recovery has done.
  ///
  /// - Parameter action: what, one of a few fixed words.
  package func recovered(action: String) {
    state.withLock { $0.recovered[action, default: 0] &+= 1 }
  }

  /// Counts an attachment that was removed because its namespace had died.
  package func orphanRemoved() { state.withLock { $0.orphans &+= 1 } }

  /// Counts attachments that GC has removed.
  package func garbageRemoved(plugin: String, count: Int = 1) {
    state.withLock { $0.garbage[plugin, default: 0] &+= UInt64(max(0, count)) }
  }

  /// Counts what GC has kept because it lives, although it was not listed.
  package func garbageKept(plugin: String, count: Int = 1) {
    if count <= 0 { return }
    state.withLock { $0.kept[plugin, default: 0] &+= UInt64(count) }
  }

  /// Keeps whether the configuration could be read the last time.
  package func reloaded(isGood: Bool) { state.withLock { $0.isLastReloadGood = isGood } }

  /// All that was counted, at one moment.
  var snapshot: State { state.withLock { $0 } }
}

extension Metrics.Calls {
  mutating func count(_ code: Int, _ nanoseconds: UInt64) {
    let isNew = codes[code] == nil
    let shown = isNew && codes.count >= Metrics.maximumCodes ? Metrics.otherCode : code
    codes[shown, default: 0] &+= 1
    durations.add(nanoseconds)
  }
}

/// How many of some durations lie in which range.
struct Histogram: Equatable {
  /// Upper bounds of the ranges in nanoseconds and as seconds; the last range has none.
  static let bounds: [(nanoseconds: UInt64, seconds: String)] = [
    (500_000, "0.0005"), (1_000_000, "0.001"), (2_500_000, "0.0025"), (5_000_000, "0.005"),
    (10_000_000, "0.01"), (25_000_000, "0.025"), (50_000_000, "0.05"), (100_000_000, "0.1"),
    (250_000_000, "0.25"), (500_000_000, "0.5"), (1_000_000_000, "1"), (2_500_000_000, "2.5"),
    (5_000_000_000, "5"), (10_000_000_000, "10"), (30_000_000_000, "30"), (60_000_000_000, "60"),
  ]

  /// How many are in each range, the one without a bound last.
  private(set) var counts = [UInt64](repeating: 0, count: bounds.count + 1)
  /// All of them together, in nanoseconds.
  private(set) var sum: UInt64 = 0

  mutating func add(_ nanoseconds: UInt64) {
    let index = Self.bounds.firstIndex { nanoseconds <= $0.nanoseconds } ?? Self.bounds.count
    counts[index] &+= 1
    sum &+= nanoseconds
  }
}
