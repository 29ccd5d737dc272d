import Foundation
import Linux
import Testing

@Suite("Directory stamps and lock files")
struct FileTimesTests {
  /// Runs a body with a directory of its own.
  private func withDirectory<R>(_ body: (String) throws -> R) throws -> R {
    let path = NSTemporaryDirectory() + "cnid-stamp-" + UUID().uuidString
    try Files.makeDirectories(path)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try body(path)
  }

  private func mark(_ path: String) throws -> DirectoryStamp {
    let now = KernelClock.real
    return try Files.stamp(
      path,
      modified: FileTime(
        seconds: Int(now / 1_000_000_000) - 1, nanoseconds: Int(now % 1_000_000_000)))
  }

  @Test("A stamp that was set stays as long as no entry changes")
  func stays() throws {
    try withDirectory { path in
      try Files.write(path + "/a", [1], mode: [.write, .create])
      let stamp = try mark(path)
      try Files.write(path + "/a", [2])
      #expect(try Files.stamp(path) == stamp)
    }
  }

  @Test("Every entry made or removed after a set stamp changes it, however soon")
  func changes() throws {
    try withDirectory { path in
      for round in 0..<2000 {
        let stamp = try mark(path)
        if round % 2 == 0 {
          try Files.write(path + "/a", [], mode: [.write, .create])
        } else {
          try Files.remove(path + "/a")
        }
        let now = try Files.stamp(path)
        #expect(now != stamp)
      }
    }
  }

  @Test("Overwriting leaves nothing of a longer content and makes a missing file")
  func overwriting() throws {
    try withDirectory { path in
      for text in ["10.0.0.100", "10.0.0.9", "", "10.0.0.10"] {
        try Files.overwrite(path + "/a", Array(text.utf8))
        #expect(try Files.read(path + "/a") == Array(text.utf8))
      }
      #expect(try Files.status(path + "/a").permissions == 0o600)
    }
  }

  @Test("A lock is not given on a file that was replaced while somebody held the old one")
  func replacedLockFile() throws {
    try withDirectory { path in
      let first = try FileLock.take(path + "/lock", deadline: .after(seconds: 1))
      try Files.remove(path + "/lock")
      let second = try FileLock.take(path + "/lock", deadline: .after(seconds: 1))
      let third = try FileLock.attempt(path + "/lock")
      let isTaken = third == nil
      #expect(isTaken)
      _ = consume first
      _ = consume second
    }
  }
}
