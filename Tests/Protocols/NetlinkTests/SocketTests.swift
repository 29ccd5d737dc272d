import Addresses
@_spi(Journal) import Linux
import Netlink
import TestSupport
import Testing

@Suite("Netlink sockets on the real kernel")
struct SocketTests {
  @Test("One process has many sockets at a time, each with its own answers")
  func many() async throws {
    let node = try await TestNamespace()
    let found = try await node.run {
      var first = try NetlinkSocket()
      var second = try NetlinkSocket()
      var third = try NetlinkSocket()
      return [
        try first.links(deadline: soon).count, try second.links(deadline: soon).count,
        try third.links(deadline: soon).count,
      ]
    }
    #expect(found == [1, 1, 1])
  }

  @Test("A socket stays in the namespace where it was opened, also one opened from outside")
  func namespaces() async throws {
    let (node, pod) = (try await TestNamespace(), try await TestNamespace())
    try await node.ip("link add br-node type bridge")
    try await pod.ip("link add br-pod type bridge")
    let names = try await node.run {
      var inside = try NamespaceSockets.open(in: try pod.opened())
      return try inside.socket.links(deadline: soon).map(\.name)
    }
    #expect(names == ["lo", "br-pod"])
  }

  @Test("A refusal in a batch has the kernel's words and does not keep the others from being done")
  func batch() async throws {
    let node = try await TestNamespace()
    let (outcomes, names) = try await node.netlink { socket in
      let outcomes = try socket.attempt(
        [
          .createLink(NewLink(name: "br0", kind: .bridge)),
          .createLink(NewLink(name: "m0", kind: .macvlan(parent: 4711, mode: .bridge))),
          .createLink(NewLink(name: "br1", kind: .bridge)),
        ], Permit(), deadline: soon)
      return (outcomes, try socket.links(deadline: soon).map(\.name))
    }
    #expect(outcomes.map { $0?.errno } == [nil, .noDevice, nil])
    #expect(names.sorted() == ["br0", "br1", "lo"])
  }

  @Test("A dump of many datagrams is complete")
  func large() async throws {
    let node = try await TestNamespace()
    let counts = try await node.netlink { socket in
      let link = try socket.cable()
      let changes = (1...2000).compactMap { number in
        IPAddress(v4: 0x0A00_0000 + UInt32(number)).network(16).map {
          NetlinkChange.addAddress(InterfaceAddress(index: link.index, network: $0))
        }
      }
      try socket.apply(changes, Permit(), deadline: soon)
      let all = try socket.addresses(deadline: soon)
      let four = try socket.addresses(of: link.index, family: .v4, deadline: soon)
      return (four.count, Set(four.map(\.network)).count, all.count >= 2000)
    }
    #expect(counts.0 == 2000 && counts.1 == 2000 && counts.2)
  }

  @Test("A dump while links come and go is complete for those that stay")
  func moving() async throws {
    let node = try await TestNamespace()
    let stop = Locked(false)
    let bridges = (0..<60).map { "stay\($0)" }
    try await node.netlink { socket in
      for name in bridges { try socket.apply(.createLink(NewLink(name: name, kind: .bridge))) }
    }
    let turns = Locked(0)
    async let churn: Void = node.netlink { socket in
      while !stop.value {
        try socket.apply(.createLink(NewLink(name: "move", kind: .bridge)))
        try socket.apply(.deleteLink(index: try socket.existing("move").index))
        turns.withLock { $0 += 1 }
        // With a sanitizer or on a slow machine no dump would ever end between two changes.
        if Program.slowness > 1 { Clock.pause(milliseconds: 10 * Program.slowness) }
      }
    }
    let isMoving = try await becomes { turns.value > 0 }
    let short = try await node.netlink { socket in
      defer { stop.withLock { $0 = true } }
      var short = 0
      for _ in 0..<Program.rounds(150) {
        let names = Set(try socket.links(deadline: soon).map(\.name))
        if !names.isSuperset(of: bridges) { short += 1 }
      }
      return short
    }
    try await churn
    #expect(short == 0 && isMoving)
  }

