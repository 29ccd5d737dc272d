import CNI
import DaemonAPI
import Linux
import PluginKit

final class SpoolDirectory: Sendable {
  typealias Item = Spool.Item

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
    /// Files that are passed over: damaged ones that could not be renamed, and
    /// entries of newer shims.
    var stuck: Set<String> = []
    /// What the start says of an entry that only a newer program understands.
    var newer: String?
    /// What was last said of the directory or of a file that could not be read yet, to say it once.
    var complaint = ""
  }

  /// Readable when something has changed; -1 if the directory cannot be watched, so that only
  /// `scan` finds entries.
  let descriptor: Int32

  let directory: String
  let bootID: String
  let log: any LogWriting
  private let state: Mutex<State>
  // Read by the thread that serves the metrics, which must not wait for a disk.
  private let known = Atomic<Int>(0)
  let damaged = Atomic<Int>(0)

  /// How long a shim may take from its temporary file to the entry.
  static let temporaryNanoseconds: UInt64 = 300 * 1_000_000_000

  /// Creates the directory if it is missing, and begins to watch it.
  ///
  /// An entry of a newer shim keeps the daemon from starting.
  init(_ directory: String, bootID: String, log: any LogWriting) throws(StartError) {
    self.directory = directory
    self.bootID = bootID
    self.log = log
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
    if let text = state.withLock({ $0.newer }) { throw StartError(text) }
  }

  var count: Int { known.load(ordering: .relaxed) }

  var damagedCount: Int { damaged.load(ordering: .relaxed) }

  /// Looks what is there.
  ///
  /// - Returns: every entry that can be read, in no order.
  func scan() -> [Item] {
    state.withLock { state in
      // Before the look: what comes after it wakes again.
      if state.watch?.drain().contains(.gone) == true { state.watched = nil }
      refresh(&state)
      return Array(state.items.values)
    }
  }

  /// The entries of one attachment, in no order; what came a moment ago included, and perhaps what
  /// a shim has just removed: doing that DEL again changes nothing.
  func items(containerID: String, ifName: String) -> [Item] {
    state.withLock { state in
      // Not drained here: whoever waits for the descriptor has not seen it yet.
      if state.watched == nil || state.watch?.hasChanges != false { refresh(&state) }
      let names = state.names[Interface(containerID: containerID, ifName: ifName)] ?? []
      return names.compactMap { state.items[$0] }
    }
  }

  func remove(_ item: Item) {
    do throws(SystemError) {
      try Files.removeIfPresent(path(item.name))
    } catch {
      log.write(
        .error, "a spool entry cannot be removed and will be done again", fields(item, "\(error)"))
      return
    }
    state.withLock { forget(item.name, &$0) }
  }

  func setAside(_ item: Item, reason: String) {
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
