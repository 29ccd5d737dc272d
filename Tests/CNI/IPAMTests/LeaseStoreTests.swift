import CNI
import TestSupport
import Testing

@testable import IPAM
@_spi(Journal) import Linux

@Suite("The lease directory: whole leases, one lock, and what is remembered")
struct LeaseStoreTests {
  private static let subnet = #"{"subnet":"10.1.2.0/29"}"#
  private let leases: Leases

  init() throws { leases = try Leases() }

  /// Whether the next to take the lock has to read every file.
  private static func readsEverything(_ leases: Leases) throws -> Bool? {
    guard
      let store = try LeaseStore.open(
        leases.directory("net"), create: false, cache: leases.cache, deadline: .after(seconds: 20))
    else { return nil }
    let isFresh = store.isFresh
    store.close()
    return isFresh
  }

  // MARK: Dead writers

  @Test("A temporary file that a killed process left is no lease and is removed")
  func leftTemporary() throws {
    for content in ["", "de", "dead\r\neth0"] {
      try leases.write(LeaseStore.temporaryName, content)
      #expect(try leases.addresses(Self.subnet, "a").count == 1)
      #expect(!leases.leases.contains(LeaseStore.temporaryName))
      try leases.write(LeaseStore.temporaryName, content)
      try leases.delete(Self.subnet, "a")
      #expect(leases.leases == [])
    }
  }

  @Test("A temporary file that already has an address as its second name keeps that lease whole")
  func linkedTemporary() throws {
    try leases.write(LeaseStore.temporaryName, "dead\r\neth0")
    try Files.link(leases.path(LeaseStore.temporaryName), leases.path("10.1.2.2"))
    #expect(try leases.addresses(Self.subnet, "a") == ["10.1.2.3/29"])
    #expect(leases.content("10.1.2.2") == "dead\r\neth0")
    try leases.delete(Self.subnet, "dead")
    #expect(leases.leases == ["10.1.2.3"])
  }

