import CLinux

/// Tells when something has happened in directories, inotify(7).
///
/// One inotify instance, of which there are few, does for any number of directories. What has
/// changed is not told: whoever is woken looks for himself.
public struct DirectoryWatch: ~Copyable, Sendable {
  /// What has happened.
  public struct Changes: OptionSet, Sendable {
    /// The bits.
    public let rawValue: UInt8
    /// Wraps bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// An entry of a directory changed in a way that is of interest.
    public static let entries = Changes(rawValue: 1)
    /// A directory itself was removed, moved or unmounted, so what is at its path now is not
    /// watched (IN_DELETE_SELF, IN_MOVE_SELF, IN_UNMOUNT, IN_IGNORED).
    public static let gone = Changes(rawValue: 2)
    /// More happened than the kernel keeps (IN_Q_OVERFLOW): anything may have changed.
    public static let overflow = Changes(rawValue: 4)
  }

  /// What of a directory is of interest, beside its own end.
  public enum Interest: Equatable, Sendable {
    /// Files that are renamed into it (IN_MOVED_TO): not what is made or written there, nor what
    /// leaves.
    case arrivals
    /// Every entry that comes, goes, or was written and closed.
    case everything
    /// The same of entries with these names; perhaps of none.
    case names(Set<String>)
  }

  private let inotify: FileDescriptor
  private var places: Places
  /// What is watched, by the kernel's number of it.
  private var watches: [Int32: Interest] = [:]

  /// The bytes of `struct inotify_event` before its name.
  private static let headSize = 16

  /// Watches nothing yet; fails when there are no instances left (EMFILE).
  public init() throws(SystemError) {
    inotify = try Self.instance()
    places = Places()
  }

  /// Starts to watch the arrivals in a directory; a symbolic link in its place is an error.
  public init(_ path: String) throws(SystemError) {
    let descriptor = try Self.instance()
    watches = [try Self.add(path, .arrivals, to: descriptor.rawValue): .arrivals]
    inotify = descriptor
    places = Places()
    places.add(path, .arrivals)
  }

  private static func instance() throws(SystemError) -> FileDescriptor {
    FileDescriptor(
      adopting: try retrying("inotify_init", "") { inotify_init1(cl_INOTIFY_FLAGS) })
  }

  /// Readable while something has happened that was not drained; the same number as long as
  /// this value lives.
  public var descriptor: Int32 { inotify.rawValue }

  /// Whether something has happened that was not drained.
  public var hasChanges: Bool {
    var entry = pollfd(fd: inotify.rawValue, events: Int16(POLLIN), revents: 0)
    return unsafe poll(&entry, 1, 0) != 0
  }

  /// Takes everything that has happened.
  public func drain() -> Changes {
    var changes: Changes = []
    // Bounded, so that somebody who changes the directory all the time cannot keep the caller here.
    for _ in 0..<256 {
      var bytes: [UInt8] = []
      guard let count = try? Descriptor.read(inotify.rawValue, into: &bytes, limit: 16_384),
        count > 0
      else { break }
      changes.formUnion(Self.changes(in: bytes, of: watches))
    }
    return changes
  }

  /// Watches what is at the paths now, in place of what was there before.
  ///
  /// - Throws: the first error; then some of them may not be watched.
  public mutating func renew() throws(SystemError) {
    for number in watches.keys { _ = inotify_rm_watch(inotify.rawValue, number) }
    watches = [:]
    for (path, interest) in places.list {
      watches[try Self.add(path, interest, to: inotify.rawValue)] = interest
    }
  }

  /// Watches these places, and no others any more.
  ///
  /// What is watched already stays so without a gap.
  ///
  /// - Returns: whether something is watched that was not before, or has gone meanwhile: what was
  ///   seen there is not reliable.
  /// - Throws: the first error, ENOSPC for too many; the other places are watched.
  public mutating func watch(_ new: Places) throws(SystemError) -> Bool {
    var next: [Int32: Interest] = [:]
    var failure: SystemError?
    var isNew = false
    for (path, interest) in new.list {
      do throws(SystemError) {
        let number = try Self.add(path, interest, to: inotify.rawValue)
        // One directory under two paths has one number, and the last mask.
        let whole = next[number]?.union(interest) ?? interest
        if whole != interest { _ = try Self.add(path, whole, to: inotify.rawValue) }
        next[number] = whole
      } catch {
        switch error.errno {
        case .noEntry, .notDirectory, .loop: isNew = true
        default: failure = failure ?? error
        }
      }
    }
    for number in watches.keys where next[number] == nil {
      _ = inotify_rm_watch(inotify.rawValue, number)
    }
    isNew = isNew || next.contains { watches[$0.key] != $0.value }
    (places, watches) = (new, next)
    if let failure { throw failure }
    return isNew
  }

  private static func add(
    _ path: String, _ interest: Interest, to inotify: Int32
  ) throws(SystemError) -> Int32 {
    let mask = interest.mask | cl_IN_GONE_SELF | cl_IN_DIRECTORY
    return try retrying("inotify_add_watch", path) {
      unsafe inotify_add_watch(inotify, path, mask)
    }
  }

  /// What a block of events says of some watches; those of older watches say nothing any more.
  static func changes(in bytes: [UInt8], of watches: [Int32: Interest]) -> Changes {
    var changes: Changes = []
    var at = 0
    while bytes.count - at >= headSize {
      func word(_ offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[at + offset + $1]) << UInt32(8 * $1) }
      }
      let (own, mask) = (Int32(bitPattern: word(0)), word(4))
      let rest = bytes.count - at - headSize
      let length = min(rest, Int(clamping: word(12)))
      if mask & cl_IN_OVERFLOW != 0 { changes.insert(.overflow) }
      if let interest = watches[own] {
        let name = bytes[(at + headSize)..<(at + headSize + length)]
        if mask & interest.mask != 0, interest.covers(name) { changes.insert(.entries) }
        if mask & cl_IN_GONE != 0 { changes.insert(.gone) }
      }
      at += headSize + length
    }
    return changes
  }
}

extension DirectoryWatch.Interest {
  /// What the kernel is asked for.
  fileprivate var mask: UInt32 {
    switch self {
    case .arrivals: cl_IN_ARRIVED
    case .everything: cl_IN_CHANGED
    case .names(let names): names.isEmpty ? 0 : cl_IN_CHANGED
    }
  }

  /// Whether an event's name, which ends with zeros, is of interest.
  fileprivate func covers(_ name: ArraySlice<UInt8>) -> Bool {
    guard case .names(let names) = self else { return true }
    return names.contains(String(decoding: name.prefix { $0 != 0 }, as: UTF8.self))
  }

  /// All that is of interest to one of two.
  func union(_ other: Self) -> Self {
    if self == other { return self }
    guard case .names(let own) = self, case .names(let more) = other else { return .everything }
    return .names(own.union(more))
  }
}
