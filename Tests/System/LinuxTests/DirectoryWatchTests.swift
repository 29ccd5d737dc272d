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
    let movedTo: UInt8 = 0x80
    let whole = event(1, movedTo, length: 4) + [1, 2, 3, 4]
    #expect(DirectoryWatch.changes(in: whole, of: 1) == .entries)
    #expect(DirectoryWatch.changes(in: whole, of: 2) == [])
    #expect(DirectoryWatch.changes(in: event(2, 0, length: 255) + whole, of: 1) == [])
    #expect(DirectoryWatch.changes(in: Array(whole.prefix(15)), of: 1) == [])
    let endless = [UInt8](repeating: 0xFF, count: 4096)
    #expect(DirectoryWatch.changes(in: endless, of: -1) == [.entries, .gone, .overflow])
    #expect(DirectoryWatch.changes(in: [], of: 1) == [])
  }
}
