import Glibc
import JSON
import Linux
import TestSupport
import Testing

/// More clients than the daemon has descriptors, and disks that take nothing.
@Suite(.daemonLog, .serialized) struct PressureTests {
  @Test("With 500 connections and 256 descriptors health answers within 100 ms, and calls work")
  func fewDescriptors() async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      try await node.start(through: "ulimit -n 256")
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      try await node.delete(pod, node.macvlan())
      let before = try await node.snapshot([pod])
      let clients = try await Silent(500, node.socket)
      #expect(try await node.healthMilliseconds() <= 100 * Program.patience)
      try await node.add(pod, node.macvlan())
      try await node.delete(pod, node.macvlan())
      #expect(node.daemon?.status == nil)
      await clients.close()
      let left = try await node.leftovers(since: before, [pod], process: true)
      #expect(left == [])
    }
  }

  @Test(
    "With as many silent connections as there may be health answers within 100 ms, and calls work")
  func silence() async throws {
    try await withTestNode { node in
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      try await node.delete(pod, node.macvlan())
      let before = try await node.snapshot([pod])
      let clients = try await Silent(10_000, node.socket)
      let milliseconds = try await node.healthMilliseconds()
      #expect(milliseconds <= 100 * Program.patience)
      try await node.add(pod, node.macvlan())
      try await node.delete(pod, node.macvlan())
      print("figure: health beside \(clients.count) silent connections in \(milliseconds) ms")
      await clients.close()
      let left = try await node.leftovers(since: before, [pod], process: true)
      #expect(left == [])
    }
  }

  @Test(
    "A state directory that takes nothing: ADD fails with code 5 and leaves nothing, DEL works",
    arguments: ["full", "read-only"])
  func stateDirectory(kind: String) async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      let state = node.stateDirectory
      try Files.makeDirectory(state)
      try await node.start(through: "mount -t tmpfs -o size=256k,mode=0700 state \(state)")
      let (old, new) = (try await TestPod(), try await TestPod())
      try await node.add(old, node.macvlan())
      let before = try await node.snapshot([new])
      // The daemon's own view of its disk.
      let pid = try #require(node.daemon?.pid)
      let commands = [
        "full": "cat /dev/zero > \(state)/filling; cat /dev/zero | dd bs=1 of=\(state)/more; true",
        "read-only": "mount --bind $D $D && mount -o remount,bind,ro $D",
      ]
      let done = try await Program.run([
        "nsenter", "-t", "\(pid)", "-m", "sh", "-c",
        "D=\(state)/attachments; { \(commands[kind] ?? "false"); } 2>&1",
      ])
      #expect(done.succeeded, "\(done)")
      let add = try await node.shim("ADD", new, node.macvlan())
      #expect(add.code == 5, "\(add)")
      let left = try await node.leftovers(since: before, [new])
      #expect(left == [])
      try await node.delete(old, node.macvlan())
      #expect(try await old.network.links() == [])
      #expect(node.leases == [])
      try await node.delete(old, node.macvlan())
      #expect(try await node.http("GET", "/healthz").status == 200)
    }
  }
}

/// Connections on which nothing is said.
private final class Silent: Sendable {
  private let numbers: Locked<[Int32]>
  var count: Int { numbers.value.count }

  /// Opens as many as asked for, or as this process may have.
  init(_ count: Int, _ socket: String) async throws {
    numbers = Locked(
      try await onThread {
        let end = Deadline.after(seconds: 60)
        var numbers: [Int32] = []
        while numbers.count < count {
          do throws(SystemError) {
            let connection = try UnixSocket.connect(socket)
            // High, so that no closed path of a pod, which is a number here, leads to one of them.
            let number = fcntl(connection.rawValue, F_DUPFD_CLOEXEC, 9_500)
            if number < 0 { break }
            numbers.append(number)
          } catch {
            if error.errno == .tooManyFiles { break }
            // The backlog is full for a moment.
            guard error.errno == .again, !end.isOver else { throw error }
            Clock.pause(milliseconds: 1)
          }
        }
        return numbers
      })
  }

  func close() async {
    await onThread {
      for number in self.numbers.value { _ = FileDescriptor(adopting: number) }
      self.numbers.withLock { $0 = [] }
    }
  }
}

extension TestNode {
  /// Starts the daemon after a shell command, and waits until it is ready.
  fileprivate func start(through preparation: String) async throws {
    let process = try await launch(through: preparation)
    let socket = socket
    let ready = try await eventually(within: 15_000) {
      process.status != nil || (try? RawHTTP.get("/readyz", socket, within: 1000).status) == 200
    }
    guard ready, process.status == nil else { throw TestError("cnid is not ready: \(log)") }
  }

  /// The time of the quickest of five looks at the daemon's health: this machine does
  /// other things too.
  fileprivate func healthMilliseconds() async throws -> Int {
    let socket = socket
    return try await onThread {
      var best = UInt64.max
      for _ in 0..<5 {
        let start = KernelClock.monotonic
        let status = try RawHTTP.get("/healthz", socket, within: 20_000).status
        guard status == 200 else { throw TestError("health: \(status)") }
        best = min(best, KernelClock.monotonic - start)
      }
      return Int(best / 1_000_000)
    }
  }
}
