@testable import Daemon
import Glibc
import Linux
import Records
import Testing
import TestSupport

/// What keeps a directory from being used, nil if nothing does.
private func refusal(of directory: String) -> String? {
  do throws(StartError) {
    try RunDirectory.prepare(directory)
    return nil
  } catch {
    return error.description
  }
}

/// What keeps a daemon from listening at a path, nil if nothing does.
private func refusal(toListenAt path: String) -> String? {
  do throws(StartError) {
    _ = try RunDirectory.listen(path)
    return nil
  } catch {
    return error.description
  }
}

@Suite("RunDirectory")
struct RunDirectoryTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private var path: String { directory("cnid.sock") }

  private func answers() -> Bool { (try? UnixSocket.connect(path)) != nil }

  @Test("the directory is 0700, the socket 0600, both root's")
  func modes() throws {
    let run = directory("run")
    try RunDirectory.prepare(run)
    let listener = try RunDirectory.listen("\(run)/cnid.sock")
    let (directory, socket) = (try Files.status(run), try Files.status("\(run)/cnid.sock"))
    #expect(directory.permissions == 0o700)
    #expect(directory.owner == 0)
    #expect(socket.permissions == 0o600)
    #expect(socket.owner == 0)
    #expect(socket.kind == .socket)
    let isListening = Listener.isListening(listener)
    #expect(isListening)
  }

  @Test("missing parents are made, for root alone")
  func parents() throws {
    try RunDirectory.prepare(directory("a/b/c"))
    for name in ["a", "a/b", "a/b/c"] {
      #expect(try Files.status(directory(name)).permissions == 0o700)
    }
  }

  @Test("a directory that is there already is taken as it is, with what is in it")
  func existing() throws {
    try Files.write(directory("other"), [1], mode: [.write, .create])
    try RunDirectory.prepare(directory.path)
    #expect(try Files.read(directory("other")) == [1])
  }

  @Test("a directory that others may enter but not write to is tightened, if all in it is ours")
  func tightened() throws {
    try Files.makeDirectory(directory("spool"))
    _ = try UnixSocket.listen(directory("cnid.sock"))
    try Files.setPermissions(directory.path, 0o755)
    try RunDirectory.prepare(directory.path)
    #expect(try Files.status(directory.path).permissions == 0o700)
    try Files.write(directory("another's"), [], mode: [.write, .create])
    try Files.setPermissions(directory.path, 0o755)
    #expect(refusal(of: directory.path)?.hasPrefix("insecure permissions on ") == true)
  }

  @Test(
    "every mode in which others may write, or root may not, is refused, and left as it is",
    arguments: [0o777, 0o770, 0o722, 0o500, 0o600] as [UInt32])
  func insecureMode(mode: UInt32) throws {
    try Files.setPermissions(directory.path, mode)
    let text = try #require(refusal(of: directory.path))
    #expect(text.hasPrefix("insecure permissions on "))
    #expect(text.contains(directory.path))
    #expect(text.contains("0\(String(mode, radix: 8))"))
    #expect(try Files.status(directory.path).permissions == mode)
  }

  @Test("another owner than root is refused, and left as it is")
  func wrongOwner() throws {
    #expect(unsafe chown(directory.path, 1000, 0) == 0)
    let text = try #require(refusal(of: directory.path))
    #expect(text.hasPrefix("insecure owner of "))
    #expect(text.contains("uid 1000"))
    #expect(try Files.status(directory.path).owner == 1000)
  }

  @Test("a file in the directory's place is an error")
  func notADirectory() throws {
    try Files.write(directory("run"), [], mode: [.write, .create])
    let text = refusal(of: directory("run"))
    #expect(text == "\(directory("run")) is a file; it must be a directory")
  }

  @Test("a dead socket is replaced by one that answers")
  func deadSocket() throws {
    try UnixSocket.leaveDead(path)
    #expect(try Files.linkStatus(path).kind == .socket)
    #expect(!answers())
    let listener = try RunDirectory.listen(path)
    #expect(answers())
    let isListening = Listener.isListening(listener)
    #expect(isListening)
  }

  @Test("a living socket is not touched, even one whose queue is full")
  func livingSocket() throws {
    let other = try UnixSocket.listen(path, backlog: 0)
    let before = try Files.linkStatus(path)
    let text = refusal(toListenAt: path)
    #expect(text?.contains("which another process serves") == true)
    // The probe took the one place in the queue.
    #expect(!answers())
    #expect(refusal(toListenAt: path) != nil)
    #expect(try Files.linkStatus(path) == before)
    let isListening = Listener.isListening(other)
    #expect(isListening)
  }

  @Test("what is no socket is not touched")
  func plainFile() throws {
    try Files.write(path, Array("mine".utf8), mode: [.write, .create])
    let text = refusal(toListenAt: path)
    #expect(text?.contains("is not a socket; remove it") == true)
    #expect(try Files.read(path) == Array("mine".utf8))
  }

  @Test("a symbolic link is not followed")
  func symbolicLink() throws {
    #expect(unsafe symlink(directory("elsewhere"), path) == 0)
    #expect(refusal(toListenAt: path) != nil)
    #expect(try Files.linkStatus(path).kind == .symbolicLink)
  }

  @Test("at its end a daemon removes its own socket, and nobody else's")
  func ownSocket() throws {
    let listener = try RunDirectory.listen(path)
    let file = SocketFile(path)
    try Files.rename(path, directory("moved"))
    let other = try UnixSocket.listen(path)
    file.remove()
    #expect(answers())
    try Files.rename(directory("moved"), path)
    file.remove()
    #expect((try? Files.linkStatus(path)) == nil)
    file.remove()
    let areListening = Listener.isListening(listener) && Listener.isListening(other)
    #expect(areListening)
  }
}
