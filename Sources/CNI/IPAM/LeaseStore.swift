import Addresses
import Linux

/// Exclusive access to one network's directory of leases, in the reference plugin's format.
///
/// There is one file per address (its text is the name, `<container id>\r\n<ifname>` the content),
/// `last_reserved_ip.<range set>` and `lock`. While this value lives it holds the lock, flock(2),
/// which keeps out the reference plugin and everybody else. An address belongs to whoever creates
/// its file, exclusively; nothing else counts.
///
/// A lease is written to a temporary file first and gets its name by link(2): a process that dies
/// leaves the whole lease or none. The temporary file has one fixed name and means nothing outside
/// the lock, so whoever takes the lock next removes it.
struct LeaseStore: ~Copyable {
  static let temporaryName = ".cnid.tmp"
  static let lastPrefix = "last_reserved_ip."
  /// No plugin writes a longer address file; one that is longer belongs to nobody.
  private static let contentLimit = 4096
  /// How often a directory that somebody keeps removing is made again.
  private static let makeTries = 8

  let directory: String
  private let lock: FileLock
  private let cache: LeaseCache
  private let deadline: Deadline
  private var index = LeaseIndex()
  /// The directory's state that `index` is proven for; nil once something was changed or read.
  private var stamp: DirectoryStamp?
  /// Whether every file was read since the lock was taken.
  private(set) var isFresh = false

  /// Takes the lock of a directory.
  ///
  /// - Parameters:
  ///   - directory: the network's directory.
  ///   - create: whether to make a missing one.
  ///   - cache: what is remembered of it.
  ///   - deadline: how long to try.
  /// - Returns: nil for a missing directory that is not to be made.
  /// - Throws: `timedOut`, `cancelled`, or the error of making, locking or reading it.
  static func open(
    _ directory: String, create: Bool, cache: LeaseCache, deadline: Deadline
  ) throws(SystemError) -> LeaseStore? {
    var tries = 0
    while true {
      do throws(SystemError) {
        let lock = try FileLock.take(directory + "/lock", deadline: deadline)
        return try LeaseStore(directory, lock, cache, deadline)
      } catch {
        guard error.errno == .noEntry, tries < makeTries else { throw error }
        if !create { return nil }
      }
      tries += 1
      try Files.makeDirectories(directory, permissions: 0o755)
    }
  }

  private init(
    _ directory: String, _ lock: consuming FileLock, _ cache: LeaseCache, _ deadline: Deadline
  ) throws(SystemError) {
    self.directory = directory
    self.lock = lock
    self.cache = cache
    self.deadline = deadline
    let now = try Files.stamp(directory)
    if let known = cache.take(directory, now) {
      index = known
      stamp = now
    } else {
      try readDirectory()
    }
    if try Files.removeIfPresent(path(LeaseStore.temporaryName)) { stamp = nil }
  }

  /// Keeps what is known in the cache, and releases the lock.
  ///
  /// Leaving it out is safe: the directory is then read again next time.
  consuming func close() {
    guard let proven = stamp ?? (try? mark()) else { return }
    cache.put(directory, proven, index)
  }

  /// Gives the directory a time that no later change of an entry, whoever makes it, can leave
  /// behind.
  private func mark() throws(SystemError) -> DirectoryStamp {
    let now = KernelClock.real
    let past = FileTime(
      seconds: Int(now / 1_000_000_000) - 1, nanoseconds: Int(now % 1_000_000_000))
    return try Files.stamp(directory, modified: past)
  }

  private func path(_ name: String) -> String { "\(directory)/\(name)" }
}

// Looks without the lock.
extension LeaseStore {
  /// The addresses that have a file; none if the directory cannot be read.
  static func names(in directory: String) -> Set<IPAddress> {
    Set(((try? Files.list(directory)) ?? []).compactMap { IPAddress($0) })
  }

  /// Whether the file of an address is empty or has gone.
  static func isEmpty(_ address: IPAddress, in directory: String) -> Bool {
    ((try? Files.status("\(directory)/\(address)"))?.size ?? 0) == 0
  }
}

extension LeaseStore {
  /// Whether an address has no file, or one whose lease a power cut took.
  ///
  /// A hint: ``claim(_:for:)`` has the last word.
  func isFree(_ address: IPAddress) -> Bool {
    !index.taken.contains(address) || index.lost.contains(address)
  }

  /// How many addresses have a file.
  var count: Int { index.count }

  /// The addresses whose file is empty, lowest first: a plugin died between making and writing it.
  var abandoned: [IPAddress] { index.empty.sorted() }

  /// The addresses whose files have this content, lowest first; every file named was just read.
  ///
  /// - Parameter content: the content without white space at its ends.
  /// - Returns: the addresses.
  /// - Throws: the error of reading the directory.
  mutating func addresses(with content: [UInt8]) throws(SystemError) -> [IPAddress] {
    let known = index.candidates(content)
    let found = try having(content, among: known)
    if found.count == known.count { return found }
    // Somebody edited a file in place, which no stamp shows.
    try refresh()
    return try having(content, among: index.candidates(content))
  }

  private func having(
    _ content: [UInt8], among addresses: [IPAddress]
  ) throws(SystemError) -> [IPAddress] {
    var found: [IPAddress] = []
    for address in addresses where try self.content(of: address) == content {
      found.append(address)
    }
    return found
  }

  /// Whether an address file was written before the machine was started.
  func isOfAnotherBoot(_ address: IPAddress) -> Bool {
    (try? Files.isOfAnotherBoot(path("\(address)"))) == true
  }

  /// Reads every address file unless that was done since the lock was taken.
  mutating func refresh() throws(SystemError) {
    if !isFresh { try readDirectory() }
  }

