import CNI
package import DaemonAPI
import Linux
import PluginKit

/// The DELs that shims wrote while no daemon took them, oldest first.
///
/// There is a directory of them beside each socket that shims use. Nothing is locked between shim
/// and daemon: an entry is whole as soon as it has its name, and whoever has done the DEL removes
/// it. A directory or a file that is not root's alone is not used.
package final class Spool: Sendable {
  package struct Item: Sendable, Equatable {
    /// Where its file is.
    package let directory: String
    /// Its file's name.
    package let name: String
    /// What it says.
    package let entry: SpoolEntry
    /// CNI_CONTAINERID.
    package let containerID: String
    /// CNI_IFNAME.
    package let ifName: String
  }

  private let parts: [SpoolDirectory]
  private let bootID: String
  private let log: any LogWriting
  private let dropped = Atomic<Int>(0)

  /// Readable when something has changed; none for a directory that cannot be watched, so that only
  /// `scan` finds its entries.
  package let descriptors: [Int32]

  /// Opens the spool: makes directories that are missing, and begins to watch them.
  ///
  /// - Parameters:
  ///   - directories: see `SpoolEntry.directory(socketDirectory:)`.
  ///   - log: is told of files that were set aside.
  /// - Throws: `StartError` if a directory cannot be made or is not root's alone.
  package init(directories: [String], log: any LogWriting) throws(StartError) {
    self.log = log
    bootID = try starting("boot id") { () throws(SystemError) in try Boot.id() }
    var parts: [SpoolDirectory] = []
    for directory in directories {
      parts.append(try SpoolDirectory(directory, bootID: bootID, log: log))
    }
    self.parts = parts
    descriptors = parts.map(\.descriptor).filter { $0 >= 0 }
  }

  /// How many entries wait.
  package var count: Int { parts.reduce(0) { $0 + $1.count } }

  /// How many files were set aside since the start because they are no entries.
  package var damagedCount: Int { parts.reduce(0) { $0 + $1.damagedCount } }

  /// Looks what is there.
  ///
  /// - Returns: every entry that can be read, those of other boots first, then the oldest first.
  package func scan() -> [Item] { sorted(parts.flatMap { $0.scan() }) }

  /// The entries of one attachment, oldest first; what came a moment ago included.
  ///
  /// Costs one system call for each directory while nothing has changed.
  package func items(containerID: String, ifName: String) -> [Item] {
    sorted(parts.flatMap { $0.items(containerID: containerID, ifName: ifName) })
  }

  /// Removes an entry that was done.
  ///
  /// An entry that has gone already is no error.
  package func remove(_ item: Item) { part(of: item)?.remove(item) }

  /// Renames an entry that can never be done to `<name>.refused`, so that an operator can see it.
  package func setAside(_ item: Item, reason: String) {
    part(of: item)?.setAside(item, reason: reason)
  }

  /// Says that an entry is not done, because it cannot mean what is there, and counts it.
  package func drop(_ item: Item, _ reason: String) {
    dropped.add(1, ordering: .relaxed)
    log.write(
      .warning, "a spooled DEL is dropped",
      [("container", item.containerID), ("ifname", item.ifName), ("reason", reason)])
  }

  /// How many entries were dropped since the start.
  package var droppedCount: Int { dropped.load(ordering: .relaxed) }

  private func part(of item: Item) -> SpoolDirectory? {
    parts.first { $0.directory == item.directory }
  }

  private func sorted(_ items: [Item]) -> [Item] {
    func isOlder(_ a: Item, _ b: Item) -> Bool {
      let (x, y) = (a.entry.stamp, b.entry.stamp)
      let (isNow, alsoNow) = (x.bootID == bootID, y.bootID == bootID)
      if isNow != alsoNow { return alsoNow }
      return (x.nanoseconds, a.name) < (y.nanoseconds, b.name)
    }
    return items.sorted(by: isOlder)
  }
}
