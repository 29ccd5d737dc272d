import CNI
import DaemonAPI
import Glibc
import Linux
import Records
import Testing
import TestSupport

@Suite("Spool")
struct SpoolTests {
  private let spool: SpoolFixture

  init() throws { spool = try SpoolFixture() }

  @Test("a missing directory is made, 0700, and is empty")
  func missing() throws {
    try Files.removeDirectory(spool.directory)
    let opened = try spool.open()
    #expect(try Files.status(spool.directory).permissions == 0o700)
    #expect(opened.scan() == [])
    #expect(opened.count == 0)
    #expect(opened.descriptors.count == 1)
    #expect(!opened.isReadable)
  }

  @Test("entries come in the order of their stamps, those of another boot first")
  func order() throws {
    let entries = [
      try spool.entry(300, "b", id: "1"), try spool.entry(100, "a", id: "2"),
      try spool.entry(900, "c", id: "3", boot: "other"), try spool.entry(200, "a", id: "4"),
      try spool.entry(100, "a", id: "0"), try spool.entry(.max, "d", id: "5"),
      try spool.entry(800, "c", id: "6", boot: "other"),
    ]
    for entry in entries { try spool.put(entry) }
    let opened = try spool.open()
    #expect(opened.scan().map(\.entry.requestID) == ["6", "3", "0", "2", "4", "1", "5"])
    #expect(opened.scan().map(\.containerID) == ["c", "c", "a", "a", "a", "b", "d"])
    #expect(opened.count == 7)
    #expect(opened.items("a").map(\.entry.requestID) == ["0", "2", "4"])
    #expect(opened.items("z") == [])
    #expect(opened.items(containerID: "a", ifName: "eth1") == [])
  }

  @Test("an entry that comes wakes the daemon; an ADD that finds it before does not swallow that")
  func arrival() throws {
    let opened = try spool.open()
    #expect(!opened.isReadable)
    try spool.put(try spool.entry(1))
    #expect(opened.isReadable)
    #expect(opened.items("c").count == 1)
    #expect(opened.isReadable)
    #expect(opened.scan().count == 1)
    #expect(!opened.isReadable)
    #expect(opened.scan().count == 1)
  }

  @Test("an entry that is removed is gone, whoever removed it")
  func removal() throws {
    for number in 1...3 { try spool.put(try spool.entry(UInt64(number), id: "\(number)")) }
    let opened = try spool.open()
    let items = opened.scan()
    opened.remove(items[0])
    #expect(spool.files == items.dropFirst().map(\.name))
    #expect(opened.items("c") == Array(items.dropFirst()))
    #expect(opened.count == 2)
    opened.remove(items[0])
    // Nobody is woken when an entry goes: the daemon's own removals would keep it busy.
    try Files.remove("\(spool.directory)/\(items[1].name)")
    #expect(!opened.isReadable)
    #expect(opened.scan() == [items[2]])
    #expect(opened.items("c") == [items[2]])
    #expect(opened.count == 1)
  }

  @Test("an entry that cannot be done is set aside under another name and never seen again")
  func refused() throws {
    try spool.put(try spool.entry(1))
    let opened = try spool.open()
    let item = try #require(opened.scan().first)
    opened.setAside(item, reason: "no \"plugin\"")
    #expect(spool.files == [item.name + ".refused"])
    #expect(opened.scan() == [])
    #expect(opened.count == 0)
    #expect(opened.damagedCount == 0)
    #expect(spool.log.contains("no \"plugin\""))
    opened.setAside(item, reason: "again")
    #expect(try spool.open().scan() == [])
  }