  @Test("Links, addresses and routes are announced as they change")
  func notifications() async throws {
    let node = try await TestNamespace()
    let seen = try await node.run { () throws -> [String] in
      var socket = try NetlinkSocket()
      let link = try socket.cable()
      var listener = try NotificationSocket(
        .links, .ipv4Addresses, .ipv4Routes)
      let address = InterfaceAddress(index: link.index, network: IPNetwork("10.1.2.3/24")!)
      let route = Route(to: IPNetwork("10.9.0.0/16")!, index: link.index)
      try socket.apply(
        .addAddress(address), .addRoute(route), .removeRoute(route), .removeAddress(address),
        .deleteLink(index: link.index))
      var seen: [String] = []
      while let event = try listener.nextIfAny() {
        switch event {
        case .address(let other) where other == address || other.network == address.network:
          seen.append("+address")
        case .addressRemoved: seen.append("-address")
        case .route(let other) where other.destination == route.destination:
          seen.append("+route")
        case .routeRemoved(let other) where other.destination == route.destination:
          seen.append("-route")
        case .linkRemoved(let other, family: 0) where other.index == link.index:
          seen.append("-link")
        default: break
        }
      }
      return seen
    }
    #expect(seen.filter { $0.hasPrefix("+") } == ["+address", "+route"])
    #expect(Set(seen).isSuperset(of: ["-route", "-address", "-link"]))
    #expect(seen.last == "-link")
  }

  @Test("A listener that was too slow is told so, and hears what comes later")
  func overflow() async throws {
    let node = try await TestNamespace()
    let seen = try await node.run { () throws -> [String] in
      var listener = try NotificationSocket(.links)
      var socket = try NetlinkSocket()
      let link = try socket.cable()
      var settings = LinkSettings()
      for number in 0..<1500 {
        settings.mtu = UInt32(1000 + number % 100)
        try socket.apply(.changeLink(index: link.index, settings))
      }
      var seen: [String] = []
      do throws(NetlinkError) {
        while try listener.nextIfAny() != nil {}
      } catch {
        seen.append(error.errno.name)
      }
      while try listener.nextIfAny() != nil {}
      settings.mtu = 1234
      try socket.apply(.changeLink(index: link.index, settings))
      // The kernel may still have something to say of the carrier.
      let deadline = soon
      while seen.last != "1234" {
        guard case .link(let link, family: 0) = try listener.next(deadline: deadline) else {
          continue
        }
        if link.mtu == 1234 { seen.append("1234") }
      }
      return seen
    }
    #expect(seen == ["ENOBUFS", "1234"])
  }

  @Test("Waiting for an announcement that does not come ends with the deadline")
  func silence() async throws {
    let node = try await TestNamespace()
    let error = await #expect(throws: NetlinkError.self) {
      try await node.run {
        var listener = try NotificationSocket(.links)
        _ = try listener.next(deadline: .after(milliseconds: 30))
      }
    }
    #expect(error?.errno == .timedOut)
  }
}

extension IPAddress {
  /// This address in a network of that prefix length.
  func network(_ prefixLength: Int) -> IPNetwork? {
    IPNetwork(address: self, prefixLength: prefixLength)
  }
}

@Suite("Everything needed in another namespace, opened in place")
struct NamespaceSocketsTests {
  @Test("Every namespace has a cookie of its own, and the thread is at home again")
  func cookies() async throws {
    let (node, first, second) = (
      try await TestNamespace(), try await TestNamespace(), try await TestNamespace()
    )
    let seen = try await node.run { () throws -> [UInt64] in
      let own = try NetlinkSocket().namespaceCookie()
      let others = [try first.opened().cookie(), try second.opened().cookie()]
      return [own, try NetlinkSocket().namespaceCookie()] + others
    }
    #expect(seen[0] == seen[1])
    #expect(Set(seen).count == 3)
  }

  @Test("Questions, announcements and settings are the other namespace's, from any thread")
  func everything() async throws {
    let (node, pod) = (try await TestNamespace(), try await TestNamespace())
    try await node.ip("link add br0 type bridge")
    let seen = try await node.run { () throws -> [String] in
      var access = try NamespaceSockets.open(in: try pod.opened(), listeningTo: [.links])
      try access.socket.apply(.createLink(NewLink(name: "br0", kind: .bridge)))
      var seen: [String] = []
      if case .link(let link, family: 0) = try access.listener?.next(deadline: soon) {
        seen.append(link.name)
      }
      try access.ipv6.set("ndisc_notify", of: "br0", to: "1", Permit())
      seen.append(try access.ipv6.value("ndisc_notify", of: "br0"))
      do throws(SystemError) {
        seen.append(try access.ipv6.value("ndisc_notify", of: "nope"))
      } catch {
        seen.append(error.errno.name)
      }
      return seen
    }
    #expect(seen == ["br0", "1", "ENOENT"])
    for (place, value) in [(node, "0\n"), (pod, "1\n")] {
      let text = try await place.run(["cat", "/proc/sys/net/ipv6/conf/br0/ndisc_notify"]).text
      #expect(text == value)
    }
  }
}
