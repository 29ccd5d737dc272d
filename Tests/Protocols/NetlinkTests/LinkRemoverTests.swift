import Addresses
@_spi(Journal) import Linux
import Netlink
import TestSupport
import Testing

@Suite("Removing links without waiting for their memory")
struct LinkRemoverTests {
  /// A node with a card, and a pod with a macvlan link `eth0` on it, which goes when the node goes.
  private func attached(_ mac: MACAddress? = nil) async throws -> (TestNamespace, TestNamespace) {
    let (node, pod) = (try await TestNamespace(), try await TestNamespace())
    try await node.netlink { socket in
      let parent = try socket.cable()
      try socket.attach(parent.index, pod, mac)
    }
    return (node, pod)
  }

  @Test("The link is gone, and its name and address free, before the kernel has acknowledged")
  func early() async throws {
    let mac = try #require(MACAddress("c2:00:00:00:00:01"))
    let (node, pod) = try await attached(mac)
    let remover = try LinkRemover()
    let (early, times) = try await node.netlink { socket in
      let parent = try socket.existing("uplink").index
      var early = 0
      var times: [UInt64] = []
      // A caller that wakes late finds it acknowledged already.
      for _ in 0..<200 where early < 10 {
        let start = KernelClock.monotonic
        let outcome = try remover.remove(
          linkNamed: "eth0", in: try pod.opened(), Permit(), deadline: soon)
        times.append((KernelClock.monotonic - start) / 1000)
        guard outcome == .removed else { throw TestError("\(outcome)") }
        if remover.pending > 0 { early += 1 }
        // Fails if the name is taken, and the link does not come up if the address is.
        try socket.attach(parent, pod, mac)
      }
      return (early, times.sorted())
    }
    try await onThread { try remover.drain(deadline: soon) }
    #expect(remover.pending == 0)
    #expect(early >= 10, "µs: \(times)")
  }

  @Test("What is not there is absent; what the condition refuses stays, with all that it was shown")
  func outcomes() async throws {
    let (node, pod) = try await attached()
    let remover = try LinkRemover()
    let cookie = try await pod.netlink { try $0.namespaceCookie() }
    let shown = Locked<[String]>([])
    let outcomes = try await onThread { () throws -> [LinkRemover.Outcome] in
      var outcomes: [LinkRemover.Outcome] = []
      for name in ["nope", "eth0"] {
        outcomes.append(
          try remover.remove(
            linkNamed: name, in: try pod.opened(), Permit(), deadline: soon,
            where: { link, namespace in
              shown.withLock { $0.append("\(link.name) \(link.kind) \(namespace == cookie)") }
              return false
            }))
      }
      try remover.drain(deadline: soon)
      return outcomes
    }
    #expect(outcomes == [.absent, .kept])
    #expect(shown.value == ["eth0 macvlan true"])
    let left = try await pod.links()
    #expect(left == ["eth0"])
    withExtendedLifetime(node) {}
  }

  @Test("The end of a link's role as a bridge port is not the link's end")
  func port() async throws {
    let node = try await TestNamespace()
    let remover = try LinkRemover()
    let left = try await node.netlink { socket in
      try socket.apply(.createLink(NewLink(name: "br0", kind: .bridge)))
      let bridge = try socket.existing("br0").index
      var left = 0
      for _ in 0..<10 {
        let port = try socket.cable()
        var settings = LinkSettings()
        settings.bridge = bridge
        try socket.apply(.changeLink(index: port.index, settings))
        let outcome = try remover.remove(
          linkNamed: "uplink", in: try node.opened(), Permit(), deadline: soon)
        guard outcome == .removed else { throw TestError("\(outcome)") }
        if try socket.link(index: port.index, deadline: soon) != nil { left += 1 }
      }
      try remover.drain(deadline: soon)
      return left
    }
    #expect(left == 0)
  }

