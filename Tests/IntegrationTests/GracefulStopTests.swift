import JSON
import Linux
import TestSupport
import Testing

/// SIGTERM while calls run and wait.
@Suite(.daemonLog) struct GracefulStopTests {
  /// A node with an IPAM plugin that waits for a file and then gives an address.
  private func options(_ directory: TemporaryDirectory, concurrent: Int = 16) throws
    -> TestNode.Options
  {
    let script = """
      #!/bin/sh
      [ "$CNI_COMMAND" = ADD ] || exit 0
      echo > \(directory("runs"))
      while [ ! -e \(directory("go")) ]; do sleep 0.05; done
      echo '{"cniVersion":"1.1.0","ips":[{"address":"10.1.2.9/24"}]}'
      """
    try Files.write(
      directory("slow"), Array(script.utf8), mode: [.write, .create], permissions: 0o755)
    return TestNode.Options(settings: [
      "binDirs": [.string(directory.path)], "maxConcurrent": .number(JSONNumber(concurrent)),
    ])
  }

  private func exists(_ path: String) async throws -> Bool {
    try await eventually(within: 20_000) { (try? Files.status(path)) != nil }
  }

  private func isStopping(_ node: TestNode) async throws -> Bool {
    try await eventually { (try? RawHTTP.get("/readyz", node.socket, within: 1000).status) == 500 }
  }

  private func letGo(_ directory: TemporaryDirectory) throws {
    try Files.write(directory("go"), [], mode: [.write, .create])
  }

  @Test(
    "The running ADD ends well, DEL is served meanwhile, /readyz says 500, and the exit is 0")
  func running() async throws {
    let directory = try TemporaryDirectory()
    try await withTestNode(try options(directory)) { node in
      let (pod, old) = (try await TestPod(), try await TestPod("old"))
      try await node.add(old, node.macvlan())
      let slow = node.macvlan(["ipam": ["type": "slow"]])
      async let adding = node.shim("ADD", pod, slow)
      #expect(try await exists(directory("runs")))
      let process = try #require(node.daemon)
      process.signal(.terminate)
      #expect(try await isStopping(node))
      #expect(try await node.http("GET", "/healthz").status == 200)
      try await node.delete(old, node.macvlan())
      #expect(try await old.network.links() == [])
      try letGo(directory)
      let run = try await adding
      #expect(run.succeeded, "\(run)")
      #expect(try await process.ended() == .exited(0))
      #expect(try await pod.network.links() == ["eth0"])
      try await node.start()
      try await node.delete(pod, slow)
      #expect(node.records == [])
    }
  }

  @Test("a waiting ADD is sent away, comes again to the next daemon, and does not fail")
  func waiting() async throws {
    let directory = try TemporaryDirectory()
    try await withTestNode(try options(directory, concurrent: 1)) { node in
      let (pod, next) = (try await TestPod(), try await TestPod("next"))
      let slow = node.macvlan(["ipam": ["type": "slow"]])
      async let adding = node.shim("ADD", pod, slow)
      #expect(try await exists(directory("runs")))
      func queues(_ count: Int) async throws -> Bool {
        try await eventually {
          (try? RawHTTP.get("/metrics", node.socket, within: 5000).text)?
            .contains("\ncnid_requests_queued \(count)\n") == true
        }
      }
      // It waits to be alone in the network, and others wait behind it.
      let list = [pod, next].map { pod -> JSONValue in
        ["containerID": .string(pod.containerID), "ifname": "eth0"]
      }
      let network = node.macvlan(["cni.dev/valid-attachments": .array(list)])
      async let collecting = node.shim("GC", pod, network)
      #expect(try await queues(1))
      async let waiting = node.shim("ADD", next, node.macvlan())
      #expect(try await queues(2))
      let process = try #require(node.daemon)
      process.signal(.terminate)
      #expect(try await isStopping(node))
      try letGo(directory)
      #expect(try await process.ended() == .exited(0))
      try await node.start()
      for run in [try await adding, try await waiting] { #expect(run.succeeded, "\(run)") }
      _ = try await collecting
      try await node.delete(pod, slow)
      try await node.delete(next, node.macvlan())
      #expect(node.records == [] && node.leases == [])
    }
  }
}
