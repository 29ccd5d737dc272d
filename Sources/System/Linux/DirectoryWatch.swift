import CLinux

/// Tells when files have come into a directory, inotify(7).
///
/// Only whole files count: what is renamed into the directory, not what is made or written there,
/// nor what leaves. The names do not matter: whoever is woken lists the directory.
public struct DirectoryWatch: ~Copyable, Sendable {
  /// What has happened.
  public struct Changes: OptionSet, Sendable {
    /// The bits.
    public let rawValue: UInt8
    /// Wraps bits.
    public init(rawValue: UInt8) { self.rawValue = rawValue }
    /// An entry came by a rename (IN_MOVED_TO).
    public static let entries = Changes(rawValue: 1)
    /// The directory itself was removed, moved or unmounted, so nothing is watched until `renew`
    /// (IN_DELETE_SELF, IN_MOVE_SELF, IN_UNMOUNT, IN_IGNORED).
    public static let gone = Changes(rawValue: 2)
    /// More happened than the kernel keeps (IN_Q_OVERFLOW): anything may have changed.
    public static let overflow = Changes(rawValue: 4)
  }

  /// The directory.
  public let path: String
  private let inotify: FileDescriptor
  private var watch: Int32

  /// The bytes of `struct inotify_event` before its name.
  private static let headSize = 16

  /// Starts to watch a directory; a symbolic link in its place is an error.
  public init(_ path: String) throws(SystemError) {
    let descriptor = FileDescriptor(
      adopting: try retrying("inotify_init", path) { inotify_init1(cl_INOTIFY_FLAGS) })
    watch = try Self.add(path, to: descriptor.rawValue)
    inotify = descriptor
    self.path = path
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
      changes.formUnion(Self.changes(in: bytes, of: watch))
    }
    return changes
  }

  /// Watches what is at the path now, in place of what was there before.
  public mutating func renew() throws(SystemError) {
    if watch >= 0 { _ = inotify_rm_watch(inotify.rawValue, watch) }
    watch = -1
    watch = try Self.add(path, to: inotify.rawValue)
  }

  private static func add(_ path: String, to inotify: Int32) throws(SystemError) -> Int32 {
    let mask = cl_IN_ARRIVED | cl_IN_GONE_SELF | cl_IN_DIRECTORY
    return try retrying("inotify_add_watch", path) {
      unsafe inotify_add_watch(inotify, path, mask)
    }
  }

  /// What a block of events says of one watch; those of an older watch say nothing any more.
  static func changes(in bytes: [UInt8], of watch: Int32) -> Changes {
    var changes: Changes = []
    var at = 0
    while bytes.count - at >= headSize {
      func word(_ offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(bytes[at + offset + $1]) << UInt32(8 * $1) }
      }
      let (own, mask) = (Int32(bitPattern: word(0)), word(4))
      if mask & cl_IN_OVERFLOW != 0 { changes.insert(.overflow) }
      if own == watch {
        if mask & cl_IN_ARRIVED != 0 { changes.insert(.entries) }
        if mask & cl_IN_GONE != 0 { changes.insert(.gone) }
      }
      let rest = bytes.count - at - headSize
      at += headSize + min(rest, Int(clamping: word(12)))
    }
    return changes
  }
}
