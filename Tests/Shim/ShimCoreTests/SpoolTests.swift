import CLinux
import CNI
import DaemonAPI
import Glibc
import JSON
import Linux
import ShimCore
import TestSupport
import Testing

private let delete = ShimCall(
  "DEL", ["CNI_NETNS": "", "SECRET": "hunter2"], ["daemonTimeout": 60, "logToStderr": true])

extension TemporaryDirectory {
  fileprivate var spool: String { self("spool") }
  fileprivate var entries: [String] { Self.files(below: spool) }

  /// The only entry in the spool.
  fileprivate func entry() throws -> SpoolEntry {
    let name = try #require(entries.first)
    let entry = try SpoolEntry(parsing: try Files.read("\(spool)/\(name)"))
    #expect(entries == [entry.fileName])
    return entry
  }
}

@Suite("The shim's spool")
struct SpoolTests {
  @Test(
    "DEL without a daemon succeeds at once, prints nothing and waits in the spool",
    arguments: Absence.allCases.filter { $0 != .noDirectory })
  func spooled(absence: Absence) async throws {
    let impostor = try Impostor(absence)
    let before = Stamp.now
    let (outcome, milliseconds) = try await impostor.run(delete)
    #expect(outcome.status == 0)
    #expect(outcome.output.isEmpty)
    #expect(
      outcome.errorText.contains(
        "DEL waits in \(impostor.directory.spool) for cnid (is daemonSocketDir right?): "))
    // At once, but for two seconds of silence.
    #expect(milliseconds < UInt64(30_000 * Program.patience))
    let entry = try impostor.directory.entry()
    let isOlder = entry.stamp.isOlder(than: before)
    #expect(isOlder == false)
    #expect(entry.request.env["CNI_COMMAND"] == "DEL")
    #expect(entry.request.env["CNI_CONTAINERID"] == "some-container-id")
    #expect(entry.request.env["SECRET"] == nil)
    let config = try JSONValue.parse(entry.request.config)
    #expect(config["name"] == "skel-test")
    #expect(config["daemonSocketDir"] == .string(impostor.directory.path))
  }

  @Test("The spool is root's alone, 0700, and the entry 0600")
  func modes() async throws {
    let directory = try TemporaryDirectory()
    #expect(try await delete.to(directory).run().status == 0)
    #expect(try Files.status(directory.spool).permissions == 0o700)
    let name = try #require(TemporaryDirectory.files(below: directory.spool).first)
    #expect(try Files.status("\(directory.spool)/\(name)").permissions == 0o600)
  }

  @Test(
    "No other socket directory is made; a spool that a daemon has made is used",
    arguments: [LogFile.root, TemporaryDirectory.parent])
  func elsewhere(parent: String) async throws {
    let outer = try TemporaryDirectory(in: parent)
    let run = outer("run")
    var call = delete
    call.set(["daemonSocketDir": .string(run)])
    let outcome = try await call.run()
    #expect(outcome.error?.code == .tryAgainLater)
    #expect(outcome.error?.message.contains("cannot be written to \(run)/spool") == true)
    #expect(try Files.list(outer.path) == [])
    try Files.makeDirectories("\(run)/spool")
    #expect(try await call.run().status == 0)
    #expect(try Files.list("\(run)/spool").count == 1)
  }

  @Test("A socket directory that others may read stays as it is; the spool is root's alone")
  func foreignDirectory() async throws {
    let directory = try TemporaryDirectory()
    try Files.setPermissions(directory.path, 0o755)
    let other = try UnixSocket.listen(directory("multus.sock"))
    #expect(try await delete.to(directory).run().status == 0)
    #expect(try Files.status(directory.path).permissions == 0o755)
    #expect(directory.entries.count == 1)
    let isListening = Listener.isListening(other)
    #expect(isListening)
  }

  @Test("Each call is an entry of its own, under its own id and stamp")
  func several() async throws {
    let directory = try TemporaryDirectory()
    for _ in 0..<3 { #expect(try await delete.to(directory).run().status == 0) }
    let entries = try directory.entries.map {
      try SpoolEntry(parsing: try Files.read("\(directory.spool)/\($0)"))
    }
    #expect(Set(entries.map(\.requestID)).count == 3)
    let stamps = entries.map(\.stamp.nanoseconds)
    #expect(stamps == stamps.sorted())
  }

  // MARK: The second try

  /// A daemon that answers like this after the entry was written, and what came of it.
  private func secondTry(
    _ answers: [FakeDaemon.Answer]
  ) async throws -> (outcome: ShimOutcome, node: FakeNode) {
    try await FakeNode.run(delete, answers)
  }

  @Test("A DEL whose connection ends twice before an answer is written down and tried once more")
  func lost() async throws {
    let (outcome, node) = try await secondTry([.close])
    #expect(outcome.status == 0 && outcome.output.isEmpty)
    #expect(node.daemon.requests.count == 3)
    let entry = try node.directory.entry()
    let sent = try #require(node.daemon.requests.last)
    #expect(sent.headers["x-cnid-request-id"] == entry.requestID)
    #expect(sent.headers["x-cnid-stamp"] == entry.stamp.description)
    #expect(try Request(parsing: sent.body) == entry.request)
    #expect(Set(node.daemon.requests.map { $0.headers["x-cnid-request-id"] }).count == 1)
  }

  @Test("The daemon is back for the second try: the entry is removed, the answer counts")
  func back() async throws {
    let (outcome, node) = try await secondTry([.close, .close, .response(200, [])])
    #expect(outcome.status == 0 && outcome.output.isEmpty)
    #expect(node.daemon.requests.count == 3)
    #expect(node.directory.entries == [])
  }

  @Test("The daemon refuses the second try: the entry is removed, its error is printed")
  func refused() async throws {
    let (outcome, node) = try await secondTry([.close, .close, failed(102, "no agent", "why")])
    #expect(outcome.error == CNIError(.vRouterAgent, "no agent", details: "why"))
    #expect(node.directory.entries == [])
  }

  @Test("A daemon that stops is asked once more, and the next one finds the entry")
  func stopping() async throws {
    let body = CNIError(.tryAgainLater, "cnid is stopping").json().encoded()
    let head = "HTTP/1.1 400 Bad Request\r\nRetry: 1\r\nContent-Length: \(body.count)\r\n\r\n"
    let stopping = FakeDaemon.Answer.bytes(Array(head.utf8) + body)
    let (outcome, node) = try await secondTry([stopping])
    #expect(outcome.status == 0)
    #expect(node.daemon.requests.count == 2)
    #expect(node.directory.entries.count == 1)
    let (again, other) = try await secondTry([stopping, .response(200, [])])
    #expect(again.status == 0)
    #expect(other.directory.entries == [])
  }

  @Test("An answer to the second try that is cut or none leaves the entry, and no error")
  func cutSecondTry() async throws {
    for answer in ["HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "220 smtp\r\n\r\n"] {
      let (outcome, node) = try await secondTry([.close, .close, .bytes(Array(answer.utf8))])
      #expect(outcome.status == 0)
      #expect(node.directory.entries.count == 1)
    }
  }

  @Test("An answer that is cut, and none when asked again: the DEL waits in the spool")
  func cutThenGone() async throws {
    let cut = FakeDaemon.Answer.bytes(Array("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{".utf8))
    let (outcome, node) = try await secondTry([cut, .close])
    #expect(outcome.status == 0)
    #expect(node.directory.entries.count == 1)
    let (error, other) = try await secondTry([cut])
    #expect(error.error?.code == .ioFailure)
    #expect(other.directory.entries == [])
  }

  @Test("The daemon's error to the first try is the shim's, and nothing is written")
  func firstRefusal() async throws {
    let (outcome, node) = try await secondTry([failed(7, "no")])
    #expect(outcome.error == CNIError(.invalidConfiguration, "no"))
    #expect((try? Files.status(node.directory.spool)) == nil)
  }

  @Test("The socket comes back between writing and the second try")
  func late() async throws {
    // The spool exists and is watched: the daemon comes in the moment when the entry is there.
    let (outcome, requests, left) = try await onThread {
      let directory = try TemporaryDirectory()
      try Files.makeDirectory(directory.spool)
      let call = delete.to(directory)
      // The first probe waits its second for this listener, so the entry is written in between.
      let silent = try UnixSocket.listen(directory("cnid.sock")).release()
      let watch = try DirectoryWatch(directory.spool)
      let outcome = Locked<ShimOutcome?>(nil)
      try OSThread.start {
        let result = try? call.runBlocking()
        outcome.withLock { $0 = result ?? ShimOutcome(status: -1) }
      }
      try Deadline.after(seconds: 30).wait(watch.descriptor, for: .read, "wait")
      // It is connected to the silent one already, or finds the new one.
      try Files.remove(directory("cnid.sock"))
      _ = FileDescriptor(adopting: silent)
      let daemon = try FakeDaemon(directory("cnid.sock"), [.response(200, [])])
      while outcome.value == nil { Clock.pause(milliseconds: 5) }
      return (outcome.value, daemon.requests.count, directory.entries.count)
    }
    #expect(outcome?.status == 0)
    #expect(outcome?.output == [])
    // Whether the second try met the daemon is a matter of luck; that nothing is
    // lost or left is not.
    #expect(requests + left == 1)
  }

  // MARK: What cannot be written

  /// What is in the way of the spool.
  enum Obstacle: String, CaseIterable, Sendable {
    case readOnly, full, file, link, danglingLink, otherMode, otherOwner, parentIsFile
  }

  @Test(
    "A DEL that cannot be written is code 11 and says where and why", arguments: Obstacle.allCases)
  func unwritable(obstacle: Obstacle) async throws {
    let outer = try TemporaryDirectory()
    let run = outer("run")
    try Files.makeDirectory(run)
    let (outcome, left) = try await onThread {
      try place(obstacle, run, outer)
      var call = delete
      call.set(["daemonSocketDir": .string(run)])
      let outcome = try call.runBlocking()
      return (outcome, TemporaryDirectory.files(below: "\(run)/spool").filter { $0 != "filling" })
    }
    #expect(outcome.status == 1)
    let error = try #require(outcome.error)
    if obstacle == .parentIsFile {
      // A socket that can never be used is no daemon that may come back.
      #expect(error.code == .ioFailure)
      return
    }
    #expect(error.code == .tryAgainLater)
    #expect(error.message.contains("\(run)/spool"))
    #expect(error.message.contains(reason(obstacle)), "\(error)")
    #expect(!outcome.text.contains("hunter2"))
    #expect(left == [])
  }

  private func reason(_ obstacle: Obstacle) -> String {
    switch obstacle {
    case .readOnly: "EROFS"
    case .full: "ENOSPC"
    case .file: "ENOTDIR"
    case .link: "ENOTDIR"
    case .danglingLink: "ENO"
    case .otherMode, .otherOwner: "must be root's alone"
    case .parentIsFile: ""
    }
  }

  @Test("A call that is larger than the daemon takes is not written")
  func tooLarge() async throws {
    let directory = try TemporaryDirectory()
    var call = delete.to(directory)
    call.set(["x": .string(String(repeating: "x", count: 13 << 20))])
    let outcome = try await call.run()
    #expect(outcome.error?.code == .tryAgainLater)
    #expect(outcome.text.count < 4096)
    #expect(directory.entries == [])
  }

  @Test("Only DEL is written", arguments: ["ADD", "CHECK", "GC", "STATUS"])
  func otherVerbs(verb: String) async throws {
    let directory = try TemporaryDirectory()
    let call = ShimCall(verb, [:], ["daemonTimeout": 1])
    #expect(try await call.to(directory).run().status == 1)
    #expect(try Files.list(directory.path) == [])
  }
}

