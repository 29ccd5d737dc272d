import Addresses
import Linux
import Netlink
import TestSupport
import Testing

@Suite("Addresses and routes of the real kernel")
struct AddressTests {
  @Test("Addresses of both families come back as they were added")
  func addresses() async throws {
    let node = try await TestNamespace()
    let four = try #require(IPNetwork("10.1.2.3/24"))
    let six = try #require(IPNetwork("2001:db8::2/64"))
    let found = try await node.netlink { socket in
      let link = try socket.cable()
      let other = try socket.existing("wire")
      try socket.apply(
        .addAddress(.init(index: link.index, network: four)),
        .addAddress(.init(index: link.index, network: six, flags: .noDAD)),
        .addAddress(.init(index: other.index, network: four)))
      return try socket.addresses(of: link.index, deadline: soon).filter { $0.scope == 0 }
    }
    #expect(found.map(\.network) == [four, six])
    #expect(found.map(\.broadcast) == [IPAddress("10.1.2.255"), nil])
    #expect(found.allSatisfy { $0.flags.contains(.permanent) && $0.peer == nil })
    #expect(found.last?.flags.isSuperset(of: [.noDAD]) == true)
    #expect(found.last?.flags.contains(.tentative) == false)
  }

  @Test("An address that is there is EEXIST; one that is not is EADDRNOTAVAIL")
  func twice() async throws {
    let node = try await TestNamespace()
    let network = try #require(IPNetwork("10.1.2.3/24"))
    let seen = try await node.netlink { socket in
      let address = InterfaceAddress(index: try socket.cable().index, network: network)
      try socket.apply(.addAddress(address))
      var seen: [String] = []
      for change in [
        NetlinkChange.addAddress(address), .removeAddress(address), .removeAddress(address),
      ] {
        do throws(NetlinkError) {
          try socket.apply(change)
          seen.append("done")
        } catch {
          seen.append(error.errno.name)
        }
      }
      return seen
    }
    #expect(seen == ["EEXIST", "done", "EADDRNOTAVAIL"])
  }

  @Test("Of many routes and addresses those that are asked for are handed out, never all")
  func wanted() async throws {
    let node = try await TestNamespace()
    let (routes, capped, addresses) = try await node.netlink { socket in
      let link = try socket.cable()
      try socket.apply(
        .addAddress(.init(index: link.index, network: IPNetwork("10.1.2.3/24")!)),
        .addAddress(.init(index: link.index, network: IPNetwork("10.1.2.4/24")!)))
      // Many to one network, and many to others.
      let one = IPNetwork("15.0.0.0/24")!
      let changes = (1...3000).map { number in
        let network = IPAddress(v4: 0x1000_0000 + UInt32(number) << 8).network(24) ?? one
        var route = Route(to: number % 2 == 0 ? one : network, index: link.index)
        route.priority = UInt32(number)
        return NetlinkChange.addRoute(route)
      }
      for change in changes { try socket.apply(change) }
      let last = IPAddress(v4: 0x1000_0000 + 2999 << 8).network(24) ?? one
      return (
        try socket.routes(.v4, index: link.index, to: [last], deadline: soon),
        try socket.routes(.v4, index: link.index, to: [one], deadline: soon).count,
        try socket.addresses(
          of: link.index, with: [IPNetwork("10.1.2.4/24")!], deadline: soon
        ).map { $0.network.description }
      )
    }
    #expect(routes.map(\.destination.description) == ["16.11.183.0/24"])
    #expect(capped == 1000)
    #expect(addresses == ["10.1.2.4/24"])
  }

