import CNI
import DaemonAPI
import Glibc
import JSON
import Linux
import TestSupport
import Testing

extension TestNode {
  fileprivate var spool: String { "\(socketDirectory)/spool" }
  fileprivate var entries: [String] {
    TemporaryDirectory.files(below: spool).filter { $0.hasSuffix(".json") }
  }

  /// Puts an entry into the spool as a shim does.
  fileprivate func put(
    _ pod: TestPod, _ configuration: JSONValue, stamp: Stamp, id: String? = nil,
    _ changes: [String: String?] = [:]
  ) throws {
    let request = Request(env: pod.environment("DEL", changes), config: configuration.bytes)
    let entry = try #require(
      SpoolEntry(request, requestID: try id ?? RequestID.random(), stamp: stamp))
    try Files.makeDirectories(spool)
    let temporary = "\(spool)/\(entry.temporaryName)"
    try Files.write(temporary, entry.encoded(), mode: [.write, .create])
    try Files.rename(temporary, "\(spool)/\(entry.fileName)")
  }

  /// Waits until the spool is empty.
  fileprivate func workedOff() async throws -> Bool {
    try await eventually(within: 15_000) { self.entries.isEmpty }
  }

  /// Starts the daemon so that it is killed right after a step.
  fileprivate func start(killedAfter step: String) async throws {
    try await launch(through: "export CNID_KILL_AFTER=macvlan.\(step)")
    try await waitUntilReady()
  }
}

