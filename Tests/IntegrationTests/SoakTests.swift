import Linux
import TestSupport
import Testing

/// ADD and DEL over and over, by the real shim and several pods at once;
/// `scripts/soak` makes it long.
@Suite(.daemonLog, .serialized) struct SoakTests {
  /// What the daemon may hold more at the end of the last quarter than at the end of the first.
  private enum Limit {
    static let resident = 1024
    static let descriptors = 0
    /// Idle workers, of which there may be four.
    static let threads = 4
  }

  @Test(
    "1000 ADD/DEL pairs (scripts/soak: 20 000) leave nothing and the daemon stays as it was",
    .shippedPrograms("memory is the sanitizer's"))
  func soak() async throws {
    try await withTestNode { node in
      let total = Int(Program.environment["CNI_SOAK_PAIRS"] ?? "") ?? 1000
      var pods: [TestPod] = []
      for _ in 0..<4 { pods.append(try await TestPod()) }
      // The first calls start what is started once; directories stay.
      for pod in pods { try await node.pairs(1, [pod], Locked(0)) }
      let before = try await node.snapshot(pods)
      let process = try #require(node.daemon)
      let watch = SoakWatch(total: total, process: process)
      for quarter in 0..<4 {
        let count = total * (quarter + 1) / 4 - total * quarter / 4
        try await node.pairs(count, pods, watch.done)
        let left = try await node.leftovers(since: before, pods)
        // It closes its records when they are on the disk.
        #expect(try await eventually(within: 20_000) { node.openRecords == [] })
        await onThread { watch.endQuarter(left: left) }
      }
      watch.finish()
      try #require(watch.quarters.value.count == 4)
      let (first, last) = (watch.quarters.value[0], watch.quarters.value[3])
      #expect(last.left == [])
      #expect(last.settled.resident - first.settled.resident < Limit.resident)
      #expect(last.settled.descriptors - first.settled.descriptors <= Limit.descriptors)
      #expect(last.settled.threads - first.settled.threads <= Limit.threads)
      #expect(process.status == nil)
    }
  }
}

/// Looks at the daemon while pairs are made, and says what it sees.
private final class SoakWatch: Sendable {
  /// A quarter of the pairs.
  struct Quarter: Sendable {
    /// What was left behind at its end.
    var left: [String]
    /// The daemon at its end, when nothing ran any more.
    var settled: ProcessUsage
    /// The most that the daemon had in it.
    var most: (resident: Int, descriptors: Int, threads: Int)
  }

  /// How many pairs are done.
  let done = Locked(0)
  let quarters = Locked<[Quarter]>([])
  private let most = Locked((resident: 0, descriptors: 0, threads: 0))
  private let hasEnded: Locked<Bool>
  private let process: RunningProcess
  private let start = KernelClock.monotonic

  init(total: Int, process: RunningProcess) {
    self.process = process
    let (hasEnded, done, most, start) = (Locked(false), done, most, start)
    self.hasEnded = hasEnded
    try? OSThread.start {
      var (last, lastDone) = (start, 0)
      while !hasEnded.value {
        Clock.pause(milliseconds: 200)
        let usage = process.usage
        most.withLock { most in
          most.resident = max(most.resident, usage.resident)
          most.descriptors = max(most.descriptors, usage.descriptors)
          most.threads = max(most.threads, usage.threads)
        }
        let now = KernelClock.monotonic
        guard now - last >= 5_000_000_000 else { continue }
        let (count, seconds) = (done.value, Double(now - last) / 1e9)
        say(
          "\(count) of \(total) pairs, \(Int(Double(count - lastDone) / seconds)) pairs/s; "
            + "cnid: \(usage.resident) KiB, \(usage.descriptors) descriptors, \(usage.threads) threads"
        )
        (last, lastDone) = (now, count)
      }
    }
  }

  deinit { hasEnded.withLock { $0 = true } }

  func endQuarter(left: [String]) {
    // Idle workers end by and by; what stays is what counts.
    let first = quarters.value.first?.settled
    let start = KernelClock.monotonic
    var settled = process.usage
    func isMore() -> Bool {
      if settled.threads > first?.threads ?? 1, !isOver(since: start, 3000) { return true }
      // Records are open until they are on the disk.
      return settled.descriptors > first?.descriptors ?? .max && !isOver(since: start, 20_000)
    }
    while isMore() {
      Clock.pause(milliseconds: 50)
      settled = process.usage
    }
    let quarter = most.withLock { most in
      defer { most = (0, 0, 0) }
      return Quarter(left: left, settled: settled, most: most)
    }
    quarters.withLock { $0.append(quarter) }
  }

  /// Prints the table.
  func finish() {
    hasEnded.withLock { $0 = true }
    let seconds = Double(KernelClock.monotonic - start) / 1e9
    say("\(done.value) pairs in \(Int(seconds)) s, \(Int(Double(done.value) / seconds)) pairs/s")
    let quarters = quarters.value
    guard let first = quarters.first, let last = quarters.last else { return }
    say("                           first quarter   last quarter")
    for (name, value) in [
      ("memory at its end, KiB", { $0.settled.resident }),
      ("descriptors at its end", { $0.settled.descriptors }),
      ("threads at its end", { $0.settled.threads }),
      ("most memory in it, KiB", { $0.most.resident }),
      ("most descriptors in it", { $0.most.descriptors }),
      ("most threads in it", { $0.most.threads }),
    ] as [(String, (Quarter) -> Int)] {
      say(pad(name, -26) + pad("\(value(first))", 14) + pad("\(value(last))", 15))
    }
    for kind in ["link", "route", "namespace", "lease", "record", "socket"] {
      let count = { (quarter: Quarter) in quarter.left.count { $0.hasPrefix("\(kind) ") } }
      say(pad("\(kind)s left", -26) + pad("\(count(first))", 14) + pad("\(count(last))", 15))
    }
  }
}

/// A line at once, also into a pipe.
private func say(_ line: String) {
  try? Descriptor.writeAll(1, Array("figure: soak: \(line)\n".utf8), deadline: .never)
}

/// Text with spaces in front, or behind it if the width is negative.
private func pad(_ text: String, _ width: Int) -> String {
  let spaces = String(repeating: " ", count: max(0, abs(width) - text.utf8.count))
  return width < 0 ? text + spaces : spaces + text
}

extension TestNode {
  /// ADD and DEL in turn, the pods side by side, each on a thread inside the node's namespace.
  ///
  /// - Parameters:
  ///   - count: how many pairs, all pods together.
  ///   - pods: whose attachment is made and removed.
  ///   - done: counted up with each pair.
  /// - Throws: what the first call that failed said.
  fileprivate func pairs(_ count: Int, _ pods: [TestPod], _ done: Locked<Int>) async throws {
    let input = macvlan().bytes
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (index, pod) in pods.enumerated() {
        let share = count / pods.count + (index < count % pods.count ? 1 : 0)
        group.addTask {
          try await self.network.run {
            for _ in 0..<share {
              for command in ["ADD", "DEL"] {
                let run = try Program.runBlocking(
                  [Program.shim], environment: pod.environment(command), input: input)
                guard run.succeeded else { throw TestError("\(command): \(run)") }
              }
              done.withLock { $0 += 1 }
            }
          }
        }
      }
      try await group.waitForAll()
    }
  }
}
