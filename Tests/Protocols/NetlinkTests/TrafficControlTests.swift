import JSON
@_spi(Journal) import Linux
import Netlink
import TestSupport
import Testing

@Suite("Traffic control of the real kernel")
struct TrafficControlTests {
  /// From 64 kbit/s to more than 32 bits of bytes a second.
  static let rates: [UInt64] = [8_000, 1_250_000, 125_000_000, 4_294_967_295, 12_500_000_000]

  @Test("A token bucket comes back as it was set, and tc(8) reads the same", arguments: rates)
  func bucket(rate: UInt64) async throws {
    let node = try await TestNamespace()
    let wanted = TokenBucket(rate: rate, burst: 65_536, latency: 25)
    let found = try await node.netlink { socket in
      let link = try socket.cable()
      try socket.apply(.setTokenBucket(index: link.index, wanted))
      return try socket.queueDisciplines(of: link.index, deadline: soon)
    }
    #expect(found.map(\.kind) == ["tbf"] && found.first?.parent == .root)
    let bucket = try #require(found.first?.tokenBucket)
    #expect(bucket.rate == rate && bucket.limit == wanted.limit)
    // The kernel keeps the time in which the bucket fills, in ticks of 64 ns.
    let tick = UInt32(rate * 64 / 1_000_000_000) + 1
    #expect((wanted.burst - tick...wanted.burst).contains(bucket.burst), "\(bucket)")
    let seen = try await node.tbf("uplink")
    #expect(seen.rate == rate)
    // tc(8) counts that time in microseconds.
    let microsecond = UInt32(rate / 1_000_000) + 1
    #expect((wanted.burst - tick - microsecond...wanted.burst).contains(seen.burst), "\(seen)")
  }

  @Test("A bucket is changed in place; its number stays")
  func change() async throws {
    let node = try await TestNamespace()
    let found = try await node.netlink { socket in
      let link = try socket.cable()
      var found: [QueueDiscipline] = []
      for rate in [1_000_000, 2_000_000] as [UInt64] {
        let bucket = TokenBucket(rate: rate, burst: 16_000, limit: 100_000)
        try socket.apply(.setTokenBucket(index: link.index, bucket))
        found += try socket.queueDisciplines(of: link.index, deadline: soon)
      }
      return found
    }
    #expect(found.map(\.tokenBucket?.rate) == [1_000_000, 2_000_000])
    #expect(found.first?.handle == found.last?.handle && found.first?.handle != TrafficHandle.none)
  }

  @Test("A bucket takes the place of another kind's discipline")
  func replace() async throws {
    let node = try await TestNamespace()
    try await node.netlink { socket in _ = try socket.cable() }
    try await node.tc("qdisc replace dev uplink root handle 1: htb default 1")
    let kinds = try await node.netlink { socket in
      let index = try socket.existing("uplink").index
      let before = try socket.queueDisciplines(of: index, deadline: soon).map(\.kind)
      let bucket = TokenBucket(rate: 1_000_000, burst: 16_000, limit: 100_000)
      try socket.apply(.setTokenBucket(index: index, bucket))
      return before + (try socket.queueDisciplines(of: index, deadline: soon).map(\.kind))
    }
    #expect(kinds == ["htb", "tbf"])
  }

