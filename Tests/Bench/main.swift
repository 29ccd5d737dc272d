import Glibc
import Linux

// Measures ADD/DEL pairs of two CNI plugins against each other; scripts/bench prepares the
// node and calls it.

/// One way to run a CNI call, and what it has cost so far.
struct Contender {
  let label: String
  let program: String
  let configuration: [UInt8]
  let netns: String
  let pluginPath: String
  /// A process that works on its behalf, 0 for none.
  let helper: Int32

  var adds: [UInt64] = []
  var deletes: [UInt64] = []
  var pairs: [UInt64] = []
  var called: UInt64 = 0
  var helped: UInt64 = 0
  var nanosecondsOfCPU: UInt64 { called + helped }

  private func call(_ command: String, _ number: Int) throws -> UInt64 {
    let start = KernelClock.monotonic
    let run = try ProgramRun.run(
      executable: program, arguments: [program],
      environment: [
        "CNI_COMMAND=\(command)", "CNI_CONTAINERID=bench-\(number)", "CNI_NETNS=\(netns)",
        "CNI_IFNAME=eth0", "CNI_PATH=\(pluginPath)", "CNI_ARGS=IgnoreUnknown=1",
      ], input: configuration, deadline: .after(seconds: 30))
    let time = KernelClock.monotonic - start
    guard run.status == .exited(0) else {
      let said = String(decoding: run.output + run.errorOutput, as: UTF8.self)
      throw Failure(text: "\(label) \(command): \(run.status): \(said)")
    }
    return time
  }

  /// Time of the processor that the called programs and the helper have used up to now.
  private var processorTime: (called: UInt64, helper: UInt64) {
    var usage = rusage()
    _ = unsafe getrusage(__rusage_who_t(RUSAGE_CHILDREN.rawValue), &usage)
    let children =
      (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000_000
      + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000
    var (clock, time) = (clockid_t(), timespec())
    if helper != 0, unsafe clock_getcpuclockid(helper, &clock) == 0 {
      _ = unsafe clock_gettime(clock, &time)
    }
    return (UInt64(children), UInt64(time.tv_sec * 1_000_000_000 + time.tv_nsec))
  }

  mutating func pair(_ number: Int, settle: Int) throws {
    let before = processorTime
    let add = try call("ADD", number)
    let delete = try call("DEL", number)
    adds.append(add)
    deletes.append(delete)
    pairs.append(add + delete)
    // What it does after its answer is its own cost too, and must not disturb the other's turn.
    Clock.pause(milliseconds: settle)
    let after = processorTime
    called += after.called - before.called
    helped += after.helper - before.helper
  }
}

struct Failure: Error, CustomStringConvertible {
  let text: String
  var description: String { text }
}

func percentile(_ values: [UInt64], _ percent: Int) -> UInt64 {
  let sorted = values.sorted()
  return sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, sorted.count * percent / 100)]
}

func milliseconds(_ nanoseconds: UInt64) -> String {
  let hundredths = (nanoseconds + 5_000) / 10_000
  let rest = hundredths % 100
  let text = "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
  return String(repeating: " ", count: max(0, 8 - text.utf8.count)) + text
}

func ratio(_ ours: UInt64, _ theirs: UInt64) -> Double {
  theirs == 0 ? 0 : (Double(ours) / Double(theirs) * 1000).rounded() / 1000
}

func report(_ title: String, _ contenders: [Contender]) {
  print("\n\(title), milliseconds")
  print(
    "                            ADD p50      p99 DEL p50      p99pair p50      p99 CPU/pair"
      + " (called + daemon)")
  for contender in contenders {
    let label = contender.label
    var line = label + String(repeating: " ", count: max(0, 27 - label.utf8.count))
    for values in [contender.adds, contender.deletes, contender.pairs] {
      line += milliseconds(percentile(values, 50)) + " " + milliseconds(percentile(values, 99))
    }
    let count = UInt64(max(1, contender.pairs.count))
    line += " " + milliseconds(contender.nanosecondsOfCPU / count)
    line +=
      " (\(milliseconds(contender.called / count)) + \(milliseconds(contender.helped / count)))"
    print(line)
  }
}

func run() throws -> Bool {
  let arguments = CommandLine.arguments
  guard arguments.count == 10, let pairs = Int(arguments[1]), let daemon = Int32(arguments[2])
  else {
    throw Failure(
      text: "cnid-bench PAIRS DAEMON-PID SHIM CONFIG NETNS REFERENCE CONFIG NETNS LIMIT")
  }
  let ours = Contender(
    label: "cni-shim + cnid", program: arguments[3], configuration: try Files.read(arguments[4]),
    netns: arguments[5], pluginPath: "/usr/lib/cni", helper: daemon)
  let reference = Contender(
    label: "macvlan + host-local", program: arguments[6],
    configuration: try Files.read(arguments[7]), netns: arguments[8], pluginPath: "/usr/lib/cni",
    helper: 0)

  var (a, b) = (ours, reference)
  for number in 0..<5 {
    try a.pair(number, settle: 40)
    try b.pair(number, settle: 40)
  }
  (a, b) = (ours, reference)
  for number in 0..<pairs {
    try a.pair(number, settle: 40)
    try b.pair(number, settle: 40)
  }
  report("\(pairs) pairs each, in turn", [a, b])
  let wall = ratio(percentile(a.pairs, 50), percentile(b.pairs, 50))
  let processor = ratio(a.nanosecondsOfCPU, b.nanosecondsOfCPU)

  // Without a pause for what is done after the answer.
  var (c, d) = (ours, reference)
  for round in 0..<4 {
    for number in 0..<pairs / 4 { try c.pair(round * pairs + number, settle: 0) }
    Clock.pause(milliseconds: 100)
    for number in 0..<pairs / 4 { try d.pair(round * pairs + number, settle: 0) }
  }
  report("\(pairs / 4 * 4) pairs each, \(pairs / 4) in a row", [c, d])
  let inARow = ratio(percentile(c.pairs, 50), percentile(d.pairs, 50))

  let limit = Double(arguments[9]) ?? 0.25
  let good = wall <= limit && processor <= limit
  print("\nratio to the reference: time \(wall), CPU \(processor); time in a row \(inARow)")
  print(good ? "within the limit of \(limit)" : "ABOVE the limit of \(limit)")
  return good
}

do {
  exit(try run() ? 0 : 1)
} catch {
  print("bench: \(error)")
  exit(2)
}
