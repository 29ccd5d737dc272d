import Addresses
package import Linux

/// What is known of lease directories since they were last seen.
///
/// `host-local` must find a container's leases by their files' contents. The reference reads every
/// file for each ADD and DEL. Here the contents are remembered together with the directory's stamp:
/// under the directory's lock an equal stamp proves that no entry was created or removed since, by
/// whatever program. Any other stamp means reading the directory again, so forgetting is always
/// safe, and a daemon starts with nothing.
package final class LeaseCache: Sendable {
  /// The process's own; a directory is remembered once.
  package static let shared = LeaseCache(keeper: .shared)

  private struct Entry {
    let stamp: DirectoryStamp
    let index: LeaseIndex
  }

  private struct State {
    var entries: [String: Entry] = [:]
    /// Directories, the one used last at the end.
    var order: [String] = []
  }

  private let state = Mutex(State())
  private let limit: Int
  /// Sends address files to the disk; nil leaves that to the kernel.
  let keeper: Keeper?

  /// Creates an empty cache.
  ///
  /// - Parameters:
  ///   - limit: how many addresses are remembered, over all directories; about 150 bytes
  ///     each.
  ///   - keeper: sends address files to the disk; nil leaves that to the kernel.
  package init(limit: Int = 131_072, keeper: Keeper? = nil) {
    self.limit = limit
    self.keeper = keeper
  }

  /// Hands out what is known of a directory, and forgets it: the holder of the lock may change it.
  ///
  /// - Parameters:
  ///   - directory: the directory.
  ///   - stamp: its state now.
  /// - Returns: nil if nothing is known or the state is another one.
  func take(_ directory: String, _ stamp: DirectoryStamp) -> LeaseIndex? {
    state.withLock { state in
      state.order.removeAll { $0 == directory }
      guard let entry = state.entries.removeValue(forKey: directory), entry.stamp == stamp else {
        return nil
      }
      return entry.index
    }
  }

  /// The addresses that a directory is known to have; it stays known.
  func peek(_ directory: String, _ stamp: DirectoryStamp) -> Set<IPAddress>? {
    state.withLock { state in
      guard let entry = state.entries[directory], entry.stamp == stamp else { return nil }
      return entry.index.taken
    }
  }

  /// Remembers a directory, and forgets those used longest ago if there are too many addresses.
  ///
  /// - Parameters:
  ///   - directory: the directory.
  ///   - stamp: its state, which no later change of an entry can leave behind.
  ///   - index: what it holds.
  func put(_ directory: String, _ stamp: DirectoryStamp, _ index: LeaseIndex) {
    state.withLock { state in
      state.entries[directory] = Entry(stamp: stamp, index: index)
      state.order.removeAll { $0 == directory }
      state.order.append(directory)
      var total = state.entries.values.reduce(0) { $0 + $1.index.count }
      while total > limit || state.order.count > 64, let oldest = state.order.first {
        state.order.removeFirst()
        total -= state.entries.removeValue(forKey: oldest)?.index.count ?? 0
      }
    }
  }
}