  @Test("A removed bucket leaves the usual discipline; there is nothing to remove twice")
  func remove() async throws {
    let node = try await TestNamespace()
    let seen = try await node.netlink { socket in
      let index = try socket.cable().index
      let bucket = TokenBucket(rate: 1_000_000, burst: 16_000, limit: 100_000)
      try socket.apply(
        .setTokenBucket(index: index, bucket), .removeRootQueue(index: index, kind: "tbf"))
      let left = try socket.queueDisciplines(of: index, deadline: soon)
      return left.map { "\($0.kind) \($0.handle)" }
        + [socket.refusal(.removeRootQueue(index: index, name: "uplink"))]
    }
    #expect(seen.first == "noqueue none" && seen.count == 2)
    #expect(
      seen.last?.hasPrefix("remove queue of uplink: No such file or directory (ENOENT)") == true)
  }

  @Test("A discipline of another kind than the named one stays")
  func removeOther() async throws {
    let node = try await TestNamespace()
    try await node.netlink { socket in _ = try socket.cable() }
    try await node.tc("qdisc replace dev uplink root handle 1: htb")
    let seen = try await node.netlink { socket in
      let index = try socket.existing("uplink").index
      return [socket.refusal(.removeRootQueue(index: index, kind: "tbf"))]
        + (try socket.queueDisciplines(of: index, deadline: soon).map(\.kind))
    }
    #expect(seen.first?.contains("(EINVAL)") == true && seen.last == "htb")
  }

  @Test("Without its link a change is ENODEV, and a list is empty")
  func missing() async throws {
    let node = try await TestNamespace()
    let (refusals, count) = try await node.netlink { socket in
      let bucket = TokenBucket(rate: 1_000_000, burst: 16_000, limit: 100_000)
      let refusals = [
        socket.refusal(.setTokenBucket(index: 4711, name: "gone", bucket)),
        socket.refusal(.removeRootQueue(index: 4711, name: "gone")),
      ]
      let count =
        try socket.queueDisciplines(of: 4711, deadline: soon).count
        + socket.trafficClasses(of: 4711, deadline: soon).count
        + socket.ingressFilters(of: 4711, deadline: soon).count
      return (refusals, count)
    }
    #expect(
      refusals == [
        "limit bandwidth of gone: No such device (ENODEV)",
        "remove queue of gone: No such device (ENODEV)",
      ])
    #expect(count == 0)
  }

  @Test("A bucket without room is refused")
  func noRoom() async throws {
    let node = try await TestNamespace()
    let refusal = try await node.netlink { socket in
      let bucket = TokenBucket(rate: 1_000_000, burst: 0, limit: 10_000)
      return socket.refusal(.setTokenBucket(index: try socket.cable().index, bucket))
    }
    #expect(refusal.contains("(EINVAL)"), "\(refusal)")
  }

  @Test("Classes of kind htb have their rates, in 32 and in 64 bits")
  func classes() async throws {
    let node = try await TestNamespace()
    try await node.netlink { socket in _ = try socket.cable() }
    try await node.tc("qdisc replace dev uplink root handle 1: htb")
    try await node.tc("class add dev uplink parent 1: classid 1:fffe htb rate 1mbit ceil 100gbit")
    try await node.tc("class add dev uplink parent 1:fffe classid 1:1 htb rate 20mbit ceil 20mbit")
    let found = try await node.netlink { socket in
      let classes = try socket.trafficClasses(
        of: try socket.existing("uplink").index, deadline: soon)
      // The neighbour at the other end of the cable has none.
      let others = try socket.trafficClasses(of: try socket.existing("wire").index, deadline: soon)
      return classes.sorted { $0.handle.rawValue < $1.handle.rawValue } + others
    }
    #expect(found.map(\.kind) == ["htb", "htb"])
    #expect(found.map(\.handle.description) == ["1:1", "1:fffe"])
    #expect(found.map(\.parent.description) == ["1:fffe", "root"])
    #expect(
      found.map(\.hierarchical) == [
        .init(rate: 2_500_000, ceiling: 2_500_000), .init(rate: 125_000, ceiling: 12_500_000_000),
      ])
  }

  @Test("Filters of what comes in have their actions", arguments: ["ingress", "clsact"])
  func filters(kind: String) async throws {
    let node = try await TestNamespace()
    try await node.netlink { socket in _ = try socket.cable() }
    let before = try await node.filters("uplink")
    let filter = "filter add dev uplink parent \(kind == "clsact" ? "ffff:fff2" : "ffff:")"
    try await node.tc("qdisc add dev uplink \(kind)")
    try await node.tc(
      "\(filter) protocol all prio 7 u32 match u32 0 0 action mirred egress mirror dev wire")
    try await node.tc(
      "\(filter) protocol ip prio 8 bpf bytecode '1,6 0 0 0,' action mirred egress mirror dev wire")
    let found = try await node.filters("uplink")
    #expect(before == [])
    // A hash table of u32 is listed as well, and does nothing.
    #expect(found.filter { !$0.actions.isEmpty }.map(\.kind) == ["u32", "bpf"])
    #expect(found.filter { !$0.actions.isEmpty }.map(\.preference) == [7, 8])
    #expect(found.flatMap(\.actions).map(\.kind) == ["mirred", "mirred"])
    #expect(found.flatMap(\.actions).allSatisfy { $0.police == nil })
  }

  @Test(
    "A policer has its rate and its burst, under each kind of filter and in the old and the new way",
    .fullKernel("act_police, cls_matchall, cls_basic, cls_flower"),
    arguments: [
      "matchall action police", "basic action police", "flower action police",
      "u32 match u32 0 0 action police", "u32 match u32 0 0 police", "basic police",
    ])
  func policers(filter: String) async throws {
    let node = try await TestNamespace()
    try await node.netlink { socket in _ = try socket.cable() }
    try await node.tc("qdisc add dev uplink ingress")
    try await node.tc(
      "filter add dev uplink parent ffff: protocol all \(filter) rate 10mbit burst 100k")
    let actions = try await node.filters("uplink").flatMap(\.actions)
    #expect(actions.map(\.kind) == ["police"])
    let police = try #require(actions.first?.police)
    #expect(police.rate == 1_250_000 && police.packetRate == 0)
    #expect((102_398...102_400).contains(police.burst), "\(police)")
  }

  @Test("A policer's rate has 64 bits, or is one of packets", .fullKernel("act_police"))
  func policerRates() async throws {
    let node = try await TestNamespace()
    try await node.netlink { socket in _ = try socket.cable() }
    let filter = "filter add dev uplink parent ffff: protocol all"
    try await node.tc("qdisc add dev uplink ingress")
    try await node.tc("\(filter) prio 1 matchall action police rate 100gbit burst 1m")
    try await node.tc("\(filter) prio 2 matchall action police pkts_rate 1000 pkts_burst 100")
    let found = try await node.filters("uplink").flatMap(\.actions).map(\.police)
    #expect(found.map { $0?.rate } == [12_500_000_000, 0])
    #expect(found.map { $0?.packetRate } == [0, 1000])
  }

  @Test("A link's disciplines are its own, its ingress one among them")
  func ownOnly() async throws {
    let node = try await TestNamespace()
    try await node.netlink { socket in _ = try socket.cable() }
    try await node.tc("qdisc add dev uplink ingress")
    let found = try await node.netlink { socket in
      let index = try socket.existing("uplink").index
      return try socket.queueDisciplines(of: index, deadline: soon)
        .filter { $0.index == index }.map { "\($0.kind) \($0.handle) \($0.parent)" }
    }
    #expect(found == ["noqueue none root", "ingress ffff: ffff:fff1"])
  }
}

