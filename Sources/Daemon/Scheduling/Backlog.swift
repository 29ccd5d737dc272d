package import Linux
package import PluginKit

/// Work that no client waits for, and when it is due.
///
/// What a dead daemon left half done, deletions whose backend was down, results that nobody has
/// got, attachments whose namespace has died, and spooled DELs. What fails is due again later, at
/// first after a second, at last once a minute.
package final class Backlog: Sendable {
  /// A piece of work; the same piece is listed once.
  package enum Task: Hashable, Sendable {
    /// What the record says: an ADD that did not end well is undone, a DEL that had
    /// begun is completed.
    case finish(AttachmentKey)
    /// The ADD of this request is undone, because its client did not get the result.
    case undoUnread(AttachmentKey, requestID: String)
    /// The namespace has died without a DEL.
    case removeOrphan(AttachmentKey)
    /// A DEL that found no daemon; the name of its file, and what it is about.
    case spooled(String, containerID: String, ifName: String)
    /// Dead namespaces are looked for: all, or the one that had an id.
    case sweep(namespaceID: Int32?)
  }

  /// A piece of work whose time has come.
  package struct Due: Sendable {
    package let task: Task
    /// Its place in the order of its attachment's calls, CLOCK_BOOTTIME.
    package let stamp: UInt64
  }

  private struct Entry {
    let stamp: UInt64
    var failures = 0
    var due: UInt64 = 0
    var isHandedOut = false
  }

  private let entries = Mutex<[Task: Entry]>([:])
  private let event: EventDescriptor

  private static let firstPause: UInt64 = 1_000_000_000
  private static let longestPause: UInt64 = 60_000_000_000

  /// A list with nothing on it; throws if there is no descriptor left.
  package init() throws(SystemError) { event = try EventDescriptor() }

  /// Readable when something was added.
  package var descriptor: Int32 { event.descriptor.rawValue }

  /// How much is listed.
  package var count: Int { entries.withLock { $0.count } }

  /// Lists a piece of work; what is listed already stays as it is.
  ///
  /// - Parameters:
  ///   - task: the work.
  ///   - stamp: its place among the calls of its attachment; 0 is before all of them.
  ///   - hasFailed: whether it was tried already, so that it is due after a pause.
  package func add(_ task: Task, stamp: UInt64 = 0, hasFailed: Bool = false) {
    let isNew = entries.withLock { entries in
      guard entries[task] == nil else { return false }
      entries[task] = Entry(stamp: stamp, isHandedOut: hasFailed)
      return true
    }
    if isNew, hasFailed { putBack(task) }
    event.signal()
  }

  /// Takes what is due and nobody works on.
  package func takeDue(_ now: UInt64 = KernelClock.monotonic) -> [Due] {
    event.reset()
    return entries.withLock { entries in
      let due = entries.filter { !$0.value.isHandedOut && $0.value.due <= now }
      for task in due.keys { entries[task]?.isHandedOut = true }
      return due.map { Due(task: $0.key, stamp: $0.value.stamp) }.sorted { $0.stamp < $1.stamp }
    }
  }

  /// Whether a piece of work is still wanted.
  package func contains(_ task: Task) -> Bool { entries.withLock { $0[task] != nil } }

  /// Removes a task: it was done, or is not needed any more.
  package func remove(_ task: Task) { entries.withLock { $0[task] = nil } }

  /// Puts a piece of work back that could not be done.
  ///
  /// - Returns: seconds until it is tried again.
  @discardableResult
  package func putBack(_ task: Task, _ now: UInt64 = KernelClock.monotonic) -> UInt64 {
    entries.withLock { entries in
      guard var entry = entries[task] else { return 0 }
      let pause = min(Self.firstPause << UInt64(min(entry.failures, 6)), Self.longestPause)
      entry.failures += 1
      entry.due = now &+ pause
      entry.isHandedOut = false
      entries[task] = entry
      return pause / 1_000_000_000
    }
  }
}