  @Test("Many removals at a time share few threads")
  func many() async throws {
    let remover = try LinkRemover(limit: 4)
    let pods = try await withThrowingTaskGroup(of: TestNamespace.self) { group in
      for _ in 0..<24 {
        group.addTask {
          let pod = try await TestNamespace()
          try await pod.netlink { socket in
            try socket.apply(.createLink(NewLink(name: "eth0", kind: .bridge)))
          }
          return pod
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    let most = Locked(0)
    let outcomes = try await withThrowingTaskGroup(of: LinkRemover.Outcome.self) { group in
      for pod in pods {
        group.addTask {
          try await onThread {
            let outcome = try remover.remove(
              linkNamed: "eth0", in: try pod.opened(), Permit(), deadline: soon)
            most.withLock { $0 = max($0, remover.pending) }
            return outcome
          }
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    try await onThread { try remover.drain(deadline: soon) }
    #expect(outcomes.allSatisfy { $0 == .removed } && outcomes.count == 24)
    #expect(most.value <= 4)
  }

  @Test("A refusal of the kernel is thrown")
  func refused() async throws {
    let node = try await TestNamespace()
    let remover = try LinkRemover()
    let error = await #expect(throws: NetlinkError.self) {
      try await onThread {
        _ = try remover.remove(
          linkNamed: "lo", in: try node.opened(), Permit(), deadline: soon)
      }
    }
    #expect(error?.errno == .notSupported && error?.object == "lo")
    try await onThread { try remover.drain(deadline: soon) }
  }

  @Test("A deadline that has passed ends the wait; the link goes all the same, and nothing is left")
  func late() async throws {
    let (node, pod) = try await attached()
    let remover = try LinkRemover()
    // The link cannot have gone before the time is over.
    let door = Door()
    let errno = try await onThread { () throws -> Errno? in
      defer { door.open() }
      do throws(NetlinkError) {
        let namespace = try pod.opening()
        _ = try remover.remove(
          linkNamed: "eth0", in: namespace, Permit(), deadline: .after(milliseconds: 0),
          where: { _, _ in
            door.pass()
            return true
          })
        return nil
      } catch {
        return error.errno
      }
    }
    #expect(errno == .timedOut)
    try await onThread { try remover.drain(deadline: soon) }
    let gone = try await becomes { try pod.names().isEmpty }
    #expect(gone)
    withExtendedLifetime(node) {}
  }

  @Test("No descriptor and no thread stays")
  func leaks() async throws {
    await #expect(processExitsWith: .success) {
      let (node, pod) = (try await TestNamespace(), try await TestNamespace())
      let remover = try LinkRemover()
      let parent = try await node.netlink { try $0.cable().index }
      func turn() async throws {
        try await node.netlink { socket in
          try socket.attach(parent, pod, nil)
          _ = try remover.remove(linkNamed: "eth0", in: try pod.opened(), Permit(), deadline: soon)
          _ = try remover.remove(linkNamed: "eth0", in: try pod.opened(), Permit(), deadline: soon)
          try remover.drain(deadline: soon)
        }
      }
      for _ in 0..<3 { try await turn() }
      let before = try usage()
      for _ in 0..<100 { try await turn() }
      // A thread that has given its place back may need a moment to end, and the runtime's pool may
      // have grown; a leak would be of a hundred.
      let settled = try await eventually {
        let now = try usage()
        return now.descriptors <= before.descriptors && now.threads <= before.threads + 10
      }
      let after = try usage()
      precondition(settled, "\(before) \(after)")
    }
  }
}

/// This process's open descriptors and threads.
private func usage() throws -> (descriptors: Int, threads: Int) {
  (try Files.list("/proc/self/fd").count, try Files.list("/proc/self/task").count)
}

extension NetlinkSocket {
  /// Creates a macvlan link `eth0` in a pod's namespace and brings it up there.
  fileprivate mutating func attach(
    _ parent: UInt32, _ pod: TestNamespace, _ mac: MACAddress?
  ) throws {
    let namespace = try pod.opened()
    try apply(
      .createLink(
        NewLink(
          name: "eth0", kind: .macvlan(parent: parent, mode: .bridge), mac: mac,
          namespace: namespace.descriptor.rawValue)))
    var inside = try NamespaceSockets.open(in: namespace)
    var settings = LinkSettings()
    settings.isUp = true
    let index = try inside.socket.existing("eth0").index
    try inside.socket.apply(.changeLink(index: index, settings))
  }
}

extension TestNamespace {
  /// `opened`, with the error type that a typed `do` wants.
  fileprivate func opening() throws(NetlinkError) -> NetworkNamespace {
    do throws(SystemError) {
      return try NetworkNamespace(path: path)
    } catch {
      throw NetlinkError("open", path, error.errno)
    }
  }

  /// The names of its links, without loopback; blocks.
  fileprivate func names() throws -> [String] {
    var inside = try NamespaceSockets.open(in: try opened())
    return try inside.socket.links(deadline: soon).map(\.name).filter { $0 != "lo" }
  }
}
