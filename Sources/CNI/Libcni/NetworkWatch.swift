import Linux

/// Reads the networks of directories again when something there has changed.
///
/// For one thread, which may have to wait for a disk. While the kernel tells of changes, nothing
/// runs without one.
package struct NetworkWatch: ~Copyable {
  /// What is known of the networks.
  package private(set) var table: NetworkTable
  private var watch: DirectoryWatch?
  private let open: () throws(SystemError) -> DirectoryWatch
  /// Why the kernel does not tell of all changes.
  private var fault: String?
  /// Whether something changed at each look.
  private var isUnsettled = false

  /// Until the next look where the kernel does not tell.
  private static let pauseMilliseconds = 900
  /// So long must nothing happen until what has happened is looked at: a burst is one look.
  private static let quietMilliseconds = 50
  /// But so long does nobody wait.
  private static let burstMilliseconds = 300
  private static let looks = 4

  /// Has not read anything yet; see ``NetworkTable/init(_:)``.
  package init(_ directories: [String]) {
    self.init(directories) { () throws(SystemError) in try DirectoryWatch() }
  }

  /// The same with another way to get an inotify instance.
  init(_ directories: [String], open: @escaping () throws(SystemError) -> DirectoryWatch) {
    table = NetworkTable(directories)
    self.open = open
  }

  /// Takes other directories from the next look on.
  package mutating func setDirectories(_ paths: [String]) { table.setDirectories(paths) }

  /// Reads all directories, and has the kernel watch what was read.
  ///
  /// - Returns: what is new since the last time.
  package mutating func look() -> [NetworkRemark] {
    var remarks: [NetworkRemark] = []
    isUnsettled = true
    for _ in 0..<Self.looks where isUnsettled {
      // Before the look: what comes after it wakes again.
      _ = watch?.drain()
      remarks += table.look()
      // What was not watched while it was read may have changed since.
      isUnsettled = arm(&remarks)
    }
    isUnsettled = isUnsettled || table.isUnsettled
    return remarks
  }

  /// Watches what was read.
  ///
  /// - Returns: whether something was not watched before.
  private mutating func arm(_ remarks: inout [NetworkRemark]) -> Bool {
    let places = table.places
    var problem = places.isCut ? "there are too many directories to watch" : nil
    var isNew = false
    do throws(SystemError) {
      if watch == nil, !places.isEmpty { watch = try open() }
      isNew = try watch?.watch(places) ?? false
    } catch {
      problem = "\(error)"
    }
    if let problem, fault == nil { remarks.append(.unwatched(fault: problem)) }
    if problem == nil, fault != nil { remarks.append(.watched) }
    fault = problem
    return isNew
  }

  /// Waits until it is time for a look: something has changed, the kernel does not tell of changes
  /// and some time is over, or a descriptor is readable.
  ///
  /// - Parameter wake: the descriptor that somebody else uses to end the wait.
  package mutating func wait(or wake: Int32) {
    let isBlind = fault != nil || isUnsettled
    let end = isBlind ? Deadline.after(milliseconds: Self.pauseMilliseconds) : .never
    while true {
      var entries = [PollEntry(watch?.descriptor ?? -1, .read), PollEntry(wake, .read)]
      do throws(SystemError) {
        try end.wait(&entries, "wait")
      } catch {
        // Anything but the end of the time is the system's trouble: not to be asked for at once.
        if error.errno != .timedOut { Clock.pause(milliseconds: Self.pauseMilliseconds) }
        return
      }
      if entries.last?.seen.isEmpty == false { return }
      if watch?.drain().isEmpty == false { return waitForQuiet() }
    }
  }

  private mutating func waitForQuiet() {
    let end = Deadline.after(milliseconds: Self.burstMilliseconds)
    while !end.isOver {
      let pause = end.capped(milliseconds: Self.quietMilliseconds)
      guard (try? pause.wait(watch?.descriptor ?? -1, for: .read, "wait")) != nil else { return }
      _ = watch?.drain()
    }
  }
}