  @Test("A process killed at any moment leaves whole leases only, and others go on at once")
  func killed() async throws {
    for round in 0..<6 {
      let (path, pause) = (leases.directory.path, 40 + 17 * round)
      await #expect(processExitsWith: .signal(9)) {
        [path = path as String, pause = pause as Int] in
        let text = """
          {"name":"net","ipam":{"type":"host-local","dataDir":"\(path)","subnet":"10.1.0.0/16"}}
          """
        let configuration = try NetworkConfiguration(Array(text.utf8))
        // Far longer than the pause.
        for number in 0..<1_000_000 {
          let driver = HostLocal(
            IPAMCall(
              containerID: "killed-\(pause)-\(number)", ifName: "eth0",
              configuration: configuration, allowedPaths: [path], deadline: .after(seconds: 60)))
          _ = try driver.add(Permit())
          if number == 0 {
            // Not before: on a busy machine there might be no lease at all.
            try OSThread.start {
              Clock.pause(milliseconds: pause)
              try? Signal.kill.send(to: Process.pid)
            }
          }
          if number % 2 == 0 { try driver.delete(Permit()) }
        }
      }
      for name in leases.leases where name != LeaseStore.temporaryName {
        #expect(
          leases.content(name)?.contains(/^(killed-\d+-\d+|next-\d)\r\neth0$/) == true, "\(name)")
      }
      _ = try leases.add(#"{"subnet":"10.1.0.0/16"}"#, "next-\(round)")
      #expect(!leases.leases.contains(LeaseStore.temporaryName))
    }
    // On a busy machine the first of them may die before its first lease.
    #expect(leases.leases.count > 6)
  }

  // MARK: Empty files

  @Test("An empty address file, as a killed reference plugin leaves it, is passed over at first")
  func emptyPassedOver() throws {
    try leases.write("10.1.2.2", "")
    #expect(try leases.addresses(Self.subnet, "a") == ["10.1.2.3/29"])
    #expect(leases.content("10.1.2.2") == "")
  }

  @Test("An empty address file is taken over when the set has nothing else left")
  func emptyReclaimed() throws {
    try leases.write("10.1.2.4", "\r\n")
    try leases.write("10.1.2.1", "")
    let ids = ["a", "b", "c", "d", "e"]
    let given = try ids.flatMap { try leases.addresses(Self.subnet, $0) }
    #expect(
      given == ["10.1.2.2/29", "10.1.2.3/29", "10.1.2.5/29", "10.1.2.6/29", "10.1.2.4/29"])
    #expect(leases.content("10.1.2.4") == "e\r\neth0")
    // The gateway's file is nobody's business.
    #expect(try leases.failure(Self.subnet, "f") != nil)
    #expect(leases.content("10.1.2.1") == "")
  }

  @Test("An empty address file of before this boot is free: a power cut took its content")
  func emptyOfAnotherBoot() throws {
    for name in ["10.1.2.2", "10.1.2.3"] { try leases.write(name, "") }
    _ = try Files.stamp(leases.path("10.1.2.2"), modified: FileTime(seconds: 1, nanoseconds: 0))
    #expect(try leases.addresses(Self.subnet, "a") == ["10.1.2.2/29"])
    #expect(leases.content("10.1.2.2") == "a\r\neth0")
    #expect(try leases.addresses(Self.subnet, "b") == ["10.1.2.4/29"])
    try leases.delete(Self.subnet, "a")
    #expect(!leases.leases.contains("10.1.2.2"))
  }

  @Test("An empty address file is taken over when its address is requested")
  func emptyRequested() throws {
    try leases.write("10.1.2.4", "")
    #expect(try leases.addresses(Self.subnet, "a", arguments: "IP=10.1.2.4") == ["10.1.2.4/29"])
    #expect(leases.content("10.1.2.4") == "a\r\neth0")
  }

  @Test("A file with any word in it is never taken over")
  func reserved() throws {
    for last in 2...6 { try leases.write("10.1.2.\(last)", "reserved") }
    #expect(
      try leases.failure(Self.subnet, "a")?.message
        == "failed to allocate for range 0: no IP addresses available in range set: "
        + "10.1.2.1-10.1.2.6 (5 leases in \(leases.directory("net")))")
    #expect(try leases.failure(Self.subnet, "a", arguments: "IP=10.1.2.4") != nil)
    #expect(leases.content("10.1.2.4") == "reserved")
  }

  @Test("A directory, a large file and a dangling link named like an address are taken")
  func strangeEntries() throws {
    try Files.makeDirectories(leases.path("10.1.2.2"), permissions: 0o755)
    try leases.write("10.1.2.3", String(repeating: "x", count: 100_000))
    #expect(try Program.runBlocking(["ln", "-s", "/no/such", leases.path("10.1.2.4")]).succeeded)
    #expect(try leases.addresses(Self.subnet, "a") == ["10.1.2.5/29"])
    try leases.delete(Self.subnet, "a")
    #expect(try Files.list(leases.directory("net")).contains("10.1.2.4"))
  }

  // MARK: What is remembered

  @Test("After an ADD or DEL of this process the files are not read again")
  func remembered() throws {
    _ = try leases.add(Self.subnet, "a")
    #expect(try Self.readsEverything(leases) == false)
    _ = try leases.add(Self.subnet, "b")
    try leases.delete(Self.subnet, "a")
    #expect(try Self.readsEverything(leases) == false)
    #expect(try leases.failure(Self.subnet, "b") != nil)
    #expect(try Self.readsEverything(leases) == false)
  }

  @Test("Every entry that another program makes, removes or renames is noticed, however soon")
  func foreignChanges() async throws {
    let leases = leases
    let missed = try await onThread {
      var missed: [String] = []
      func look(_ what: String) throws {
        if try Self.readsEverything(leases) != true { missed.append(what) }
      }
      for round in 0..<200 {
        _ = try leases.add(Self.subnet, "a")
        try leases.write("10.9.2.6", "b\r\neth0")
        try look("made, \(round)")
        try leases.delete(Self.subnet, "a")
        try Files.remove(leases.path("10.9.2.6"))
        try look("removed, \(round)")
        try leases.write("10.9.2.6", "b\r\neth0")
        try look("made again, \(round)")
        try Files.rename(leases.path("10.9.2.6"), leases.path("10.9.2.5"))
        try look("renamed, \(round)")
        try leases.delete(Self.subnet, "b")
      }
      return missed
    }
    #expect(missed == [])
  }

  @Test("Two processes with memories of their own see each other's leases at once")
  func twoMemories() async throws {
    let (leases, other) = (leases, try leases.otherProcess())
    let wrong = try await onThread {
      try (0..<100).filter { _ in
        let mine = try leases.addresses(Self.subnet, "a")
        let isRefused = try other.failure(Self.subnet, "a") != nil
        let theirs = try other.addresses(Self.subnet, "b")
        try other.delete(Self.subnet, "a")
        try leases.delete(Self.subnet, "b")
        return !isRefused || mine == theirs || !leases.leases.isEmpty
      }
    }
    #expect(wrong == [])
  }

  @Test("A lease file edited in place is found by DEL and CHECK")
  func editedInPlace() throws {
    _ = try leases.add(Self.subnet, "a")
    try Files.write(leases.path("10.1.2.2"), Array("b\r\neth0".utf8), mode: [.write, .truncate])
    try leases.check(Self.subnet, "b")
    #expect(throws: CNIError.self) { try leases.check(Self.subnet, "a") }
    // What is remembered says that this is a's.
    _ = try leases.add(Self.subnet, "c")
    try Files.write(leases.path("10.1.2.2"), Array("d\r\neth0".utf8), mode: [.write, .truncate])
    try leases.delete(Self.subnet, "d")
    #expect(leases.leases == ["10.1.2.3"])
  }

  @Test("A directory that was emptied or removed is begun anew")
  func removedDirectory() throws {
    _ = try leases.add(Self.subnet, "a")
    TemporaryDirectory.removeTree(leases.directory("net"))
    try leases.delete(Self.subnet, "a")
    #expect(try leases.addresses(Self.subnet, "a") == ["10.1.2.2/29"])
    for name in try Files.list(leases.directory("net")) { try Files.remove(leases.path(name)) }
    #expect(try leases.addresses(Self.subnet, "a") == ["10.1.2.2/29"])
  }

  @Test("A cache forgets the directories used longest ago when it has too many addresses")
  func boundedCache() throws {
    let cache = LeaseCache(limit: 10)
    var networks: [Leases] = []
    for _ in 0..<4 {
      let leases = try Leases(cache: cache)
      for number in 0..<4 { _ = try leases.add(#"{"subnet":"10.1.2.0/24"}"#, "id\(number)") }
      networks.append(leases)
    }
    #expect(try networks.map { try Self.readsEverything($0) } == [true, true, true, true])
    // Asking made the last two known again.
    #expect(try Self.readsEverything(networks[3]) == false)
    #expect(try Self.readsEverything(networks[2]) == false)
  }

  // MARK: The lock and the disk

  @Test("The lock is waited for, and the deadline ends the waiting with code 105")
  func lockHeld() async throws {
    _ = try leases.add(Self.subnet, "a")
    let leases = leases
    let (code, waited) = try await onThread { () throws -> (CNIErrorCode?, UInt64) in
      let lock = try FileLock.take(leases.path("lock"), deadline: .after(seconds: 5))
      let start = KernelClock.monotonic
      var call = try leases.call(leases.configuration(Self.subnet), "b")
      call.deadline = .after(milliseconds: 150)
      var code: CNIErrorCode?
      do throws(CNIError) { _ = try HostLocal(call).add(Permit()) } catch { code = error.code }
      _ = consume lock
      return (code, KernelClock.monotonic - start)
    }
    #expect(code == .deadline)
    #expect(waited >= 150_000_000)
    #expect(waited < 10_000_000_000 * UInt64(Program.patience))
    #expect(leases.leases == ["10.1.2.2"])
  }

  @Test("A lock that is given back in time lets the call go on")
  func lockGivenBack() async throws {
    _ = try leases.add(Self.subnet, "a")
    let leases = leases
    let addresses = try await onThread { () throws -> [String] in
      let path = leases.path("lock")
      let isHeld = Locked(false)
      try OSThread.start {
        let lock = try? FileLock.take(path, deadline: .after(seconds: 5))
        isHeld.withLock { $0 = true }
        Clock.pause(milliseconds: 100)
        _ = consume lock
      }
      while !isHeld.value { Clock.pause(milliseconds: 1) }
      return try leases.addresses(Self.subnet, "b")
    }
    #expect(addresses == ["10.1.2.3/29"])
  }

  @Test("A data directory that cannot be one is an error of the disk, code 5")
  func noDirectory() throws {
    try Files.write(leases.directory("file"), [], mode: [.write, .create])
    let error = try leases.failure(
      #"{"subnet":"10.1.2.0/24","dataDir":"\#(leases.directory("file"))"}"#)
    #expect(error?.code == .ioFailure)
    #expect(error?.message.contains("ENOTDIR") == true)
  }

  @Test("A directory whose lock file cannot be made ends in an error, not in a loop")
  func danglingLock() throws {
    try Files.makeDirectories(leases.directory("net"), permissions: 0o755)
    #expect(try Program.runBlocking(["ln", "-s", "/no/such/lock", leases.path("lock")]).succeeded)
    #expect(try leases.failure(Self.subnet)?.code == .ioFailure)
  }

  @Test("On a full disk ADD fails with code 5 and leaves nothing, and DEL works")
  func fullDisk() async throws {
    let outcome = try await onSmallDisk { leases in
      var seen = [try leases.addresses(Self.subnet, "a").joined()]
      let error = try leases.failure(Self.subnet, "b")
      seen.append("\(error?.code.rawValue ?? 0) \(error?.message.contains("ENOSPC") ?? false)")
      seen.append(leases.leases.joined(separator: " "))
      try leases.delete(Self.subnet, "a")
      seen.append(leases.leases.joined(separator: " "))
      return seen
    }
    #expect(outcome == ["10.1.2.2/29", "5 true", "10.1.2.2", ""])
  }

  @Test("On a read-only disk ADD and DEL fail with code 5, and nothing changes")
  func readOnlyDisk() async throws {
    let outcome = try await onSmallDisk { leases in
      _ = try leases.add(Self.subnet, "a")
      try TestMounts.makeReadOnly(leases.directory.path)
      var seen = ["\(try leases.failure(Self.subnet, "b")?.code.rawValue ?? 0)"]
      do {
        try leases.delete(Self.subnet, "a")
      } catch let error as CNIError {
        seen.append("\(error.code.rawValue)")
      }
      return seen + leases.leases
    }
    #expect(outcome == ["5", "5", "10.1.2.2"])
  }

  /// Runs a body with a data directory of two pages, mounted for its thread alone.
  private func onSmallDisk(
    _ body: @escaping @Sendable (Leases) throws -> [String]
  ) async throws -> [String] {
    let leases = leases
    return try await onThread {
      try TestMounts.mountTwoPages(on: leases.directory.path)
      return try body(leases)
    }
  }
}
