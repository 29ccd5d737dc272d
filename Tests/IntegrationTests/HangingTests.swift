import CNI
import FakeVRouter
import Glibc
import JSON
import Linux
import TestSupport
import Testing

/// Backends, programs and locks that never answer, all at once, and what others feel of it.
@Suite("What hangs in one network delays no other", .daemonLog, .serialized)
struct HangingTests {
  /// Calls of each kind that hang: as many as have a place.
  private static let count = 16
  /// What a DEL may take, where one takes a few without them.
  private static let limit = 100

  @Test("A DEL is done at once beside ADDs that hang at everything there is, also after a restart")
  func everything() async throws {
    try await withVRouterNode { here in
      let hanging = try await HangingCalls(here)
      var pods: [TestPod] = []
      for number in 0..<10 {
        pods.append(try await TestPod("living\(number)"))
        try await here.node.add(pods[number], here.node.macvlan())
      }
      let isOver = Locked(false)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for call in hanging.calls(Self.count) {
          group.addTask { await hanging.keep(call) { isOver.value || Task.isCancelled } }
        }
        let isFull = try await here.node.runs(4 * Self.count)
        #expect(isFull)
        try await measure("beside \(4 * Self.count) ADDs that hang", pods.prefix(5), here.node)
        isOver.withLock { $0 = true }
        try await here.node.kill()
        try await group.waitForAll()
      }
      // Their records are undone now, and each undo hangs as its ADD did.
      try await here.node.start()
      try await measure("beside their recovery", pods.suffix(5), here.node)
      try await here.node.kill()
      hanging.end()
    }
  }

  /// Removes the pods, by clients' calls and one that found no daemon.
  private func measure(
    _ situation: String, _ pods: some Sequence<TestPod>, _ node: TestNode
  ) async throws {
    var times: [Int] = []
    for pod in pods {
      let start = KernelClock.monotonic
      let answer = try await node.call(
        "DEL", pod, node.macvlan(), id: try Unique.word())
      times.append(Int((KernelClock.monotonic - start) / 1_000_000))
      #expect(answer.status == 200, "\(answer)")
    }
    times.sort()
    print("figure: DEL \(situation): \(times) ms")
    #expect(times[times.count / 2] <= Self.limit * Program.patience, "\(situation): \(times) ms")
  }
}

/// ADDs that wait for an IPAM program, a lock, a database and an agent.
private final class HangingCalls: Sendable {
  /// One of them.
  struct Call: Sendable {
    let configuration: JSONValue
    let changes: [String: String?]
  }

  let pod: TestPod
  private let here: VRouterNode
  private let locks: Locked<[Int32]>

  init(_ here: VRouterNode) async throws {
    self.here = here
    pod = try await TestPod("hanging")
    let node = here.node
    try Files.makeDirectories(node.directory("bin"))
    try Files.write(
      node.directory("bin/hang"), Array("#!/bin/sh\nexec sleep 1000\n".utf8),
      mode: [.write, .create], permissions: 0o755)
    try Files.makeDirectories("\(node.dataDirectory)/locked")
    // Connections are taken on, and nobody reads them.
    let database = try UnixSocket.listen(node.directory("db.sock"))
    let lock = try Files.open("\(node.dataDirectory)/locked/lock", [.write, .create])
    guard flock(lock.rawValue, LOCK_EX | LOCK_NB) == 0 else { throw TestError("no lock") }
    locks = Locked([database.release(), lock.release()])
    here.agent.script("GET", "/vm-cfg", [.hang])
  }

  /// So many of each kind, each for an interface of its own.
  func calls(_ count: Int) -> [Call] {
    let node = here.node
    let networks: [(String, JSONValue)] = [
      ("program", node.macvlan(["name": "program", "ipam": ["type": "hang"]])),
      (
        "lock",
        node.macvlan([
          "name": "locked", "ipam": ["type": "host-local", "subnet": "10.9.0.0/24"],
        ])
      ),
      (
        "database",
        node.macvlan([
          "name": "database", "plugin": "ovs", "bridge": "br0", "ipam": nil,
          "socket_file": .string("unix:" + node.directory("db.sock")),
        ])
      ),
      ("agent", here.network()),
    ]
    return networks.flatMap { kind, network in
      (0..<count).map { number in
        let name = "\(kind)-\(number)"
        return Call(
          configuration: network,
          changes: [
            "CNI_CONTAINERID": name, "CNI_IFNAME": "e\(number)\(kind.prefix(4))",
            "CNI_PATH": node.directory("bin"),
            "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=\(name)",
          ])
      }
    }
  }

  /// Calls until it is over: some give up by themselves before all the others have come.
  func keep(_ call: Call, until isOver: @Sendable () -> Bool) async {
    while !isOver() {
      let id = (try? Unique.word()) ?? "hanging"
      _ = try? await here.node.call("ADD", pod, call.configuration, id: id, call.changes)
      await onThread { Clock.pause(milliseconds: 10) }
    }
  }

  func end() {
    for number in locks.value { _ = FileDescriptor(adopting: number) }
  }
}

extension TestNode {
  /// Waits until so many calls run.
  fileprivate func runs(_ count: Int) async throws -> Bool {
    let socket = socket
    return try await becomes {
      let text = (try? RawHTTP.get("/metrics", socket, within: 5000).text) ?? ""
      return text.contains("\ncnid_requests_in_flight \(count)\n")
    }
  }
}