  @Test("A route has every member that the CNI knows", arguments: [1000, 254] as [UInt32])
  func routes(table: UInt32) async throws {
    let node = try await TestNamespace()
    let (wanted, found) = try await node.netlink { socket in
      let link = try socket.cable()
      let networks = [IPNetwork("10.1.2.3/24"), IPNetwork("2001:db8::2/64")].compactMap { $0 }
      for network in networks {
        try socket.apply(
          .addAddress(.init(index: link.index, network: network, flags: .noDAD)))
      }
      var four = Route(
        to: IPNetwork("15.5.6.0/24")!, via: IPAddress("10.1.2.1"), index: link.index)
      four.mtu = 1400
      four.advertisedMSS = 1360
      four.priority = 100
      four.table = table
      four.scope = 0
      var six = Route(
        to: IPNetwork("1111:dddd::/80")!, via: IPAddress("2001:db8::1"), index: link.index)
      six.mtu = 1400
      six.advertisedMSS = 1340
      six.priority = 200
      six.table = table
      six.scope = 0
      try socket.apply(.addRoute(four), .addRoute(six))
      let found =
        try socket.routes(.v4, table: table, index: link.index, deadline: soon).filter {
          $0.destination == four.destination
        }
        + socket.routes(.v6, table: table, index: link.index, deadline: soon).filter {
          $0.destination == six.destination
        }
      return ([four, six], found)
    }
    #expect(found == wanted)
    let text = try await node.run(["ip", "route", "show", "table", "\(table)", "15.5.6.0/24"])
    #expect(
      text.text.contains("15.5.6.0/24 via 10.1.2.1 dev uplink metric 100 mtu 1400 advmss 1360"))
  }

  @Test("Further ways of a route are added to it, and exactly the same one is EEXIST")
  func ways() async throws {
    let node = try await TestNamespace()
    let (outcomes, six) = try await node.netlink { socket in
      let link = try socket.cable()
      for text in ["10.1.2.3/24", "2001:db8::2/64"] {
        try socket.apply(
          .addAddress(.init(index: link.index, network: IPNetwork(text)!, flags: .noDAD)))
      }
      var outcomes: [Errno?] = []
      for (destination, gateway) in [
        ("10.9.0.0/16", "10.1.2.1"), ("10.9.0.0/16", "10.1.2.2"), ("10.9.0.0/16", "10.1.2.2"),
        ("2001:db9::/32", "2001:db8::8"), ("2001:db9::/32", "2001:db8::9"),
      ] {
        let route = Route(
          to: IPNetwork(destination)!, via: IPAddress(gateway), index: link.index)
        do throws(NetlinkError) {
          try socket.apply(.addRoute(route))
          outcomes.append(nil)
        } catch {
          outcomes.append(error.errno)
        }
      }
      let six = try socket.routes(.v6, index: link.index, deadline: soon).filter {
        $0.destination == IPNetwork("2001:db9::/32")
      }
      return (outcomes, six)
    }
    #expect(outcomes == [nil, nil, .exists, nil, nil])
    #expect(
      six.flatMap(\.nextHops).map(\.gateway) == ["2001:db8::8", "2001:db8::9"].map(IPAddress.init))
    let four = try await node.routes().filter { $0.hasPrefix("10.9.0.0/16") }
    #expect(four == ["10.9.0.0/16 via 10.1.2.1 dev uplink", "10.9.0.0/16 via 10.1.2.2 dev uplink"])
  }

  @Test("The default route with the smallest metric decides; IPv6 only if IPv4 has none")
  func defaultRoute() async throws {
    let node = try await TestNamespace()
    let seen = try await node.netlink { socket in
      let (first, second) = (try socket.cable("a0", "a1"), try socket.cable("b0", "b1"))
      var seen: [UInt32?] = [try socket.defaultRouteLink(deadline: soon)]
      let six = Route(to: IPNetwork("::/0")!, index: first.index)
      try socket.apply(.addRoute(six))
      seen.append(try socket.defaultRouteLink(deadline: soon))
      for (index, priority) in [(first.index, 300), (second.index, 200)] as [(UInt32, UInt32)] {
        var route = Route(to: IPNetwork("0.0.0.0/0")!, index: index)
        route.priority = priority
        try socket.apply(.addRoute(route))
        seen.append(try socket.defaultRouteLink(deadline: soon))
      }
      return seen.map { $0 == first.index ? "a" : $0 == second.index ? "b" : "-" }
    }
    #expect(seen == ["-", "a", "a", "b"])
  }

  @Test(
    "A gateway out of reach is refused in the kernel's words, unless it is said to be on the link")
  func onLink() async throws {
    let node = try await TestNamespace()
    let seen = try await node.netlink { socket in
      let link = try socket.cable()
      // Without any address the namespace has no table that tells what kind of
      // address a gateway is.
      let address = IPNetwork("192.0.2.1/32")!
      try socket.apply(.addAddress(.init(index: link.index, network: address)))
      var route = Route(
        to: IPNetwork("10.9.0.0/16")!, via: IPAddress("10.1.2.1"), index: link.index)
      var seen: [String] = []
      for isOnLink in [false, true] {
        route.isOnLink = isOnLink
        do throws(NetlinkError) {
          try socket.apply(.addRoute(route))
          seen.append("done")
        } catch {
          seen.append("\(error.errno.name): \(error.kernelMessage)")
        }
      }
      try socket.apply(.removeRoute(route))
      return seen
    }
    #expect(seen == ["ENETUNREACH: Nexthop has invalid gateway", "done"])
  }

  @Test("An IPv4 route goes through an IPv6 router")
  func via() async throws {
    let node = try await TestNamespace()
    let found = try await node.netlink { socket in
      let link = try socket.cable()
      let route = Route(
        to: IPNetwork("10.9.0.0/16")!, via: IPAddress("fe80::1"), index: link.index)
      try socket.apply(.addRoute(route))
      return try socket.routes(.v4, table: Route.Table.main, deadline: soon)
    }
    #expect(found.map(\.gateway) == [IPAddress("fe80::1")])
  }
}
