@testable import Daemon
import Linux
import Records
import TestSupport
import Testing

@Suite("Sockets whose files vanish")
struct DoorsTests {
  private let daemon: TestDaemon
  private let log: Log

  init() throws {
    daemon = try TestDaemon([RecordingPlugin()])
    var configuration = Configuration()
    configuration.logFile = daemon.directory("door-log")
    log = try Log(configuration)
  }

  private var logged: String {
    String(decoding: (try? Files.read(daemon.directory("door-log"))) ?? [], as: UTF8.self)
  }

  private func asks(_ path: String) async -> Int? {
    await onThread {
      try? RawHTTP.send("GET", "/readyz", [], path, within: patience).status
    }
  }

  @Test("Clients get in again after the file, or its whole directory, was removed")
  func removed() async throws {
    let (directory, path) = (daemon.directory("doors"), daemon.directory("doors/a.sock"))
    let doors = Doors(daemon.server, log: log)
    try RunDirectory.prepare(directory)
    try doors.open(path, nil)
    #expect(await asks(path) == 200)
    try Files.remove(path)
    #expect(await asks(path) == nil)
    doors.look()
    #expect(await asks(path) == 200)
    TemporaryDirectory.removeTree(directory)
    doors.look()
    #expect(await asks(path) == 200)
    #expect(logged.split(separator: "\n").count == 2)
    #expect(logged.contains("the socket's file was gone; cnid listens again socket=\(path)"))
    // What is there is looked at, and stays.
    let before = try Files.linkStatus(path).inode
    doors.look()
    #expect(try Files.linkStatus(path).inode == before)
    doors.remove()
    #expect((try? Files.linkStatus(path)) == nil)
  }

  @Test("While it cannot be made again, /readyz says why and the log says it once")
  func blocked() async throws {
    let path = daemon.directory("run/b.sock")
    let doors = Doors(daemon.server, log: log)
    try doors.open(path, nil)
    try Files.remove(path)
    try Files.write(path, [], mode: [.write, .create])
    doors.look()
    doors.look()
    let answer = try await daemon.send("GET", "/readyz")
    let expected = "the socket \(path) is gone and cannot be made again: \(path) is not "
    #expect(answer.status == 500)
    #expect(String(decoding: answer.body, as: UTF8.self).hasPrefix(expected))
    #expect(try await daemon.send("GET", "/healthz").status == 200)
    #expect(logged.split(separator: "\n").count == 1 && logged.contains("not a socket"))
    try Files.remove(path)
    doors.look()
    #expect(try await daemon.send("GET", "/readyz").status == 200)
    #expect(await asks(path) == 200)
  }

  @Test("Who waits at the old socket is served too, and that socket is closed")
  func waiting() async throws {
    let path = daemon.directory("run/c.sock")
    let doors = Doors(daemon.server, log: log)
    try doors.open(path, nil)
    #expect(await asks(path) == 200)
    for _ in 0..<50 {
      let client = try UnixSocket.connect(path)
      try Files.remove(path)
      doors.look()
      _ = try Descriptor.send(client.rawValue, Array("GET /healthz HTTP/1.1\r\n\r\n".utf8))
      let number = client.rawValue
      let answer = try await onThread {
        try Descriptor.readAll(number, limit: 4096, deadline: .after(seconds: 30))
      }
      #expect(answer.starts(with: "HTTP/1.1".utf8))
      withExtendedLifetime(client) {}
    }
    // The kernel's list of sockets has those whose files are gone as well.
    let isOne = try await becomes {
      let sockets = try Files.read("/proc/net/unix", limit: 16 << 20)
      return String(decoding: sockets, as: UTF8.self).split(separator: "\n")
        .count { $0.hasSuffix(path) } == 1
    }
    #expect(isOne)
  }

  @Test("The watchdog hears of a daemon whose clients do not get in")
  func probe() async throws {
    let path = daemon.directory("run/d.sock")
    let doors = Doors(daemon.server, log: log)
    try doors.open(path, nil)
    let probe = DoorProbe(path, pause: 0) { KernelClock.monotonic }
    let begin = probe.pulse()
    #expect(begin <= KernelClock.monotonic)
    func answers() -> Bool {
      let (before, end) = (KernelClock.monotonic, Deadline.after(seconds: 30))
      while !end.isOver {
        if probe.pulse() > before { return true }
        Clock.pause(milliseconds: 1)
      }
      return false
    }
    #expect(answers())
    try Files.remove(path)
    // One answer may be on its way.
    var seen: Set<UInt64> = []
    for _ in 0..<40 {
      seen.insert(probe.pulse())
      Clock.pause(milliseconds: 5)
    }
    #expect(seen.count <= 2)
    doors.look()
    #expect(answers())
  }
}