/// DELs that find no daemon, with the real shim and the real daemon.
@Suite(.daemonLog) struct SpoolTests {
  @Test("A DEL while the daemon is down is done when it is back, before an ADD of that container")
  func downThenAdd() async throws {
    try await withTestNode { node in
      let (pod, configuration) = (try await TestPod(), node.macvlan())
      let before = try await node.snapshot([pod])
      try await node.add(pod, configuration)
      try await node.kill()
      try await node.delete(pod, configuration)
      #expect(node.entries.count == 1)
      #expect(try await pod.network.link("eth0") != nil)
      // Nobody waits for the daemon here: the shim does.
      try await node.launch()
      let result = try await node.add(pod, configuration)
      #expect(result.at("ips", 0, "address") != nil)
      let isDone = try await node.workedOff()
      #expect(isDone)
      #expect(try await pod.network.link("eth0") != nil)
      #expect(node.leases.count == 1)
      try await node.delete(pod, configuration)
      let left = try await node.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("Several DELs of several pods wait, and all are done at the next start")
  func several() async throws {
    try await withTestNode { node in
      let configuration = node.macvlan()
      let pods = [try await TestPod(), try await TestPod(), try await TestPod()]
      try await node.add(pods[0], configuration)
      try await node.delete(pods[0], configuration)
      let before = try await node.snapshot(pods)
      for pod in pods { try await node.add(pod, configuration) }
      try await node.kill()
      for _ in 0..<3 { for pod in pods { try await node.delete(pod, configuration) } }
      #expect(node.entries.count == 9)
      try await node.start()
      let isDone = try await node.workedOff()
      #expect(isDone)
      let left = try await node.leftovers(since: before, pods)
      #expect(left == [])
    }
  }

  @Test("A DEL that waits is done without a record, and with a damaged one")
  func withoutRecord() async throws {
    try await withTestNode { node in
      let configuration = node.macvlan()
      let pods = [try await TestPod(), try await TestPod()]
      try await node.add(pods[0], configuration)
      try await node.delete(pods[0], configuration)
      let before = try await node.snapshot(pods)
      for (index, pod) in pods.enumerated() {
        try await node.add(pod, configuration)
        try await node.kill()
        let record = "\(node.stateDirectory)/attachments/\(try #require(node.records.first))"
        if index == 0 {
          try Files.remove(record)
        } else {
          try Files.write(record, Array("{\"version\":1,".utf8), mode: [.write, .truncate])
        }
        try await node.delete(pod, configuration)
        try await node.start()
        let isDone = try await node.workedOff()
        #expect(isDone)
        #expect(try await pod.network.link("eth0") == nil)
        #expect(node.leases == [])
      }
      let left = try await node.leftovers(since: before, pods, within: 5000)
      #expect(left.count == 1 && left.first?.hasSuffix(".damaged") == true, "\(left)")
    }
  }

  @Test("A DEL that met a silent daemon, or a full backlog, is done by that daemon when it goes on")
  func whileAlive() async throws {
    try await withTestNode { node in
      let (pod, configuration) = (try await TestPod(), node.macvlan())
      for isFull in [false, true] {
        try await node.add(pod, configuration)
        let process = try #require(node.daemon)
        #expect(kill(process.pid, SIGSTOP) == 0)
        let socket = node.socket
        let waiting = Locked<[Int32]>([])
        if isFull {
          await onThread {
            while let connection = try? UnixSocket.connect(socket) {
              let number = connection.movedUp().release()
              waiting.withLock { $0.append(number) }
            }
          }
          #expect(waiting.value.count > 100)
        }
        // Not `delete`, which waits until the daemon has done it.
        let run = try await node.shim("DEL", pod, configuration)
        #expect(run.succeeded && run.output.isEmpty, "\(run)")
        #expect(node.entries.count == 1)
        #expect(try await pod.network.link("eth0") != nil)
        for number in waiting.value { _ = FileDescriptor(adopting: number) }
        #expect(kill(process.pid, SIGCONT) == 0)
        let isDone = try await node.workedOff()
        #expect(isDone)
        #expect(try await pod.network.link("eth0") == nil)
        #expect(node.leases == [] && node.records == [])
      }
    }
  }

  @Test("An entry that is older than the ADD leaves the attachment, a younger one removes it")
  func stamps() async throws {
    try await withTestNode { node in
      let (pod, configuration) = (try await TestPod(), node.macvlan())
      let early = Stamp.now
      try await node.add(pod, configuration)
      try node.put(pod, configuration, stamp: early)
      let first = try await node.workedOff()
      #expect(first)
      #expect(try await pod.network.link("eth0") != nil)
      #expect(node.records.count == 1 && node.leases.count == 1)
      // And so it is after a restart.
      try await node.kill()
      try node.put(pod, configuration, stamp: early)
      try await node.start()
      let second = try await node.workedOff()
      #expect(second)
      #expect(try await pod.network.link("eth0") != nil)
      try node.put(pod, configuration, stamp: .now)
      let third = try await node.workedOff()
      #expect(third)
      #expect(try await pod.network.link("eth0") == nil)
      #expect(node.records == [] && node.leases == [])
    }
  }

  @Test("An entry of another boot leaves what this boot made")
  func otherBoot() async throws {
    try await withTestNode { node in
      let (pod, configuration) = (try await TestPod(), node.macvlan())
      try await node.add(pod, configuration)
      try node.put(
        pod, configuration, stamp: Stamp(bootID: "another-boot", nanoseconds: .max / 2))
      let isDone = try await node.workedOff()
      #expect(isDone)
      #expect(try await pod.network.link("eth0") != nil)
      #expect(node.records.count == 1)
      #expect(node.log.contains("a spooled DEL is dropped"))
      let metrics = try await node.http("GET", "/metrics").text
      #expect(metrics.contains("cnid_spool_dropped_total 1\n"))
      try await node.delete(pod, configuration)
    }
  }

  @Test("An entry of another boot counts if the attachment's ADD came from there too")
  func sameOtherBoot() async throws {
    try await withTestNode { node in
      let (pod, configuration) = (try await TestPod(), node.macvlan())
      // A runtime in a container whose boot has another id than the daemon's.
      let add: JSONValue = [
        "env": .object(
          JSONObject(pod.environment("ADD").map { ($0.key, JSONValue.string($0.value)) })),
        "config": .string(Base64.encode(configuration.bytes)),
      ]
      let head =
        "POST /cni HTTP/1.1\r\nHost: x\r\nX-Cnid-Stamp: faked:5\r\nConnection: close\r\n"
        + "Content-Length: \(add.bytes.count)\r\n\r\n"
      let socket = node.socket
      let answer = try await onThread {
        try RawHTTP.parse(RawHTTP.exchange(Array(head.utf8) + add.bytes, socket, within: 60_000))
      }
      #expect(answer.status == 200, "\(answer)")
      try node.put(pod, configuration, stamp: Stamp(bootID: "faked", nanoseconds: .max / 2))
      let isDone = try await node.workedOff()
      #expect(isDone)
      #expect(try await pod.network.link("eth0") == nil)
      #expect(node.records == [] && node.leases == [])
    }
  }

  @Test("What is no entry is set aside and counted, and those beside it are done")
  func damaged() async throws {
    try await withTestNode { node in
      let (pod, configuration) = (try await TestPod(), node.macvlan())
      try await node.add(pod, configuration)
      try await node.kill()
      try await node.delete(pod, configuration)
      let name = "00000000000000000001-x.json"
      try Files.write("\(node.spool)/\(name)", Array("{".utf8), mode: [.write, .create])
      try await node.start()
      let isDone = try await node.workedOff()
      #expect(isDone)
      #expect(try await pod.network.link("eth0") == nil)
      #expect(TemporaryDirectory.files(below: node.spool) == ["\(name).damaged"])
      #expect(node.log.contains("is no entry"))
    }
  }

  @Test("Two thousand entries hold up neither readiness nor the ADD of another pod")
  func many() async throws {
    try await withTestNode { node in
      let (pod, configuration) = (try await TestPod(), node.macvlan())
      try await node.kill()
      for index in 0..<2000 {
        try node.put(
          pod, configuration, stamp: .now, id: "\(index)",
          ["CNI_CONTAINERID": "gone-\(index)", "CNI_NETNS": ""])
      }
      let began = KernelClock.monotonic
      try await node.start()
      let ready = KernelClock.monotonic
      let run = try await node.shim("ADD", pod, configuration)
      let added = KernelClock.monotonic
      #expect(run.succeeded, "\(run)")
      let isDone = try await eventually(within: 60_000) { node.entries.isEmpty }
      #expect(isDone)
      let done = KernelClock.monotonic
      print(
        "figure: 2000 spooled DELs: ready after \((ready - began) / 1_000_000) ms, an ADD took "
          + "\((added - ready) / 1_000_000) ms, all done after \((done - began) / 1_000_000) ms")
      // Not behind all of them.
      #expect(added - ready < 5_000_000_000 * UInt64(Program.patience))
      try await node.delete(pod, configuration)
    }
  }

  @Test("A spool that is not root's alone keeps the daemon from starting, and DEL says so")
  func insecure() async throws {
    try await withTestNode { node in
      let (pod, configuration) = (try await TestPod(), node.macvlan())
      try await node.add(pod, configuration)
      try await node.kill()
      try Files.setPermissions(node.spool, 0o755)
      let run = try await node.shim("DEL", pod, configuration)
      #expect(run.code == 11 && run.message?.contains(node.spool) == true, "\(run)")
      let status = try await node.launch().ended()
      #expect(status != nil && status != .exited(0))
      #expect(node.log.contains("insecure permissions on spool directory"))
      try Files.setPermissions(node.spool, 0o700)
      try await node.start()
      try await node.delete(pod, configuration)
      #expect(node.records == [] && node.leases == [])
    }
  }

  // MARK: A daemon that is killed before, during and after its answer

  @Test(
    "An ADD whose daemon is killed at a step comes again and succeeds",
    arguments: ["takeLease", "createLink", "configureLink"])
  func killedDuringAdd(step: String) async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      let (pod, configuration) = (try await TestPod(), node.macvlan())
      try await node.start(killedAfter: step)
      let before = try await node.snapshot([pod])
      async let added = node.shim("ADD", pod, configuration)
      let process = try #require(node.daemon)
      #expect(try await process.ended() == .signalled(9))
      try await node.start()
      let run = try await added
      #expect(run.succeeded && run.json?.at("ips", 0, "address") != nil, "\(run)")
      #expect(node.leases.count == 1 && node.records.count == 1)
      try await node.delete(pod, configuration)
      let left = try await node.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test(
    "A DEL whose daemon is killed at a step succeeds, and the next daemon ends what it began",
    arguments: ["deleteLink", "releaseLease"])
  func killedDuringDelete(step: String) async throws {
    try await withTestNode(TestNode.Options(startsDaemon: false)) { node in
      let (pod, configuration) = (try await TestPod(), node.macvlan())
      try await node.start()
      try await node.add(pod, configuration)
      try await node.delete(pod, configuration)
      let before = try await node.snapshot([pod])
      try await node.add(pod, configuration)
      try await node.stop()
      try await node.start(killedAfter: step)
      try await node.delete(pod, configuration)
      let process = try #require(node.daemon)
      #expect(try await process.ended() == .signalled(9))
      #expect(node.entries.count == 1)
      try await node.start()
      let isDone = try await node.workedOff()
      #expect(isDone)
      let left = try await node.leftovers(since: before, [pod])
      #expect(left == [])
    }
  }

  @Test("An ADD that had finished gives its result to the same request id, after a kill too")
  func killedAfterAdd() async throws {
    try await withTestNode { node in
      let (pod, configuration) = (try await TestPod(), node.macvlan())
      let stamp = Stamp.now
      let first = try await node.call("ADD", pod, configuration, id: "a-1", stamp: stamp)
      #expect(first.status == 200, "\(first)")
      let again = try await node.call("ADD", pod, configuration, id: "a-1", stamp: stamp)
      #expect(again.json == first.json)
      try await node.kill()
      try await node.start()
      let later = try await node.call("ADD", pod, configuration, id: "a-1", stamp: stamp)
      #expect(later.json == first.json)
      #expect(node.leases.count == 1 && node.records.count == 1)
      let other = try await node.call("ADD", pod, configuration, id: "a-2")
      #expect(other.status == 400 && other.code == 4, "\(other)")
      #expect(try await pod.network.link("eth0") != nil)
    }
  }

  @Test("A DEL with a request id that was there before succeeds and changes nothing")
  func repeatedDelete() async throws {
    try await withTestNode { node in
      let (pod, configuration) = (try await TestPod(), node.macvlan())
      try await node.add(pod, configuration)
      let stamp = Stamp.now
      for _ in 0..<2 {
        let answer = try await node.call("DEL", pod, configuration, id: "d-1", stamp: stamp)
        #expect(answer.status == 200, "\(answer)")
      }
      // The same DEL also waits in the spool, and an ADD came after it.
      try await node.add(pod, configuration)
      try node.put(pod, configuration, stamp: stamp, id: "d-1")
      let isDone = try await node.workedOff()
      #expect(isDone)
      #expect(try await pod.network.link("eth0") != nil)
      try await node.delete(pod, configuration)
      #expect(node.records == [] && node.leases == [])
    }
  }
}