  /// Every address file with its content, read now, lowest address first.
  mutating func everything() throws(SystemError) -> [(address: IPAddress, content: [UInt8])] {
    try refresh()
    var found: [(address: IPAddress, content: [UInt8])] = []
    for address in index.taken.sorted() {
      if let content = try content(of: address) { found.append((address, content)) }
    }
    return found
  }

  /// Reads every address file and forgets what was remembered.
  private mutating func readDirectory() throws(SystemError) {
    index = LeaseIndex()
    stamp = nil
    for (number, name) in (try Files.list(directory)).enumerated() {
      if number % 256 == 0 { try deadline.check("read", directory) }
      // Also passes over `lock` and `last_reserved_ip.0`.
      guard let address = IPAddress(name), address.description == name else { continue }
      let content = try content(of: address)
      let isLost = content == [] && isOfAnotherBoot(address)
      index.insert(address, content, isLost: isLost)
    }
    isFresh = true
  }

  /// The content of an address file without white space at its ends; nil if it is gone, or no
  /// file that can be read.
  ///
  /// - Throws: an error that says nothing about the file: it must not make a lease nobody's.
  func content(of address: IPAddress) throws(SystemError) -> [UInt8]? {
    do throws(SystemError) {
      return LeaseOwner.trimmed(
        try Files.read(path("\(address)"), limit: LeaseStore.contentLimit))
    } catch {
      if error.isTransient { throw error }
      return nil
    }
  }

  /// The address that a range set gave last; nil if that is not known.
  func lastReserved(_ set: Int) -> IPAddress? {
    guard let bytes = try? Files.read(path("\(LeaseStore.lastPrefix)\(set)"), limit: 256) else {
      return nil
    }
    return IPAddress(String(decoding: LeaseOwner.trimmed(bytes), as: UTF8.self))
  }
}

/// Changing leases; every function here needs the permit of the attachment whose leases they are.
extension LeaseStore {
  /// Creates a complete address file, unless the address has one.
  ///
  /// - Parameters:
  ///   - address: the address.
  ///   - owner: who gets it.
  ///   - permit: the proof that its release was recorded.
  /// - Returns: false if the address has a file.
  /// - Throws: the error of creating or writing the file. Then there is no file.
  mutating func claim(
    _ address: IPAddress, for owner: LeaseOwner, _ permit: borrowing Permit
  ) throws(SystemError) -> Bool {
    if index.lost.contains(address), try !reclaim(address, permit) { return false }
    stamp = nil
    let isMine = try LeaseStore.create(
      path("\(address)"), owner.content, through: path(LeaseStore.temporaryName))
    // A file that was not known belongs to a program that does not take the lock.
    index.insert(address, isMine ? owner.content : nil)
    if isMine { cache.keeper?.note(path("\(address)")) }
    return isMine
  }

  /// Removes the empty file of an address, so that the address can be had again.
  ///
  /// - Parameters:
  ///   - address: one of ``abandoned``.
  ///   - permit: the proof that the address's next owner was recorded.
  /// - Returns: whether the file was still empty.
  /// - Throws: the error of removing it.
  mutating func reclaim(
    _ address: IPAddress, _ permit: borrowing Permit
  ) throws(SystemError) -> Bool {
    guard try content(of: address) == [] else { return false }
    try remove(address, [], permit)
    return true
  }

  /// Removes an address file.
  ///
  /// - Parameters:
  ///   - address: its address.
  ///   - content: its trimmed content.
  ///   - permit: the proof that this is wanted.
  /// - Throws: the error of unlink(2). A file that has gone is no error.
  mutating func remove(
    _ address: IPAddress, _ content: [UInt8], _ permit: borrowing Permit
  ) throws(SystemError) {
    stamp = nil
    try Files.removeIfPresent(path("\(address)"))
    index.remove(address, content)
    cache.keeper?.note(path("\(address)"))
  }

  /// Notes the address that a range set gave last; only a hint, so failing is no error.
  func noteLast(_ address: IPAddress, of set: Int, _ permit: borrowing Permit) {
    try? Files.overwrite(path("\(LeaseStore.lastPrefix)\(set)"), Array("\(address)".utf8))
  }

  /// Creates a file that is either whole or absent, unless there is one of that name.
  ///
  /// - Parameters:
  ///   - path: its path.
  ///   - content: its content.
  ///   - temporary: a name in the same directory that only the holder of the lock uses.
  /// - Returns: false if there is a file.
  /// - Throws: the error of making or writing it.
  static func create(
    _ path: String, _ content: [UInt8], through temporary: String
  ) throws(SystemError) -> Bool {
    do throws(SystemError) {
      try Files.write(
        temporary, content, mode: [.write, .create, .exclusive, .noFollow], permissions: 0o600)
      defer { try? Files.remove(temporary) }
      try Files.link(temporary, path)
      return true
    } catch {
      switch error.errno {
      case .exists where error.operation == "link": return false
      // File systems without hard links.
      case .notPermitted where error.operation == "link":
        return try createInPlace(path, content)
      case .notSupported where error.operation == "link":
        return try createInPlace(path, content)
      default:
        // Also removes what a full disk left half written.
        try? Files.remove(temporary)
        throw error
      }
    }
  }

  /// Creates a file as the reference does: a process that dies before it is written
  /// leaves it empty.
  private static func createInPlace(
    _ path: String, _ content: [UInt8]
  ) throws(SystemError) -> Bool {
    do throws(SystemError) {
      try Files.write(
        path, content, mode: [.write, .create, .exclusive, .noFollow], permissions: 0o600)
      return true
    } catch {
      if error.errno == .exists, error.operation == "open" { return false }
      try? Files.remove(path)
      throw error
    }
  }
}