/// Puts something in the way; changes this thread's mounts.
private func place(
  _ obstacle: SpoolTests.Obstacle, _ run: String, _ outer: TemporaryDirectory
) throws {
  let spool = "\(run)/spool"
  switch obstacle {
  case .readOnly, .full:
    try ownMounts()
    guard unsafe mount("tmpfs", run, "tmpfs", 0, "size=64k") == 0 else {
      throw TestError("mount: errno \(errno)")
    }
    if obstacle == .readOnly {
      guard unsafe mount("none", run, nil, UInt(MS_REMOUNT | MS_RDONLY), nil) == 0 else {
        throw TestError("remount: errno \(errno)")
      }
    } else {
      try Files.makeDirectory(spool)
      let file = try Files.open("\(spool)/filling", [.write, .create, .append])
      let bytes = [UInt8](repeating: 0x2E, count: 4096)
      while (try? Descriptor.write(file.rawValue, bytes)) != nil {}
    }
  case .file: try Files.write(spool, [], mode: [.write, .create])
  case .link:
    try Files.makeDirectory(outer("elsewhere"))
    _ = unsafe symlink(outer("elsewhere"), spool)
  case .danglingLink: _ = unsafe symlink(outer("nowhere"), spool)
  case .otherMode: try Files.makeDirectory(spool, permissions: 0o755)
  case .otherOwner:
    try Files.makeDirectory(spool)
    _ = unsafe chown(spool, 1000, 0)
  case .parentIsFile:
    try Files.removeDirectory(run)
    try Files.write(run, [], mode: [.write, .create])
  }
}

/// Gives this thread mounts of its own.
private func ownMounts() throws {
  guard CLinux.unshare(0x0002_0000) == 0,
    unsafe mount("none", "/", nil, UInt(MS_REC | MS_PRIVATE), nil) == 0
  else { throw TestError("unshare: errno \(errno)") }
}
