import Linux

/// Tells the service manager how the daemon is, as sd_notify(3) does.
///
/// It never waits and never fails: without a service manager nothing happens, and news for one that
/// is too busy to take them are kept until the next `flush`.
package final class ServiceManager: Sendable {
  private struct State {
    /// Changes of state that the service manager has not taken yet, in order.
    var unsent: [String] = []
    /// When the watchdog was last fed, CLOCK_MONOTONIC.
    var lastFed: UInt64 = 0
  }

  /// Variables by which a service manager speaks to its service.
  static let variables = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]
  /// Changes that are kept at the most; a service manager that takes none for so long has gone.
  private static let maximumUnsent = 16

  private let socket: UnixDatagram?
  private let address: String
  private let state = Mutex(State())

  /// Nanoseconds after which the service manager takes the daemon for dead; nil if
  /// it does not watch.
  package let watchdogTime: UInt64?

  /// Finds the service manager by variables of the environment.
  ///
  /// - Parameters:
  ///   - environment: the variables' values by name.
  ///   - pid: this process, which must be the one that WATCHDOG_PID means.
  init(environment: [String: String], pid: Int32) {
    address = environment["NOTIFY_SOCKET"] ?? ""
    let isLocal = address.utf8.first == 0x2F || address.utf8.first == 0x40
    socket = isLocal ? try? UnixDatagram() : nil
    let isWatched = environment["WATCHDOG_PID"].map { Int32($0) == pid } ?? true
    let time = environment["WATCHDOG_USEC"].flatMap(UInt64.init) ?? 0
    let (nanoseconds, overflow) = time.multipliedReportingOverflow(by: 1_000)
    watchdogTime =
      socket != nil && isWatched && time > 0 && !overflow ? nanoseconds : nil
  }

  /// Finds the service manager of this process and takes its variables out of the environment.
  ///
  /// To be called before the first other thread starts.
  package static func ofThisProcess() -> ServiceManager {
    var environment: [String: String] = [:]
    for name in variables {
      environment[name] = Linux.Process.variable(name)
      Linux.Process.removeVariable(name)
    }
    return ServiceManager(environment: environment, pid: Linux.Process.pid)
  }

  /// The daemon serves.
  package func ready(_ status: String) { change(["READY=1", Self.line(status)]) }

  /// The daemon is ending.
  package func stopping(_ status: String) { change(["STOPPING=1", Self.line(status)]) }

  /// The daemon reads its configuration again; `ready` says that it has.
  package func reloading() {
    change(["RELOADING=1", "MONOTONIC_USEC=\(KernelClock.monotonic / 1_000)"])
  }

  /// One line for people: what the daemon is doing.
  package func status(_ text: String) { change([Self.line(text)]) }

  /// The start takes longer; it may take so much more time from now on.
  package func extendStart(seconds: Int) {
    let (time, overflow) = max(0, seconds).multipliedReportingOverflow(by: 1_000_000)
    if !overflow { change(["EXTEND_TIMEOUT_USEC=\(time)"]) }
  }

  /// Feeds the watchdog if half of its time has passed since the last time.
  ///
  /// Call it often, and only while the daemon makes progress.
  package func feedWatchdog(_ now: UInt64 = KernelClock.monotonic) {
    guard let watchdogTime else { return }
    let isDue = state.withLock { state in
      guard now &- state.lastFed >= watchdogTime / 2 else { return false }
      state.lastFed = now
      return true
    }
    // One that is lost does no harm: the next comes before the time is over.
    if isDue { _ = send("WATCHDOG=1\n") }
  }

  /// Sends again what the service manager could not take before.
  package func flush() {
    state.withLock { state in
      while let first = state.unsent.first, send(first) { state.unsent.removeFirst() }
    }
  }

  private func change(_ lines: [String]) {
    let message = lines.map { $0 + "\n" }.joined()
    state.withLock { state in
      state.unsent.append(message)
      while let first = state.unsent.first, send(first) { state.unsent.removeFirst() }
      if state.unsent.count > Self.maximumUnsent { state.unsent.removeFirst() }
    }
  }

  /// Sends a message; false if it is worth another try.
  private func send(_ message: String) -> Bool {
    guard socket != nil else { return true }
    do throws(SystemError) {
      try socket?.send(Array(message.utf8), to: address)
    } catch {
      return error.errno != .again && error.errno != .noBuffers
    }
    return true
  }

  /// `STATUS=` with a text that cannot begin another line.
  private static func line(_ text: String) -> String {
    var line = "STATUS="
    for scalar in text.unicodeScalars {
      line.unicodeScalars.append(scalar.value < 0x20 ? " " : scalar)
    }
    return line
  }
}
