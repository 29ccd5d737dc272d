import Glibc
import Linux
import TestSupport
import Testing

@Suite("Files")
struct FilesTests {
  @Test("A pipe in a file's place is an error that comes at once")
  func pipes() throws {
    let directory = try TemporaryDirectory()
    for name in ["a", "b.tmp"] { #expect(unsafe mkfifo(directory(name), 0o600) == 0) }
    let overwriting = #expect(throws: SystemError.self) {
      try Files.overwrite(directory("a"), [1])
    }
    #expect(overwriting?.errno == .noDeviceOrAddress)
    let replacing = #expect(throws: SystemError.self) { try Files.replace(directory("b"), [1]) }
    #expect(replacing?.errno == .noDeviceOrAddress)
  }

  @Test("A replaced file has the new content and leaves no temporary file")
  func replace() throws {
    try withTemporaryDirectory { directory in
      try Files.replace("\(directory)/a", Array("one".utf8))
      try Files.replace("\(directory)/a", Array("two".utf8))
      #expect(try Files.read("\(directory)/a") == Array("two".utf8))
      #expect(try Files.list(directory) == ["a"])
      #expect(try Files.status("\(directory)/a").permissions == 0o600)
    }
  }

  @Test("A replacement that fails leaves the old file and no temporary one")
  func failedReplace() throws {
    try withTemporaryDirectory { directory in
      try Files.makeDirectory("\(directory)/a")
      #expect(throws: SystemError.self) { try Files.replace("\(directory)/a", [1]) }
      #expect(try Files.list(directory) == ["a"])
    }
  }

  @Test("Reading stops at the limit with E2BIG")
  func readLimit() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/a"
      try Files.replace(path, [UInt8](repeating: 1, count: 9000))
      #expect(try Files.read(path, limit: 9000).count == 9000)
      #expect(throws: SystemError("read", path, .tooBig)) { try Files.read(path, limit: 8999) }
    }
  }

  @Test("Missing parents are made with the same mode, whatever the umask takes away")
  func directories() throws {
    try withTemporaryDirectory { directory in
      let made = try (0..<2).map { _ in
        try Files.makeDirectories("\(directory)/a/b/c", permissions: 0o755)
      }
      #expect(made == [true, false])
      for path in ["a", "a/b", "a/b/c"] {
        #expect(try Files.status("\(directory)/\(path)").permissions == 0o755)
      }
    }
  }

  @Test("A file in the way of a directory is an error")
  func directoryIsFile() throws {
    try withTemporaryDirectory { directory in
      try Files.replace("\(directory)/a", [])
      #expect(throws: SystemError("mkdir", "\(directory)/a", .exists)) {
        try Files.makeDirectory("\(directory)/a")
      }
    }
  }

  @Test("A link to a name that exists is refused")
  func exclusiveLink() throws {
    try withTemporaryDirectory { directory in
      try Files.replace("\(directory)/a", [1])
      try Files.link("\(directory)/a", "\(directory)/b")
      #expect(throws: SystemError("link", "\(directory)/b", .exists)) {
        try Files.link("\(directory)/a", "\(directory)/b")
      }
    }
  }

  @Test("Removing a file tells whether it was there")
  func removeIfPresent() throws {
    try withTemporaryDirectory { directory in
      try Files.replace("\(directory)/a", [])
      let removed = try ["a", "a", "none/a"].map { name in
        try Files.removeIfPresent("\(directory)/\(name)")
      }
      #expect(removed == [true, false, false])
    }
  }

  @Test("A lock keeps others out until it is let go")
  func lock() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/lock"
      do {
        let lock = try FileLock.take(path, deadline: .after(seconds: 5))
        #expect(try !isFree(path))
        #expect(throws: SystemError("lock", path, .timedOut)) {
          _ = try FileLock.take(path, deadline: .after(milliseconds: 30))
        }
        _ = consume lock
      }
      #expect(try isFree(path))
    }
  }

  private func isFree(_ path: String) throws -> Bool {
    guard let lock = try FileLock.attempt(path) else { return false }
    _ = consume lock
    return true
  }

  @Test(
    "An error is one line: operation, object, text and name",
    arguments: [
      (SystemError("open", "/x", .noEntry), "open /x: No such file or directory (ENOENT)"),
      (SystemError("poll", "", .timedOut), "poll: Connection timed out (ETIMEDOUT)"),
      (SystemError("a", "b", Errno(rawValue: 4711)), "a b: Unknown error 4711 (errno 4711)"),
    ])
  func description(error: SystemError, text: String) {
    #expect(error.description == text)
  }
}

/// Runs a body with a directory of its own, which is removed with everything in it afterwards.
func withTemporaryDirectory(_ body: (String) throws -> Void) throws {
  let directory = try TemporaryDirectory()
  try withExtendedLifetime(directory) { try body(directory.path) }
}