extension TestNamespace {
  /// Gives a command to `tc` inside the namespace, without the word `tc`.
  func tc(_ command: String) async throws {
    let result = try await run(["tc", "-batch", "-"], input: Array("\(command)\n".utf8))
    guard result.succeeded else { throw TestError("tc \(command): \(result)") }
  }

  /// The filters of what comes in through a link, as the module reads them.
  fileprivate func filters(_ link: String) async throws -> [TrafficFilter] {
    try await netlink { socket in
      try socket.ingressFilters(of: try socket.existing(link).index, deadline: soon)
    }
  }

  /// What tc(8) says of a link's token bucket.
  fileprivate func tbf(_ link: String) async throws -> (rate: UInt64, burst: UInt32) {
    let result = try await run(["tc", "-details", "-json", "qdisc", "show", "dev", link])
    let options = result.json?.array?.first?["options"]
    // Newer ones print a number; Debian 12's prints `64Kb/1`.
    let burst = options?["burst"]?.string?.split(separator: "/").first.map(String.init) ?? ""
    guard let rate = options?["rate"]?.uint64, let burst = UInt32(tcSize: burst) else {
      throw TestError("tc qdisc: \(result)")
    }
    return (rate, burst)
  }
}

extension UInt32 {
  /// A size as tc(8) prints it: `1600b`, `32Kb`, `1Mb`.
  fileprivate init?(tcSize text: String) {
    let digits = text.prefix { $0.isNumber }
    let units: [Substring: UInt32] = ["b": 1, "Kb": 1 << 10, "Mb": 1 << 20]
    guard let number = UInt32(digits), let unit = units[text.dropFirst(digits.count)] else {
      return nil
    }
    self = number * unit
  }
}

extension NetlinkSocket {
  /// How a change is refused; "done" if it is not.
  fileprivate mutating func refusal(_ change: NetlinkChange) -> String {
    do throws(NetlinkError) {
      try apply(change)
      return "done"
    } catch {
      return error.description
    }
  }
}