  /// What no shim writes, by name.
  static let foreign: [String: String] = [
    "README": "hello", "00000000000000000001-a.json": "{", "00000000000000000002-a.json": "",
    "00000000000000000003-a.json": "{}", "x.tmp": "",
    "00000000000000000004-a.json":
      #"{"version":-2,"requestID":"a","stamp":"b:4","env":{"CNI_COMMAND":"DEL"}}"#,
    "00000000000000000005-a.json":
      #"{"version":1,"requestID":"a","stamp":"b:6","env":{"CNI_COMMAND":"DEL","CNI_CONTAINERID":"c","CNI_IFNAME":"e"}}"#,
    "00000000000000000006-a.json":
      #"{"version":1,"requestID":"a","stamp":"b:6","env":{"CNI_COMMAND":"ADD","CNI_CONTAINERID":"c","CNI_IFNAME":"e"}}"#,
    "00000000000000000007-a.json":
      #"{"version":1,"requestID":"a","stamp":"b:7","env":{"CNI_COMMAND":"DEL","CNI_IFNAME":"e"}}"#,
    "00000000000000000008-a.json":
      #"{"version":1,"requestID":"a","stamp":"b:8","env":{"CNI_COMMAND":"DEL","CNI_CONTAINERID":"../x","CNI_IFNAME":"e"}}"#,
    "00000000000000000009-a.json":
      #"{"version":1,"requestID":"a","stamp":"b:9","env":{"CNI_COMMAND":"DEL","CNI_CONTAINERID":"c","CNI_IFNAME":"a/b"}}"#,
  ]

  @Test("what is no entry is set aside, counted and logged once; entries beside it are found")
  func damaged() throws {
    for (name, text) in Self.foreign { try spool.put(text, as: name) }
    let good = try spool.put(try spool.entry(1))
    let opened = try spool.open()
    #expect(opened.scan().map(\.name) == [good])
    #expect(opened.damagedCount == Self.foreign.count)
    #expect(spool.files == (Self.foreign.keys.map { $0 + ".damaged" } + [good]).sorted())
    _ = opened.scan()
    _ = opened.items("c")
    #expect(opened.damagedCount == Self.foreign.count)
    // A machine that has no watches left is another line.
    let lines = spool.log.split(separator: "\n").filter { $0.contains("set aside") }
    #expect(lines.count == Self.foreign.count, "\(spool.log)")
    #expect(try spool.open().damagedCount == 0)
  }

  static let newer = #"{"version":2,"requestID":"a","stamp":"b:4","env":{"CNI_COMMAND":"DEL"}}"#

  @Test("an entry that only a newer cnid understands stops the start and stays")
  func newerAtStart() throws {
    let name = "00000000000000000004-a.json"
    try spool.put(Self.newer, as: name)
    try spool.put(try spool.entry(1))
    let refusal = try #require(spool.refusal())
    #expect(refusal.contains("\(spool.directory)/\(name): spool entry of version 2"))
    #expect(refusal.contains("install a newer cnid, or move the file away"))
    #expect(spool.files.contains(name))
    try Files.remove("\(spool.directory)/\(name)")
    #expect(try spool.open().scan().count == 1)
  }

