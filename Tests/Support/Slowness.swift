import Glibc
import Linux

/// The calling thread's own processor time in nanoseconds: what others do on the machine does not
/// count.
public var threadTime: UInt64 {
  var now = timespec()
  guard unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0 else { return 0 }
  return UInt64(clamping: now.tv_sec) &* 1_000_000_000 &+ UInt64(clamping: now.tv_nsec)
}

/// How slow the machine is right now: how many times longer than on a quiet one something may take.
///
/// Two things tell it: how many threads want to run for each core, and how late a short pause ends.
/// The worst of the last half minute counts, because an expectation looks at a time that has
/// passed.
enum Slowness {
  private struct Sample {
    let time: UInt64
    let factor: Int
  }

  private static let samples = Locked<[Sample]>([])
  /// How long a sample counts, and for how long the last one is taken for the present, in
  /// nanoseconds.
  private static let memory: UInt64 = 30_000_000_000
  private static let interval: UInt64 = 100_000_000
  private static let most = 30

  /// 1 on a quiet machine.
  static var factor: Int {
    let now = KernelClock.monotonic
    if let known = known(now) { return known }
    let factor = min(max(crowd, lateness), most)
    return samples.withLock { samples in
      samples.removeAll { now &- $0.time > memory }
      samples.append(Sample(time: now, factor: factor))
      return samples.reduce(1) { max($0, $1.factor) }
    }
  }

  private static func known(_ now: UInt64) -> Int? {
    samples.withLock { samples in
      guard let last = samples.last, now &- last.time < interval else { return nil }
      return samples.reduce(1) { max($0, $1.factor) }
    }
  }

  /// How many threads want to run for each core, now or in the last minute, rounded up.
  private static var crowd: Int {
    let text = (try? Files.read("/proc/loadavg")).map { String(decoding: $0, as: UTF8.self) } ?? ""
    let words = text.split(separator: " ")
    guard words.count > 3, let average = Double(words[0]),
      let running = words[3].split(separator: "/").first.flatMap({ Double($0) })
    else { return 1 }
    let cores = Double(max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    return max(1, Int((max(average, running) / cores).rounded(.up)))
  }

  /// A pause of a millisecond that ends five late counts as twice as slow.
  private static var lateness: Int {
    let start = KernelClock.monotonic
    Clock.pause(milliseconds: 1)
    return 1 + Int((KernelClock.monotonic - start) / 5_000_000)
  }
}
