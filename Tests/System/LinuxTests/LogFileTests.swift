import Glibc
import Linux
import TestSupport
import Testing

/// Paths in a directory of `/var/log`, as a network's author may name them.
@Suite("LogFile")
struct LogFileTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory(in: LogFile.root) }

  private func text(_ name: String) throws -> String {
    String(decoding: try Files.read(directory(name)), as: UTF8.self)
  }

  private func append(_ path: String) throws { try LogFile(path).append(Array("line\n".utf8)) }

  @Test("a file below /var/log is made, root's alone, and appended to")
  func appended() throws {
    try append(directory("log"))
    try append(directory.path + "//log")
    #expect(try text("log") == "line\nline\n")
    #expect(try Files.status(directory("log")).permissions == 0o600)
  }

  @Test(
    "no path outside of /var/log is opened",
    arguments: [
      "", "log", "/", "/var/log", "/var/log/", "/etc/ld.so.preload", "/var/logs/x", "/var/log/../x",
      "/var/log/a/../../../etc/x", "/var/log/./x", "/var/log/x\u{0}y", "/var/log/x/",
    ])
  func outside(path: String) {
    #expect(throws: SystemError.self) { try append(path) }
    #expect((try? Files.linkStatus("/var/x")) == nil && (try? Files.linkStatus("/etc/x")) == nil)
  }

  @Test("no symbolic link is followed, neither at the end nor on the way")
  func links() throws {
    let target = try TemporaryDirectory()
    try Files.write(target("file"), Array("old".utf8), mode: [.write, .create])
    #expect(unsafe symlink(target("file"), directory("link")) == 0)
    #expect(unsafe symlink(target.path, directory("folder")) == 0)
    #expect(unsafe symlink("nowhere", directory("dangling")) == 0)
    for name in ["link", "folder/file", "folder/new", "dangling"] {
      #expect(throws: SystemError.self) { try append(directory(name)) }
    }
    #expect(try Files.list(target.path) == ["file"])
    #expect(try Files.read(target("file")) == Array("old".utf8))
    #expect((try? Files.linkStatus(directory("nowhere"))) == nil)
  }

  @Test("a pipe, a directory, another user's file and a file with a second name are not written to")
  func others() throws {
    #expect(unsafe mkfifo(directory("pipe"), 0o600) == 0)
    try Files.makeDirectory(directory("directory"))
    for name in ["theirs", "first"] {
      try Files.write(directory(name), [], mode: [.write, .create])
    }
    #expect(unsafe chown(directory("theirs"), 65534, 65534) == 0)
    try Files.link(directory("first"), directory("second"))
    for name in ["pipe", "directory", "theirs", "first", "second"] {
      #expect(throws: SystemError.self, "\(name)") { try append(directory(name)) }
    }
    #expect(try text("theirs") == "" && text("first") == "")
  }

  @Test("no directory is made")
  func noDirectory() throws {
    #expect(throws: SystemError.self) { try append(directory("new/log")) }
    #expect(try Files.list(directory.path) == [])
  }

  @Test("a file is put aside under the next number, and so many older ones stay")
  func aside() throws {
    for round in 0..<5 {
      let file = try LogFile(directory("log"))
      try file.append(Array("\(round)".utf8))
      #expect(try file.size() == 1)
      file.putAside(keeping: 3)
    }
    #expect(try Files.list(directory.path).sorted() == ["log.1", "log.2", "log.3"])
    #expect(try [text("log.1"), text("log.2"), text("log.3")] == ["4", "3", "2"])
  }
}
