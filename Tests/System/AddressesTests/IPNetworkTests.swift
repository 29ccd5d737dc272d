import Addresses
import Testing

@Suite("IP networks")
struct IPNetworkTests {
  @Test(
    "A text that Go's net.ParseCIDR takes keeps its host bits and knows its borders",
    arguments: [
      ("10.1.2.3/24", "10.1.2.3/24", "10.1.2.0", "10.1.2.255"),
      ("10.1.2.3/024", "10.1.2.3/24", "10.1.2.0", "10.1.2.255"),
      ("0.0.0.0/0", "0.0.0.0/0", "0.0.0.0", "255.255.255.255"),
      ("1.2.3.4/32", "1.2.3.4/32", "1.2.3.4", "1.2.3.4"),
      ("1.2.3.5/31", "1.2.3.5/31", "1.2.3.4", "1.2.3.5"),
      ("2001:DB8::1/64", "2001:db8::1/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"),
      ("::/0", "::/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
      ("::1/128", "::1/128", "::1", "::1"),
      ("::ffff:1.2.3.4/120", "1.2.3.4/24", "1.2.3.0", "1.2.3.255"),
      ("::ffff:1.2.3.4/96", "1.2.3.4/0", "0.0.0.0", "255.255.255.255"),
      ("::ffff:1.2.3.4/64", "::ffff:1.2.3.4/64", "::", "::ffff:ffff:ffff:ffff"),
    ])
  func accepts(text: String, canonical: String, first: String, last: String) throws {
    let network = try #require(IPNetwork(text))
    #expect(network.description == canonical)
    #expect(network.first.description == first)
    #expect(network.last.description == last)
    #expect(network.masked.address == network.first)
    #expect(network.masked.prefixLength == network.prefixLength)
    #expect(IPNetwork(canonical) == network)
    #expect(network.contains(network.first) && network.contains(network.last))
  }

  @Test(
    "A text that Go's net.ParseCIDR refuses is refused",
    arguments: [
      "", "/", "1.2.3.4", "1.2.3.4/", "/24", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/+8", "1.2.3.4/8 ",
      "1.2.3.4/8/8", "1.2.3.4/0x8", "1.2.3/8", "::1/129", "::1", "fe80::1%eth0/64",
      "1.2.3.4/99999999999999999999", "1.2.3.4/255.255.255.0", "::ffff:1.2.3.4/129",
    ])
  func refuses(text: String) {
    #expect(IPNetwork(text) == nil)
  }

  @Test("A prefix length outside the family makes no network")
  func prefixLengths() {
    let v4 = IPAddress(v4: 1)
    let v6 = IPAddress(v6: 1)
    #expect(IPNetwork(address: v4, prefixLength: 32) != nil)
    #expect(IPNetwork(address: v4, prefixLength: 33) == nil)
    #expect(IPNetwork(address: v4, prefixLength: -1) == nil)
    #expect(IPNetwork(address: v6, prefixLength: 128) != nil)
    #expect(IPNetwork(address: v6, prefixLength: 129) == nil)
    #expect(IPNetwork(host: v4).prefixLength == 32)
    #expect(IPNetwork(host: v6).prefixLength == 128)
  }

  @Test(
    "Membership and overlap follow the prefix and never cross families",
    arguments: [
      ("10.0.0.0/8", "10.255.255.255/32", true), ("10.0.0.0/8", "11.0.0.0/32", false),
      ("10.1.2.0/24", "10.0.0.0/8", true), ("10.1.2.0/24", "10.1.3.0/24", false),
      ("0.0.0.0/0", "255.255.255.255/32", true), ("0.0.0.0/0", "::/128", false),
      ("::/0", "0.0.0.0/0", false), ("2001:db8::/64", "2001:db8::1:0:0:0/80", true),
      ("2001:db8::/64", "2001:db8:0:1::/64", false),
    ])
  func membership(left: String, right: String, overlap: Bool) throws {
    let left = try #require(IPNetwork(left))
    let right = try #require(IPNetwork(right))
    #expect(left.overlaps(right) == overlap)
    #expect(right.overlaps(left) == overlap)
    if right.first == right.last { #expect(left.contains(right.address) == overlap) }
  }

  @Test(
    "The mask is printed as an address",
    arguments: [
      ("10.0.0.0/8", "255.0.0.0"), ("0.0.0.0/0", "0.0.0.0"), ("1.1.1.1/32", "255.255.255.255"),
      ("::/64", "ffff:ffff:ffff:ffff::"),
    ])
  func mask(text: String, expected: String) throws {
    #expect(try #require(IPNetwork(text)).mask.description == expected)
  }
}
