import Addresses
import IPAM
import TestSupport
import Testing

@Suite("Ranges and the order of their addresses")
struct AddressRangeTests {
  private func range(
    _ subnet: String, _ start: String? = nil, _ end: String? = nil, gateway: String? = nil
  ) throws -> AddressRange {
    try AddressRange(
      subnet: try #require(IPNetwork(subnet)), start: start.flatMap { IPAddress($0) },
      end: end.flatMap { IPAddress($0) }, gateway: gateway.flatMap { IPAddress($0) })
  }

  private func walk(_ set: RangeSet, after last: String? = nil) -> [String] {
    set.walk(after: last.flatMap { IPAddress($0) }).map { "\($0.address)" }
  }

  @Test(
    "What is left out is filled in",
    arguments: [
      ("10.1.2.0/24", "10.1.2.1-10.1.2.254", "10.1.2.1"),
      ("10.0.0.0/8", "10.0.0.1-10.255.255.254", "10.0.0.1"),
      ("0.0.0.0/0", "0.0.0.1-255.255.255.254", "0.0.0.1"),
      ("10.1.2.4/30", "10.1.2.5-10.1.2.6", "10.1.2.5"),
      ("2001:db8::/64", "2001:db8::1-2001:db8::ffff:ffff:ffff:ffff", "2001:db8::1"),
      ("2001:db8::4/126", "2001:db8::5-2001:db8::7", "2001:db8::5"),
      ("::/0", "::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::1"),
    ])
  func defaults(subnet: String, text: String, gateway: String) throws {
    let range = try range(subnet)
    #expect("\(range)" == text)
    #expect("\(range.gateway)" == gateway)
  }

  @Test("A range that begins at the broadcast address has no address")
  func broadcast() throws {
    #expect(throws: RangeError.self) { try range("10.1.2.0/24", "10.1.2.255") }
  }

  @Test("Without a last address the walk begins at the first range's start and skips gateways")
  func fromStart() throws {
    let set = try RangeSet([
      range("10.1.0.0/29", gateway: "10.1.0.3"), range("10.2.0.0/24", "10.2.0.8", "10.2.0.9"),
    ])
    #expect(
      walk(set) == [
        "10.1.0.1", "10.1.0.2", "10.1.0.4", "10.1.0.5", "10.1.0.6", "10.2.0.8", "10.2.0.9",
      ])
  }

  @Test("After a last address the walk goes once around and tries that one last")
  func fromLast() throws {
    let set = try RangeSet([
      range("10.1.0.0/29", gateway: "10.1.0.3"), range("10.2.0.0/24", "10.2.0.8", "10.2.0.9"),
    ])
    #expect(
      walk(set, after: "10.1.0.5") == [
        "10.1.0.6", "10.2.0.8", "10.2.0.9", "10.1.0.1", "10.1.0.2", "10.1.0.4", "10.1.0.5",
      ])
    #expect(walk(set, after: "10.2.0.9").first == "10.1.0.1")
    #expect(walk(set, after: "10.2.0.9").last == "10.2.0.9")
    #expect(walk(set, after: "10.1.0.2").first == "10.1.0.4")
    #expect(walk(set, after: "192.0.2.1") == walk(set))
    #expect(walk(set, after: "::1") == walk(set))
  }

  @Test("Wherever the walk begins it has every address but the gateways exactly once")
  func everyAddressOnce() throws {
    let set = try RangeSet([
      range("10.1.0.0/28"), range("10.2.0.16/28", gateway: "10.2.0.30"),
      range("10.3.0.0/24", "10.3.0.200", "10.3.0.200"),
      range("10.4.0.0/24", "10.4.0.1", "10.4.0.1"),
    ])
    let all = Set(walk(set))
    #expect(all.count == 13 + 13 + 1 + 0)
    for last in all.union(["10.1.0.1", "10.2.0.30", "10.4.0.1"]) {
      let addresses = walk(set, after: last)
      #expect(addresses.count == all.count, "\(last)")
      #expect(Set(addresses) == all, "\(last)")
    }
  }

  @Test("A set of nothing but gateways has no address")
  func onlyGateways() throws {
    let set = try RangeSet([range("10.1.0.0/24", "10.1.0.1", "10.1.0.1")])
    #expect(walk(set) == [])
    #expect(walk(set, after: "10.1.0.1") == [])
  }

  @Test("The walk passes the very last addresses of both families")
  func ends() throws {
    let v4 = try RangeSet([range("255.255.255.252/30")])
    #expect(walk(v4) == ["255.255.255.254"])
    let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:"
    let v6 = try RangeSet([range("\(last)fffc/126")])
    #expect(walk(v6, after: "\(last)fffe") == ["\(last)ffff", "\(last)fffe"])
    let everything = try RangeSet([range("::/0")])
    let next = everything.walk(after: IPAddress("\(last)ffff")).prefix(1)
    #expect(next.map { "\($0.address)" } == ["::2"])
  }

  @Test(
    "Ranges overlap if they have an address in common",
    arguments: [
      ("10.0.0.0/24", "10.0.0.0/24", true), ("10.0.0.0/8", "10.9.9.0/24", true),
      ("10.0.0.0/24", "10.0.1.0/24", false), ("10.0.0.0/24", "2001:db8::/64", false),
    ])
  func overlaps(one: String, other: String, expected: Bool) throws {
    let (one, other) = (try RangeSet([range(one)]), try RangeSet([range(other)]))
    #expect((RangeSet.overlap(among: [one, other]) != nil) == expected)
    #expect((RangeSet.overlap(among: [other, one]) != nil) == expected)
  }

  @Test("An overlap is found among any number of ranges, wherever it is")
  func overlapAmongMany() throws {
    var generator = SystemRandomNumberGenerator()
    let sets = try (0..<250).map { try RangeSet([range("10.\($0).0.0/16")]) }
    let others = try (0..<250).map { try RangeSet([range("2001:db8:\($0)::/48")]) }
    #expect(RangeSet.overlap(among: (sets + others).shuffled(using: &generator)) == nil)
    for place in [0, 100, 249] {
      let inner = try RangeSet([range("10.77.9.0/24")])
      var more = sets + others
      more.insert(inner, at: place)
      let found = try #require(RangeSet.overlap(among: more))
      #expect(Set([found.0, found.1]) == [place, place <= 77 ? 78 : 77])
    }
    #expect(RangeSet.overlap(among: []) == nil)
  }

  @Test("Parts of one subnet that do not touch form a set")
  func parts() throws {
    let set = try RangeSet([
      range("10.0.0.0/24", "10.0.0.10", "10.0.0.20"),
      range("10.0.0.0/24", "10.0.0.21", "10.0.0.30"),
    ])
    #expect(walk(set).count == 21)
    #expect(throws: RangeError.self) {
      try RangeSet([
        range("10.0.0.0/24", "10.0.0.10", "10.0.0.20"),
        range("10.0.0.0/24", "10.0.0.20", "10.0.0.30"),
      ])
    }
  }
}
