public import Linux

/// Looks again and again until something is true; for conditions that nobody announces.
///
/// - Parameters:
///   - milliseconds: how long to look.
///   - condition: what must become true; it runs on a thread of its own, all looks on the same one.
/// - Returns: whether it became true in time.
/// - Throws: what `condition` threw.
public func eventually(
  within milliseconds: Int = 5000, _ condition: @escaping @Sendable () throws -> Bool
) async throws -> Bool {
  try await onThread {
    let start = KernelClock.monotonic
    while true {
      if try condition() { return true }
      // The machine may have become busy since.
      if isOver(since: start, milliseconds) { return false }
      Clock.pause(milliseconds: 5)
    }
  }
}

/// Looks again and again at what is wrong, until nothing is or the time is over.
///
/// - Parameters:
///   - milliseconds: how long to look.
///   - look: what is wrong now.
/// - Returns: what is still wrong at the end; empty if nothing is.
/// - Throws: what `look` threw.
public func settled(
  within milliseconds: Int, _ look: () async throws -> [String]
) async throws -> [String] {
  let start = KernelClock.monotonic
  while true {
    let wrong = try await look()
    if wrong.isEmpty || isOver(since: start, milliseconds) { return wrong }
    await onThread { Clock.pause(milliseconds: 50) }
  }
}

/// Whether a time is over that lasts as long as the machine is slow.
public func isOver(since start: UInt64, _ milliseconds: Int) -> Bool {
  let passed = Int((KernelClock.monotonic - start) / 1_000_000)
  return passed > milliseconds && passed > milliseconds * Program.patience
}

/// Half a minute, longer where everything is slow: for what must come.
public var soon: Deadline { .after(seconds: 30 * Program.patience) }
