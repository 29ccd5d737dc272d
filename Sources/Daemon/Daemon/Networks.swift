package import Libcni
import Linux
import PluginKit
package import Records

/// The networks of `networkDirs`, for calls that only name one.
///
/// A thread of its own reads them, because a disk may hang; it sleeps while nothing changes. There
/// is none as long as there are no directories.
package final class Networks: Sendable {
  private struct State {
    var directories: [String]
    var table: NetworkTable
    var isRunning = false
    var isStopping = false
  }

  private let state: Mutex<State>
  private let log: any LogWriting
  /// Wakes the thread.
  private let bell: EventDescriptor
  /// Signalled once the directories were read for the first time.
  private let first: EventDescriptor

  /// So long does the start wait for the first look; a disk that hangs holds nobody up.
  private static let startMilliseconds = 2000

  /// Reads the directories, and goes on reading them until ``stop()``.
  ///
  /// - Parameters:
  ///   - directories: absolute paths; they need not be there.
  ///   - log: is told of networks that come, change and go, and of files that are not good.
  /// - Throws: `StartError` if there is no descriptor or thread left.
  package init(_ directories: [String], log: any LogWriting) throws(StartError) {
    self.log = log
    bell = try starting { () throws(SystemError) in try EventDescriptor() }
    first = try starting { () throws(SystemError) in try EventDescriptor() }
    state = Mutex(State(directories: directories, table: NetworkTable([])))
    try starting { () throws(SystemError) in try begin() }
    guard !directories.isEmpty else { return }
    let end = Deadline.after(milliseconds: Self.startMilliseconds)
    if (try? end.wait(first.descriptor.rawValue, for: .read, "wait")) == nil {
      log.write(.warning, "the directories of networks are still being read", [])
    }
  }

  /// The network of that name, as its file was when it was last good.
  package func network(named name: String) -> NetworkList? {
    state.withLock { $0.table.network(named: name)?.list }
  }

  /// All networks, in the order of their directories and files.
  package var all: [NetworkTable.Network] { state.withLock { $0.table.networks } }

  /// How many files are good, and how many are not.
  package var counts: (good: Int, damaged: Int) { state.withLock { $0.table.counts } }

  /// Reads other directories; returns at once.
  package func setDirectories(_ directories: [String]) {
    state.withLock { $0.directories = directories }
    do throws(SystemError) {
      try begin()
    } catch {
      log.write(.error, "networks cannot be read", [("error", "\(error)")])
    }
    bell.signal()
  }

  /// Looks at the directories although nothing was announced: a mount, for example, is not.
  package func lookAgain() { bell.signal() }

  /// Ends the thread soon.
  package func stop() {
    state.withLock { $0.isStopping = true }
    bell.signal()
  }

  /// Starts the thread if there is work for it and it does not run.
  private func begin() throws(SystemError) {
    let mustStart = state.withLock { state in
      let mustStart = !state.isRunning && !state.directories.isEmpty && !state.isStopping
      if mustStart { state.isRunning = true }
      return mustStart
    }
    guard mustStart else { return }
    do throws(SystemError) {
      try OSThread.start { self.run() }
    } catch {
      state.withLock { $0.isRunning = false }
      throw error
    }
  }

  private func run() {
    var watch = NetworkWatch([])
    while true {
      // Before the directories are taken: others that come after that wake again.
      bell.reset()
      let directories = state.withLock { $0.isStopping ? nil : $0.directories }
      guard let directories else { return }
      watch.setDirectories(directories)
      let remarks = watch.look()
      let table = watch.table
      state.withLock { $0.table = table }
      for remark in remarks { tell(remark) }
      first.signal()
      watch.wait(or: bell.descriptor.rawValue)
    }
  }

  private func tell(_ remark: NetworkRemark) {
    let line = remark.logLine
    log.write(line.level, line.message, line.fields)
  }
}
