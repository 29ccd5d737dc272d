import Glibc
@testable import Linux
import TestSupport
import Testing

@Suite("DirectoryWatch")
struct DirectoryWatchTests {
  private let outer: TemporaryDirectory
  private let path: String

  init() throws {
    outer = try TemporaryDirectory()
    path = outer("watched")
    try Files.makeDirectory(path)
  }

  private func put(_ name: String) throws {
    try Files.write(outer(name), [1], mode: [.write, .create])
    try Files.rename(outer(name), "\(path)/\(name)")
  }

  @Test("a file that is renamed into the directory makes the descriptor readable until drained")
  func arrival() throws {
    let watch = try DirectoryWatch(path)
    let before = watch.hasChanges
    #expect(!before)
    try put("a")
    try Deadline.after(seconds: 5).wait(watch.descriptor, for: .read, "wait")
    let changes = watch.drain()
    #expect(changes == .entries)
    let (after, again) = (watch.hasChanges, watch.drain())
    #expect(!after)
    #expect(again == [])
  }

  @Test("what is being written, and what leaves, wakes nobody")
  func others() throws {
    try put("a")
    try put("b")
    let watch = try DirectoryWatch(path)
    try Files.write("\(path)/c", [1], mode: [.write, .create])
    try Files.setPermissions("\(path)/c", 0o400)
    try Files.remove("\(path)/a")
    try Files.rename("\(path)/b", outer("b"))
    let changes = watch.hasChanges
    #expect(!changes)
  }

  @Test("a directory that goes is told once, and what comes in its place is watched after `renew`")
  func renewal() throws {
    var watch = try DirectoryWatch(path)
    let descriptor = watch.descriptor
    try Files.removeDirectory(path)
    let gone = watch.drain()
    #expect(gone.contains(.gone))
    let failed = (try? watch.renew()) == nil
    #expect(failed)
    try Files.makeDirectory(path)
    try watch.renew()
    try put("a")
    let changes = watch.drain()
    #expect(changes == .entries)
    let same = watch.descriptor
    #expect(same == descriptor)
  }

  @Test("a directory that is moved away is gone, and its later changes are nobody's business")
  func moved() throws {
    var watch = try DirectoryWatch(path)
    try Files.rename(path, outer("elsewhere"))
    let gone = watch.drain()
    #expect(gone == .gone)
    try Files.makeDirectory(path)
    try watch.renew()
    try Files.write(outer("x"), [1], mode: [.write, .create])
    try Files.rename(outer("x"), outer("elsewhere/x"))
    // The end of the old watch is still in the queue; it says nothing of the new one.
    let changes = watch.drain()
    #expect(changes == [])
    try put("a")
    let later = watch.drain()
    #expect(later == .entries)
  }

  @Test("thousands of changes are drained at once, and more than the kernel keeps are an overflow")
  func many() throws {
    let watch = try DirectoryWatch(path)
    for index in 0..<3000 { try put("\(index)") }
    let changes = watch.drain()
    #expect(changes == .entries)
    let left = watch.hasChanges
    #expect(!left)
    let limit = try #require(
      Int(
        String(decoding: try Files.read("/proc/sys/fs/inotify/max_queued_events"), as: UTF8.self)
          .filter(\.isNumber)))
    guard limit <= 40_000 else { return }
    // Two names in turn: equal events that follow each other count as one.
    try put("a")
    for _ in 0...limit / 2 {
      try Files.rename("\(path)/a", "\(path)/b")
      try Files.rename("\(path)/b", "\(path)/a")
    }
    let many = watch.drain()
    #expect(many.contains(.overflow))
  }

  @Test("what is no directory, or only leads to one, cannot be watched")
  func refused() throws {
    try put("a")
    for path in ["\(path)/a", "\(path)/missing"] {
      let failed = (try? DirectoryWatch(path).descriptor) == nil
      #expect(failed)
    }
    #expect(unsafe symlink(path, outer("link")) == 0)
    let failed = (try? DirectoryWatch(outer("link")).descriptor) == nil
    #expect(failed)
  }

  @Test("a block of events that is cut or has a wrong length is read to its end and not beyond")
  func damage() {
    func event(_ watch: UInt8, _ mask: UInt8, length: UInt8) -> [UInt8] {
      [watch, 0, 0, 0, mask, 0, 0, 0, 0, 0, 0, 0, length, 0, 0, 0]
    }
    func changes(_ bytes: [UInt8], _ watch: Int32) -> DirectoryWatch.Changes {
      DirectoryWatch.changes(in: bytes, of: [watch: .arrivals])
    }
    let movedTo: UInt8 = 0x80
    let whole = event(1, movedTo, length: 4) + [97, 98, 0, 0]
    #expect(changes(whole, 1) == .entries)
    #expect(changes(whole, 2) == [])
    #expect(changes(event(2, 0, length: 255) + whole, 1) == [])
    #expect(changes(Array(whole.prefix(15)), 1) == [])
    let endless = [UInt8](repeating: 0xFF, count: 4096)
    #expect(changes(endless, -1) == [.entries, .gone, .overflow])
    #expect(changes([], 1) == [])
    for (names, seen) in [(["ab"], .entries), (["abc", "a"], []), ([], [])]
      as [(Set<String>, DirectoryWatch.Changes)]
    {
      #expect(DirectoryWatch.changes(in: whole, of: [1: .names(names)]) == seen)
    }
  }
}

@Suite("DirectoryWatch: many places")
struct DirectoryPlacesTests {
  private let directory: TemporaryDirectory

  init() throws {
    directory = try TemporaryDirectory()
    for name in ["a", "a/b"] { try Files.makeDirectory(directory(name)) }
  }