  @Test("one that comes while the daemon runs is left, with one warning; others are found")
  func newerLater() throws {
    let opened = try spool.open()
    let name = "00000000000000000004-a.json"
    try spool.put(Self.newer, as: name)
    let good = try spool.put(try spool.entry(1))
    for _ in 0..<3 { #expect(opened.scan().map(\.name) == [good]) }
    #expect(spool.told.lines.filter { $0.contains("waits for a newer cnid") }.count == 1)
    #expect(spool.files.contains(name))
    #expect(opened.damagedCount == 0)
  }

  @Test("a file whose name leaves no room for another one is counted once and stays")
  func stuck() throws {
    let name = String(repeating: "x", count: 255)
    try spool.put("", as: name)
    let opened = try spool.open()
    for _ in 0..<3 { #expect(opened.scan() == []) }
    #expect(opened.damagedCount == 1)
    #expect(spool.files == [name])
    try Files.remove("\(spool.directory)/\(name)")
    _ = opened.scan()
    try spool.put("", as: name)
    _ = opened.scan()
    #expect(opened.damagedCount == 2)
  }

  @Test("links, directories, pipes, sockets, files of others and oversized files are no entries")
  func foreignKinds() throws {
    let entry = try spool.entry(1)
    func path(_ number: Int) throws -> String {
      "\(spool.directory)/\(try spool.entry(UInt64(number)).fileName)"
    }
    try Files.write(spool.outer("secret"), entry.encoded(), mode: [.write, .create])
    #expect(unsafe symlink(spool.outer("secret"), try path(1)) == 0)
    #expect(unsafe symlink("/dev/zero", try path(2)) == 0)
    try Files.makeDirectory(try path(3))
    #expect(unsafe mkfifo(try path(4), 0o600) == 0)
    let listener = try UnixSocket.listen(try path(5))
    try spool.put(try spool.entry(6))
    #expect(unsafe chown(try path(6), 1000, 0) == 0)
    try spool.put(try spool.entry(7))
    try Files.setPermissions(try path(7), 0o622)
    try spool.put(try spool.entry(8))
    #expect(unsafe truncate(try path(8), off_t(SpoolEntry.sizeLimit + 1)) == 0)
    let opened = try spool.open()
    #expect(opened.scan() == [])
    #expect(opened.damagedCount == 8)
    #expect((try Files.list(spool.directory)).allSatisfy { $0.hasSuffix(".damaged") })
    #expect(try Files.read(spool.outer("secret")) == entry.encoded())
    _ = listener.rawValue
  }

  @Test("An entry whose stamp is later than now is of the moment at which it was first seen")
  func future() throws {
    let before = KernelClock.boot
    let entry = try spool.entry(before + 3_600_000_000_000)
    _ = try spool.put(entry)
    let opened = try spool.open()
    let seen = try #require(opened.scan().first)
    #expect((before...KernelClock.boot).contains(seen.entry.stamp.nanoseconds))
    #expect(opened.scan() == [seen] && seen.name == entry.fileName)
    opened.remove(seen)
    #expect(spool.files == [])
  }

  @Test("temporary files of dead shims are removed, those of living ones are left")
  func temporaryFiles() throws {
    let now = KernelClock.boot
    func name(_ nanoseconds: UInt64) throws -> String {
      let json = try spool.entry(nanoseconds).fileName
      return json.dropLast(5) + ".tmp"
    }
    let minute: UInt64 = 60 * 1_000_000_000
    let young = try name(now > minute ? now - minute : now)
    try spool.put("half", as: young)
    // Of a shim in another time namespace, and from another boot, whose clock was further.
    let ahead = try name(now + 50 * minute)
    try spool.put("half", as: ahead)
    let old = try name(now + 60 * minute)
    try spool.put("half", as: old)
    _ = try Files.stamp(
      "\(spool.directory)/\(old)", modified: FileTime(seconds: 1_000_000, nanoseconds: 0))
    if now > 6 * minute { try spool.put("half", as: try name(now - 6 * minute)) }
    let opened = try spool.open()
    #expect(opened.scan() == [])
    #expect(Set(spool.files) == [young, ahead])
    #expect(opened.damagedCount == 0)
  }

  @Test("five thousand entries are read, found by attachment and removed")
  func many() async throws {
    for index in 0..<5000 {
      try spool.put(try spool.entry(UInt64(5000 - index), "c\(index % 1000)", id: "\(index)"))
    }
    let opened = try spool.open()
    let items = opened.scan()
    #expect(items.map(\.entry.stamp.nanoseconds) == Array(1...5000))
    #expect(opened.items("c7").count == 5)
    for item in items { opened.remove(item) }
    #expect(opened.scan() == [])
    #expect(spool.files == [])
    #expect(opened.items("c7") == [])
  }

  @Test(
    "an ADD asks an empty spool in far less time than the disk would take",
    .shippedPrograms("a sanitizer's time is not the program's"))
  func quick() throws {
    let opened = try spool.open()
    let start = threadTime
    for _ in 0..<10_000 { _ = opened.items("c") }
    let asked = threadTime
    for _ in 0..<10_000 { _ = try Files.list(spool.directory) }
    let listed = threadTime
    let figures = [asked - start, listed - asked].map { $0 / 10_000 }
    print("figure: spool: \(figures[0]) ns to ask, \(figures[1]) ns to list")
    #expect((asked - start) * 3 < listed - asked)
  }
}
