import Glibc
import Linux

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
