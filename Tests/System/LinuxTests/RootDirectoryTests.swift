import Foundation
import Linux
import TestSupport
import Testing

@Suite("Files below another root")
struct RootDirectoryTests {
  private let directory: TemporaryDirectory
  private let root: RootDirectory

  init() throws {
    directory = try TemporaryDirectory()
    root = try RootDirectory(directory.path)
    try Files.makeDirectory(directory("etc"))
    // The machine has this file, too.
    try Files.write(directory("etc/passwd"), Array("inside".utf8), mode: [.write, .create])
  }

  private func link(_ name: String, to target: String) throws {
    try FileManager.default.createSymbolicLink(
      atPath: directory(name), withDestinationPath: target)
  }

  private func text(_ path: String) throws -> String {
    String(decoding: try root.read(path), as: UTF8.self)
  }

  @Test(
    "Every path stays inside",
    arguments: [
      "/etc/passwd", "etc/passwd", "//etc//passwd", "/../../../etc/passwd", "../etc/passwd",
      "/etc/../../../../etc/passwd",
    ])
  func inside(path: String) throws {
    #expect(try text(path) == "inside")
    #expect(try root.status(path).kind == .regular)
  }

  @Test(
    "So does every link, absolute or not",
    arguments: ["/etc/passwd", "etc/passwd", "../../../../../../etc/passwd", "/link2"])
  func links(target: String) throws {
    try link("link2", to: "/etc/passwd")
    try link("link", to: target)
    #expect(try text("/link") == "inside")
  }

  @Test("What is only outside is not there")
  func outside() throws {
    try link("link", to: "/etc/group")
    try link("up", to: "..")
    for path in ["/etc/group", "/link", "/../..\(directory.path)/etc/passwd", "/up/no"] {
      let error = SystemError("open", "\(path) below \(directory.path)", .noEntry)
      #expect(throws: error) { try root.read(path) }
      #expect(throws: error) { try root.status(path) }
    }
    #expect(try text("/up/etc/passwd") == "inside")
  }

  @Test("Links of /proc that lead anywhere are not followed")
  func magicLinks() throws {
    let whole = try RootDirectory("/")
    for path in ["/proc/self/root/etc/passwd", "/proc/self/exe", "/proc/self/cwd"] {
      #expect(throws: SystemError("open", "\(path) below /", .loop)) { try whole.status(path) }
    }
  }

  @Test("Odd paths are errors of their own")
  func odd() throws {
    try link("loop", to: "loop")
    let name = String(repeating: "x", count: 300)
    let cases: [(String, Errno)] = [
      ("/loop", .loop), ("/etc/passwd/x", .notDirectory), ("", .noEntry), ("/a\0b", .invalid),
      ("/\(name)", .nameTooLong),
    ]
    for (path, errno) in cases {
      #expect(throws: SystemError("open", "\(path) below \(directory.path)", errno)) {
        try root.status(path)
      }
    }
  }

  @Test("Reading has a limit, refuses a directory, and does not wait for a pipe's other end")
  func reading() throws {
    #expect(throws: SystemError("read", "/etc/passwd below \(directory.path)", .tooBig)) {
      try root.read("/etc/passwd", limit: 3)
    }
    #expect(throws: SystemError("read", "/etc below \(directory.path)", .isDirectory)) {
      try root.read("/etc")
    }
    let made = unsafe mkfifo(directory("pipe"), 0o600)
    #expect(made == 0)
    #expect(try text("/pipe").isEmpty)
    #expect(try root.status("/").kind == .directory)
  }

  @Test("Renames elsewhere do not disturb a path with ..")
  func renames() async throws {
    let (directory, root) = (directory, root)
    try Files.write(directory("a"), [], mode: [.write, .create])
    let isOver = Locked(false)
    async let renamer: Void = onThread {
      while !isOver.value {
        try Files.rename(directory("a"), directory("b"))
        try Files.rename(directory("b"), directory("a"))
      }
    }
    let failures = await onThread {
      (0..<Program.rounds(5000)).filter { _ in
        (try? root.status("/etc/../etc/../etc/passwd")) == nil
      }.count
    }
    isOver.withLock { $0 = true }
    try await renamer
    #expect(failures == 0)
  }

  @Test("The directory is held: its path may lead elsewhere later")
  func held() throws {
    try Files.rename(directory.path, directory.path + ".moved")
    defer { TemporaryDirectory.removeTree(directory.path + ".moved") }
    #expect(try text("/etc/passwd") == "inside")
    TemporaryDirectory.removeTree(directory.path + ".moved")
    #expect(throws: SystemError("open", "/etc/passwd below \(directory.path)", .noEntry)) {
      try root.read("/etc/passwd")
    }
  }
}