  private func write(_ name: String) throws {
    try Files.write(directory(name), [1], mode: [.write, .create])
  }

  /// Something that happens in the directory `a`, and what of it is seen.
  struct Event: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let seen: DirectoryWatch.Changes
    let happen: @Sendable (TemporaryDirectory) throws -> Void
    init(
      _ text: String, _ seen: DirectoryWatch.Changes = .entries,
      _ happen: @escaping @Sendable (TemporaryDirectory) throws -> Void
    ) {
      (testDescription, self.seen, self.happen) = (text, seen, happen)
    }
  }

  @Test(
    "everything that changes what a name stands for is seen, and reading is not",
    arguments: [
      Event("a file is written in place") { try Files.overwrite($0("a/old"), [2]) },
      Event("a file is made") { try Files.overwrite($0("a/new"), [2]) },
      Event("a file comes") { try Files.rename($0("other"), $0("a/other")) },
      Event("a file goes elsewhere") { try Files.rename($0("a/old"), $0("old")) },
      Event("a file is removed") { try Files.remove($0("a/old")) },
      Event("a directory is made") { try Files.makeDirectory($0("a/c")) },
      Event("a directory is removed") { try Files.removeDirectory($0("a/b")) },
      Event("a link is made") { try Files.link($0("other"), $0("a/c")) },
      Event("a symbolic link is made") { #expect(unsafe symlink("x", $0("a/c")) == 0) },
      Event("the directory is moved", .gone) { try Files.rename($0("a"), $0("c")) },
      Event("a file is read, and its mode set", []) {
        _ = try Files.read($0("a/old"))
        try Files.setPermissions($0("a/old"), 0o400)
      },
      Event("something happens beside it", []) { try Files.remove($0("other")) },
    ])
  func everything(event: Event) throws {
    for name in ["a/old", "other"] { try write(name) }
    var places = DirectoryWatch.Places()
    places.add(directory("a"), .everything)
    var watch = try DirectoryWatch()
    let isNew = (try watch.watch(places), try watch.watch(places))
    #expect(isNew == (true, false))
    try event.happen(directory)
    let seen = watch.drain()
    #expect(seen == event.seen)
  }

  @Test("of a place only the names count that are wanted, and none of one that is not any more")
  func names() throws {
    var places = DirectoryWatch.Places()
    places.add(directory.path, .names(["x"]))
    places.add(directory("a/b"), .names([]))
    places.add(directory.path, .names(["y"]))
    var watch = try DirectoryWatch()
    _ = try watch.watch(places)
    var seen: [DirectoryWatch.Changes] = []
    for name in ["z", "x", "y", "a/b/x"] {
      try write(name)
      seen.append(watch.drain())
    }
    #expect(seen == [[], .entries, .entries, []])
    let isNew = try watch.watch(DirectoryWatch.Places())
    try write("x")
    let later = watch.drain()
    #expect(!isNew)
    #expect(later == [])
  }

  @Test("a directory that another has replaced is new, and one that has gone too")
  func replaced() throws {
    var places = DirectoryWatch.Places()
    places.add(directory("a/b"), .everything)
    var watch = try DirectoryWatch()
    _ = try watch.watch(places)
    try Files.removeDirectory(directory("a/b"))
    let gone = try watch.watch(places)
    try Files.makeDirectory(directory("a/b"))
    let back = try watch.watch(places)
    let same = try watch.watch(places)
    #expect(gone && back && !same)
    _ = watch.drain()
    try write("a/b/x")
    let seen = watch.drain()
    #expect(seen == .entries)
  }

  @Test("one directory under two paths is one")
  func twice() throws {
    var places = DirectoryWatch.Places()
    places.add(directory("a"), .everything)
    places.add(directory("a/b/.."), .names([]))
    var watch = try DirectoryWatch()
    let isNew = (try watch.watch(places), try watch.watch(places))
    #expect(isNew == (true, false))
    try write("a/x")
    let seen = watch.drain()
    #expect(seen == .entries)
  }

  /// A path, what it leads to, and the names on its way that count, by their directories.
  static let ways: [(String, String?, [String: Set<String>])] = [
    ("a/b", "a/b", ["a": [], "a/b": []]),
    ("a//./b/", "a/b", ["a": [], "a/b": []]),
    ("a/b/../b", "a/b", ["a": [], "a/b": []]),
    ("a/c/d", nil, ["a": ["c"]]),
    ("link/b", "a/b", ["": ["link"], "a": [], "a/b": []]),
    ("file/b", nil, ["": ["file"]]),
    ("loop", nil, ["": ["loop"]]),
    ("dangling", nil, ["": ["dangling"], "a": ["x"]]),
  ]

  @Test("the way of a path is every directory and every link on it", arguments: ways)
  func way(path: String, end: String?, names: [String: Set<String>]) throws {
    try write("file")
    for (link, target) in [("link", directory("a")), ("loop", "loop"), ("dangling", "a/x")] {
      #expect(unsafe symlink(target, directory(link)) == 0)
    }
    func absolute(_ name: String) -> String { name.isEmpty ? directory.path : directory(name) }
    var places = DirectoryWatch.Places()
    #expect(places.follow(directory(path)) == end.map(absolute))
    let below = places.list.filter { $0.path.hasPrefix(directory.path) }
    var expected = Dictionary(uniqueKeysWithValues: names.map { (absolute($0.key), $0.value) })
    expected[directory.path, default: []].formUnion([])
    #expect(
      Dictionary(uniqueKeysWithValues: below.map { ($0.path, $0.interest) })
        == expected.mapValues { .names($0) })
    var relative = DirectoryWatch.Places()
    #expect(relative.follow(path, from: directory.path) == end.map(absolute))
  }
}
