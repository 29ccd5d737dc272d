import Addresses
import Testing

@Suite("IP addresses")
struct IPAddressTests {
  @Test(
    "A text that Go's net.ParseIP takes is read, and printed canonically",
    arguments: [
      ("0.0.0.0", "0.0.0.0"),
      ("127.0.0.1", "127.0.0.1"),
      ("255.255.255.255", "255.255.255.255"),
      ("10.1.2.88", "10.1.2.88"),
      ("::", "::"),
      ("::1", "::1"),
      ("1::", "1::"),
      ("0:0:0:0:0:0:0:0", "::"),
      ("2001:DB8::ABCD", "2001:db8::abcd"),
      ("2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"),
      ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
      ("1:0:0:2:0:0:0:3", "1:0:0:2::3"),
      ("1:0:0:0:2:0:0:3", "1::2:0:0:3"),
      ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
      ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"),
      ("1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"),
      ("1:2:3:4:5:6:0:0", "1:2:3:4:5:6::"),
      ("0:0:3:4:5:6:7:8", "::3:4:5:6:7:8"),
      ("0:0:3:4:5:6:0:0", "::3:4:5:6:0:0"),
      ("abcd:1234:ffff::cdde", "abcd:1234:ffff::cdde"),
      ("1111:dddd::aaaa", "1111:dddd::aaaa"),
      ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
      ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
      ("::1.2.3.4", "::102:304"),
      ("1::255.255.255.255", "1::ffff:ffff"),
      ("::ffff:1.2.3.4", "1.2.3.4"),
      ("::FFFF:0102:0304", "1.2.3.4"),
      ("0:0:0:0:0:ffff:192.168.0.1", "192.168.0.1"),
      ("::1:ffff:1.2.3.4", "::1:ffff:102:304"),
    ])
  func accepts(text: String, canonical: String) throws {
    let address = try #require(IPAddress(text))
    #expect(address.description == canonical)
    #expect(IPAddress(canonical) == address)
    #expect(IPAddress(bytes: address.bytes) == address)
  }

  @Test(
    "A text that Go's net.ParseIP refuses is refused",
    arguments: [
      "", " ", ".", ":", ":::", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3",
      "1.2.3.256",
      "01.2.3.4", "1.2.3.00", "1.2.3.0x4", "1.2.3.-4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4/24",
      "1.2.3.4\0", "1.2.3.٤", "1:2", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::",
      "::1:2:3:4:5:6:7:8", "1:2:3:4::5:6:7:8", "1::2::3", ":1::2", "1:2:3:4:5:6:7:", "1::2:",
      "12345::", "g::", "::1%eth0", "fe80::1%1", "%eth0", "[::1]", "1:2:3:4:5:6:7:1.2.3.4",
      "1:2:3:4:5:1.2.3.4", "::1.2.3", "::1.2.3.4.5", "::1.2.3.4:5", "::1.02.3.4", "::1.2.3.256",
      "1:2:3:4:5:6::1.2.3.4", "1.2.3.4::", "::ffff:1.2.3.4%0", "::00001", "1:2:3:4:5:6:7:8 ",
    ])
  func refuses(text: String) {
    #expect(IPAddress(text) == nil)
  }

  @Test("A mapped address that was not read from text stays IPv6 and ends in dotted decimal")
  func mapped() {
    let mapped = IPAddress(v6: 0xffff_0102_0304)
    #expect(mapped.description == "::ffff:1.2.3.4")
    #expect(mapped.family == .v6)
    #expect(mapped.unmapped == IPAddress(v4: 0x0102_0304))
    #expect(IPAddress(v6: 1).unmapped == IPAddress(v6: 1))
    #expect(IPAddress(v4: 9).unmapped == IPAddress(v4: 9))
  }

  @Test("Four or sixteen bytes in network order make an address, other counts none")
  func bytes() {
    #expect(IPAddress(bytes: [192, 0, 2, 1]) == IPAddress("192.0.2.1"))
    #expect(IPAddress("192.0.2.1")?.bytes == [192, 0, 2, 1])
    let loopback: [UInt8] = Array(repeating: 0, count: 15) + [1]
    #expect(IPAddress(bytes: loopback) == IPAddress("::1"))
    #expect(IPAddress("::1")?.bytes == loopback)
    for count in [0, 1, 3, 5, 15, 17] {
      #expect(IPAddress(bytes: Array(repeating: 1, count: count)) == nil)
    }
  }

  @Test(
    "The next address is one more, and none follows the last",
    arguments: [
      ("10.0.0.255", "10.0.1.0"), ("255.255.255.254", "255.255.255.255"), ("255.255.255.255", nil),
      ("::", "::1"), ("::ffff", "::1:0"),
      ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", nil),
    ] as [(String, String?)])
  func next(text: String, expected: String?) throws {
    #expect(try #require(IPAddress(text)).next?.description == expected)
  }

  @Test("IPv4 comes before IPv6, and numbers decide within a family")
  func order() throws {
    let sorted = try ["0.0.0.0", "9.0.0.0", "10.0.0.0", "::", "::1", "fe80::"].map {
      try #require(IPAddress($0))
    }
    #expect(sorted.reversed().sorted() == sorted)
  }

  @Test(
    "The special ranges are known by their borders",
    arguments: [
      ("169.254.0.0", "link-local"), ("169.254.255.255", "link-local"), ("169.253.255.255", ""),
      ("fe80::", "link-local"), ("febf:ffff::1", "link-local"), ("fec0::", ""),
      ("224.0.0.0", "multicast"), ("239.255.255.255", "multicast"), ("240.0.0.0", ""),
      ("ff02::1", "multicast"), ("0.0.0.0", "unspecified"), ("::", "unspecified"),
      ("127.255.0.1", "loopback"), ("128.0.0.0", ""), ("::1", "loopback"), ("::2", ""),
    ])
  func kinds(text: String, kind: String) throws {
    let address = try #require(IPAddress(text))
    #expect(address.isMulticast == (kind == "multicast"))
    #expect(address.isUnspecified == (kind == "unspecified"))
  }
}
