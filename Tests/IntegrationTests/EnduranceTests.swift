import JSON
import Linux
import TestSupport
import Testing

/// Many calls, bad clients, and what stays behind; alone, because they measure.
@Suite(.daemonLog, .serialized) struct EnduranceTests {
  @Test("A namespace ends with its pod: nothing in the daemon holds it")
  func namespaceEnds() async throws {
    try await withTestNode { node in
      do {
        let pod = try await TestPod()
        // Its other end is in the node and goes when the pod's namespace goes.
        try await node.network.ip("link add probe type veth peer name inside netns \(pod.netns)")
        try await node.add(pod, node.macvlan())
        try await node.delete(pod, node.macvlan())
        #expect(try await node.network.link("probe") != nil)
      }
      let held = try await settled(within: patience) {
        try await node.network.link("probe") == nil ? [] : ["probe"]
      }
      #expect(held == [])
    }
  }

  @Test("A pod that vanishes with its namespace is forgotten by DEL")
  func vanishedNamespace() async throws {
    try await withTestNode { node in
      let containerID: String
      let path: String
      do {
        let pod = try await TestPod()
        try await node.add(pod, node.macvlan())
        (containerID, path) = (pod.containerID, pod.netns)
      }
      let pod = try await TestPod()
      try await node.delete(
        pod, node.macvlan(), ["CNI_CONTAINERID": containerID, "CNI_NETNS": path])
      #expect(node.leases == [] && node.records == [])
      let gone = try await node.leftoverNamespaces()
      #expect(gone == [])
    }
  }

  @Test("Clients that say nothing or half of it disturb nobody and are closed after a while")
  func silentClients() async throws {
    try await withTestNode { node in
      let socket = node.socket
      let halves = [
        "", "P", "POST /cni HTTP/1.1\r\nHost: dummy\r\nContent-Le",
        "POST /cni HTTP/1.1\r\nHost: dummy\r\nContent-Length: 1000\r\n\r\n{\"env\":{",
      ]
      let before = node.daemon?.usage
      let clients = Locked<[Int32]>([])
      try await onThread {
        for half in Array(repeating: halves, count: 50).joined() {
          let connection = try UnixSocket.connect(socket)
          try Descriptor.sendAll(
            connection.rawValue, Array(half.utf8), deadline: .after(seconds: 5))
          let number = connection.release()
          clients.withLock { $0.append(number) }
        }
      }
      let pod = try await TestPod()
      let run = try await node.shim("ADD", pod, node.macvlan())
      #expect(run.succeeded, "\(run)")
      #expect(run.milliseconds < 2000 * Program.patience)
      // No thread for any of them.
      let during = node.daemon?.usage
      #expect((during?.threads ?? 0) - (before?.threads ?? 0) < 20)
      // The heads are due within 5 s, whole requests within 30 s.
      let closed = await onThread { () -> Int in
        var closed = 0
        let deadline = Deadline.after(seconds: 40)
        for number in clients.value {
          let connection = FileDescriptor(adopting: number)
          if (try? Descriptor.readAll(connection.rawValue, limit: 65_536, deadline: deadline))
            != nil
          {
            closed += 1
          }
        }
        return closed
      }
      #expect(closed == clients.value.count)
      try await node.delete(pod, node.macvlan())
      // What the DEL left to be closed takes its moment.
      let isBack = try await eventually {
        (node.daemon?.usage.descriptors ?? .max) <= (before?.descriptors ?? 0) + 2
      }
      #expect(isBack, "\(String(describing: node.daemon?.usage))")
    }
  }

  @Test(
    "A client with 100 MB is refused, costs no memory and disturbs nobody",
    .shippedPrograms("memory is the sanitizer's"))
  func hugeRequest() async throws {
    try await withTestNode { node in
      let socket = node.socket
      let before = try #require(node.daemon?.usage)
      let huge = [UInt8](repeating: 0x20, count: 100 << 20)
      let heads = [
        "POST /cni HTTP/1.1\r\nHost: dummy\r\nContent-Length: \(huge.count)\r\n\r\n",
        "POST /cni HTTP/1.1\r\nHost: dummy\r\nTransfer-Encoding: chunked\r\n\r\n6400000\r\n",
        "POST /cni HTTP/1.1\r\nHost: ", "",
      ]
      for head in heads {
        let answer = try await onThread {
          try RawHTTP.exchange(Array(head.utf8) + huge, socket, within: 30_000)
        }
        let status = try? RawHTTP.parse(answer).status
        #expect(status == nil || (400..<506).contains(status ?? 0), "\(head)")
      }
      let pod = try await TestPod()
      try await node.add(pod, node.macvlan())
      try await node.delete(pod, node.macvlan())
      let after = try #require(node.daemon?.usage)
      #expect(after.peak - before.peak < 40 << 10, "\(before) -> \(after)")
    }
  }

  @Test("Sixty pods at once get sixty addresses, and all of them leave")
  func burst() async throws {
    try await withTestNode { node in
      var pods: [TestPod] = []
      for _ in 0..<60 { pods.append(try await TestPod()) }
      let before = try await node.snapshot()
      let addresses = try await withThrowingTaskGroup(of: String?.self) { group in
        for pod in pods {
          group.addTask {
            try await node.add(pod, node.macvlan()).at("ips", 0, "address")?.string
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      #expect(Set(addresses).count == 60 && !addresses.contains(nil))
      try await withThrowingTaskGroup(of: Void.self) { group in
        for pod in pods { group.addTask { try await node.delete(pod, node.macvlan()) } }
        try await group.waitForAll()
      }
      let left = try await node.leftovers(since: before)
      #expect(left == [])
    }
  }
}

extension TestNode {
  /// Ids of namespaces that are still alive after a moment.
  func leftoverNamespaces() async throws -> [String] {
    try await settled(within: patience) { try await snapshot().namespaces }
  }
}
