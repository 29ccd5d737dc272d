import CNI
public import DaemonAPI
import Linux
import PluginKit

/// The DELs that shims wrote while no daemon took them, oldest first.
///
/// Nothing is locked between shim and daemon: an entry is whole as soon as it has its name, and whoever has done the
/// DEL removes it. A directory or a file that is not root's alone is not used.
public final class Spool: Sendable {
  /// An entry that was read.
  public struct Item: Sendable, Equatable {
    /// Its file's name.
    public let name: String
    /// What it says.
    public let entry: SpoolEntry
    /// CNI_CONTAINERID.
    public let containerID: String
    /// CNI_IFNAME.
    public let ifName: String
  }

  struct Interface: Hashable {
    let containerID: String
    let ifName: String
  }

  struct Identity: Equatable {
    let device: UInt64
    let inode: UInt64
  }

  struct State: ~Copyable {
    var watch: DirectoryWatch?
    /// What the watch is on; nil if it has to be set anew.
    var watched: Identity?
    var items: [String: Item] = [:]
    var names: [Interface: Set<String>] = [:]
    /// Damaged files that could not be renamed.
    var stuck: Set<String> = []
    /// What was last said of the directory or of a file that could not be read yet, to say it once.
    var complaint = ""
  }

  /// Readable when something has changed; -1 if the directory cannot be watched, so that only `scan` finds entries.
  public let descriptor: Int32

  let directory: String
  let bootID: String
  let log: Log
  private let state: Mutex<State>
  // Read by the thread that serves the metrics, which must not wait for a disk.
  private let known = Atomic<Int>(0)
  let damaged = Atomic<Int>(0)

  /// How long a shim may take from its temporary file to the entry.
  static let temporaryNanoseconds: UInt64 = 300 * 1_000_000_000

  /// Opens the spool: makes the directory if it is missing, and begins to watch it.
  ///
  /// - Parameters:
  ///   - directory: see `SpoolEntry.directory(socketDirectory:)`.
  ///   - log: hears of files that were set aside.
  /// - Throws: `StartError` if the directory cannot be made or is not root's alone.
  public init(directory: String, log: Log) throws(StartError) {
    self.directory = directory
    self.log = log
    bootID = try starting("boot id") { () throws(SystemError) in try Boot.id() }
    let identity = try Self.prepare(directory)
    var watch: DirectoryWatch?
    do throws(SystemError) {
      watch = try DirectoryWatch(directory)
    } catch {
      log.write(
        .warning, "the spool is not watched, only looked at now and then", [("error", "\(error)")])
    }
    descriptor = watch?.descriptor ?? -1
    state = Mutex(State(watch: watch, watched: identity))
    _ = scan()
  }

  /// How many entries wait.
  public var count: Int { known.load(ordering: .relaxed) }

  /// How many files were set aside since the start because they are no entries.
  public var damagedCount: Int { damaged.load(ordering: .relaxed) }

  /// Looks what is there.
  ///
  /// - Returns: every entry that can be read, those of other boots first, then the oldest first.
  public func scan() -> [Item] {
    state.withLock { state in
      // Before the look: what comes after it wakes again.
      if state.watch?.drain().contains(.gone) == true { state.watched = nil }
      refresh(&state)
      return sorted(Array(state.items.values))
    }
  }

  /// The entries of one attachment, oldest first; what came a moment ago included.
  ///
  /// Costs one system call while nothing has changed.
  public func items(containerID: String, ifName: String) -> [Item] {
    state.withLock { state in
      // Not drained here: whoever waits for the descriptor has not seen it yet.
      if state.watched == nil || state.watch?.hasChanges != false { refresh(&state) }
      let names = state.names[Interface(containerID: containerID, ifName: ifName)] ?? []
      return sorted(names.compactMap { state.items[$0] })
    }
  }

  /// Removes an entry that was worked off; one that is gone already is no error.
  public func remove(_ item: Item) {
    do throws(SystemError) {
      try Files.removeIfPresent(path(item.name))
    } catch {
      log.write(
        .error, "a spool entry cannot be removed and will be done again", fields(item, "\(error)"))
      return
    }
    state.withLock { forget(item.name, &$0) }
  }

  /// Keeps an entry that can never be worked off as `<name>.refused`, for those who want to know what happened.
  public func setAside(_ item: Item, reason: String) {
    log.write(.error, "a spool entry was refused and set aside", fields(item, reason))
    do throws(SystemError) {
      try Files.rename(path(item.name), path(item.name + ".refused"))
    } catch {
      if error.errno != .noEntry {
        log.write(.error, "a spool entry cannot be set aside", fields(item, "\(error)"))
        return
      }
    }
    state.withLock { forget(item.name, &$0) }
  }

  private func fields(_ item: Item, _ error: String) -> [(String, String)] {
    [
      ("file", path(item.name)), ("container", item.containerID), ("ifname", item.ifName),
      ("error", error),
    ]
  }

  func path(_ name: String) -> String { "\(directory)/\(name)" }

  private func sorted(_ items: [Item]) -> [Item] {
    func isOlder(_ a: Item, _ b: Item) -> Bool {
      let (x, y) = (a.entry.stamp, b.entry.stamp)
      let (isNow, alsoNow) = (x.bootID == bootID, y.bootID == bootID)
      if isNow != alsoNow { return alsoNow }
      return (x.nanoseconds, a.name) < (y.nanoseconds, b.name)
    }
    return items.sorted(by: isOlder)
  }

  func remember(_ item: Item, _ state: inout State) {
    let interface = Interface(containerID: item.containerID, ifName: item.ifName)
    state.items[item.name] = item
    state.names[interface, default: []].insert(item.name)
    known.store(state.items.count, ordering: .relaxed)
  }

  func forget(_ name: String, _ state: inout State) {
    guard let item = state.items.removeValue(forKey: name) else { return }
    let interface = Interface(containerID: item.containerID, ifName: item.ifName)
    state.names[interface]?.remove(name)
    if state.names[interface]?.isEmpty == true { state.names[interface] = nil }
    known.store(state.items.count, ordering: .relaxed)
  }
}
