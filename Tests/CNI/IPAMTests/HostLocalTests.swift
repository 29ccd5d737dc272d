import CNI
import JSON
import TestSupport
import Testing

@testable import IPAM
@_spi(Journal) import Linux

@Suite("host-local gives, keeps and takes back addresses")
struct HostLocalTests {
  static let subnet = #"{"ranges":[[{"subnet":"10.1.2.0/24"}]]}"#
  private let leases: Leases

  init() throws { leases = try Leases() }

  @Test("Two sets give an address each, in the reference's files, and DEL takes them back")
  func twoSets() throws {
    let resolv = leases.directory("resolv.conf")
    try Files.write(resolv, Array("nameserver 192.0.2.3\n".utf8), mode: [.write, .create])
    let ipam = """
      {"ranges":[[{"subnet":"10.1.2.0/24"},{"subnet":"10.2.2.0/24"}],[{"subnet":"2001:db8:1::/64"}]],
       "routes":[{"dst":"0.0.0.0/0"},{"dst":"2001:db8:2::/64","gw":"2001:db8:3::1"}],
       "resolvConf":"\(resolv)"}
      """
    let result = try leases.add(ipam)
    let expected = JSONValue(
      text: """
        {"dns":{"nameservers":["192.0.2.3"]},
         "ips":[{"address":"10.1.2.2/24","gateway":"10.1.2.1"},
                {"address":"2001:db8:1::2/64","gateway":"2001:db8:1::1"}],
         "routes":[{"dst":"0.0.0.0/0"},{"dst":"2001:db8:2::/64","gw":"2001:db8:3::1"}]}
        """)
    #expect(try result == CNIResult(expected, defaultVersion: .v100))
    #expect(leases.content("10.1.2.2") == "dummy\r\neth0")
    #expect(leases.content("2001:db8:1::2") == "dummy\r\neth0")
    #expect(leases.content("last_reserved_ip.0") == "10.1.2.2")
    #expect(leases.content("last_reserved_ip.1") == "2001:db8:1::2")

    try leases.delete(ipam)
    #expect(leases.leases == [])
    #expect(leases.content("last_reserved_ip.0") == "10.1.2.2")
    #expect(leases.content("last_reserved_ip.1") == "2001:db8:1::2")
  }

  @Test("The directory is 0755 and a lease 0600, as the reference makes them")
  func permissions() throws {
    _ = try leases.add(Self.subnet)
    #expect(try Files.status(leases.directory("net")).permissions == 0o755)
    #expect(try Files.status(leases.path("10.1.2.2")).permissions == 0o600)
    #expect(try Files.status(leases.path("last_reserved_ip.0")).permissions == 0o600)
    #expect(
      TemporaryDirectory.files(below: leases.directory("net"))
        == ["10.1.2.2", "last_reserved_ip.0", "lock"])
  }

  @Test("The same attachment twice is refused, another interface or container is not")
  func duplicate() throws {
    #expect(try leases.addresses(Self.subnet, "a") == ["10.1.2.2/24"])
    let error = try leases.failure(Self.subnet, "a")
    #expect(error?.code == .ipam)
    #expect(
      error?.message == "failed to allocate for range 0: 10.1.2.2 has been allocated to a, "
        + "duplicate allocation is not allowed")
    #expect(leases.leases == ["10.1.2.2"])
    #expect(try leases.addresses(Self.subnet, "a", "net1") == ["10.1.2.3/24"])
    #expect(try leases.addresses(Self.subnet, "b") == ["10.1.2.4/24"])
  }

  @Test("A file of an old plugin, which names the container alone, counts as its address")
  func oldFileDuplicate() throws {
    try leases.write("10.1.2.7", "a\n")
    #expect(
      try leases.failure(Self.subnet, "a")?.message
        == "failed to allocate for range 0: 10.1.2.7 has been allocated to a, "
        + "duplicate allocation is not allowed")
  }

  @Test("A refused second set gives back the first one's address and nothing older")
  func duplicateInSecondSet() throws {
    let second = #"{"ranges":[[{"subnet":"10.2.2.0/24"}]]}"#
    let both = #"{"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.2.2.0/24"}]]}"#
    _ = try leases.add(second, "a")
    #expect(
      try leases.failure(both, "a")?.message
        == "failed to allocate for range 1: 10.2.2.2 has been allocated to a, "
        + "duplicate allocation is not allowed")
    #expect(leases.leases == ["10.2.2.2"])
  }

  @Test("DEL of an unknown container succeeds, makes nothing, and can be repeated")
  func unknown() throws {
    try leases.delete(Self.subnet)
    #expect(TemporaryDirectory.files(below: leases.directory.path) == [])
    _ = try leases.add(Self.subnet, "other")
    try leases.delete(Self.subnet)
    try leases.delete(Self.subnet)
    #expect(leases.leases == ["10.1.2.2"])
  }

  @Test("DEL takes back the attachment's addresses only, and all of them")
  func deleteOwn() throws {
    for (id, name) in [("a", "eth0"), ("a", "net1"), ("ab", "eth0"), ("b", "eth0")] {
      _ = try leases.add(Self.subnet, id, name)
    }
    try leases.write("10.9.9.9", "a\r\neth0")
    try leases.delete(Self.subnet, "a")
    #expect(leases.leases == ["10.1.2.3", "10.1.2.4", "10.1.2.5"])
  }

  @Test("DEL takes files of old plugins only where no file names container and interface")
  func deleteOld() throws {
    try leases.write("10.1.2.8", "a")
    try leases.write("10.1.2.9", " a \r\n")
    try leases.write("10.1.2.10", "a\r\neth0\n")
    try leases.delete(Self.subnet, "a")
    #expect(leases.leases == ["10.1.2.8", "10.1.2.9"])
    try leases.delete(Self.subnet, "a")
    #expect(leases.leases == [])
  }

  @Test("DEL leaves last_reserved_ip alone even if the container's id looks like its address")
  func addressAsID() throws {
    _ = try leases.add(Self.subnet, "a")
    try leases.delete(Self.subnet, "10.1.2.2")
    #expect(leases.content("last_reserved_ip.0") == "10.1.2.2")
    #expect(leases.leases == ["10.1.2.2"])
  }

  @Test("DEL needs neither valid ranges nor routes nor a resolv.conf")
  func deleteWithBrokenConfiguration() throws {
    _ = try leases.add(Self.subnet, "a")
    try leases.delete(
      #"{"ranges":[[{"subnet":"potato"}]],"routes":7,"resolvConf":"/no/such"}"#, "a")
    #expect(leases.leases == [])
  }

  @Test("A requested address in CNI_ARGS is given, with the range's prefix length")
  func customAddress() throws {
    #expect(try leases.addresses(Self.subnet, "a", arguments: "IP=10.1.2.88") == ["10.1.2.88/24"])
    #expect(
      try leases.addresses(Self.subnet, "b", arguments: "IP=10.1.2.89/32") == ["10.1.2.89/24"])
    #expect(leases.leases == ["10.1.2.88", "10.1.2.89"])
    #expect(leases.content("last_reserved_ip.0") == "10.1.2.89")
  }

  @Test("A request outside all ranges fails and leaves no address")
  func requestOutside() throws {
    let error = try leases.failure(
      Self.subnet, more: #"{"runtimeConfig":{"ips":["10.1.2.5/24","10.9.9.9/8"]}}"#,
      arguments: "IP=172.16.0.1")
    #expect(error?.code == .ipam)
    #expect(error?.message == "failed to allocate all requested IPs: 172.16.0.1 10.9.9.9")
    #expect(leases.leases == [])
  }

  @Test("CNI_ARGS, args.cni.ips and runtimeConfig.ips add up, one request to a set")
  func requestSources() throws {
    let ipam = """
      {"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"10.1.4.0/24"}],[{"subnet":"2001:db8::/64"}],
       [{"subnet":"10.1.6.0/24"}]]}
      """
    let more = """
      {"args":{"cni":{"ips":["10.1.4.77/24"]}},"runtimeConfig":{"ips":["2001:db8::99/64"]}}
      """
    #expect(
      try leases.addresses(ipam, more: more, arguments: "IP=10.1.2.88;K8S_POD_NAME=x") == [
        "10.1.2.88/24", "10.1.4.77/24", "2001:db8::99/64", "10.1.6.2/24",
      ])
  }

  @Test("The same address requested by two sources is one request")
  func requestedTwice() throws {
    let more = #"{"args":{"cni":{"ips":["10.1.2.88"]}},"runtimeConfig":{"ips":["10.1.2.88/24"]}}"#
    #expect(try leases.addresses(Self.subnet, more: more) == ["10.1.2.88/24"])
  }

  @Test("Two requests for one set: the first is given, the second is left over")
  func twoForOneSet() throws {
    let more = #"{"runtimeConfig":{"ips":["10.1.2.88","10.1.2.89"]}}"#
    #expect(
      try leases.failure(Self.subnet, more: more)?.message
        == "failed to allocate all requested IPs: 10.1.2.89")
    #expect(leases.leases == [])
  }

  @Test("The gateway and a taken address are not given on request")
  func refusedRequests() throws {
    #expect(
      try leases.failure(Self.subnet, arguments: "IP=10.1.2.1")?.message
        == "failed to allocate for range 0: requested ip 10.1.2.1 is subnet's gateway")
    _ = try leases.add(Self.subnet, "a", arguments: "IP=10.1.2.88")
    for id in ["a", "b"] {
      #expect(
        try leases.failure(Self.subnet, id, arguments: "IP=10.1.2.88")?.message
          == "failed to allocate for range 0: requested IP address 10.1.2.88 is not available "
          + "in range set 10.1.2.1-10.1.2.254: held by container a eth0")
    }
  }

  @Test("A request does not give a container a second address of the same set")
  func requestAsSecond() throws {
    _ = try leases.add(Self.subnet, "a")
    #expect(
      try leases.failure(Self.subnet, "a", arguments: "IP=10.1.2.88")?.message
        == "failed to allocate for range 0: 10.1.2.2 has been allocated to a, "
        + "duplicate allocation is not allowed")
    #expect(leases.leases == ["10.1.2.2"])
  }

  @Test("A full set says so with its ranges, and an earlier set's address is given back")
  func full() throws {
    let ipam = """
      {"ranges":[[{"subnet":"10.1.2.0/24"}],
       [{"subnet":"10.2.0.0/30"},{"subnet":"10.3.0.0/24","rangeStart":"10.3.0.9","rangeEnd":"10.3.0.10"}]]}
      """
    for id in ["a", "b", "c"] { _ = try leases.add(ipam, id) }
    let before = leases.leases
    #expect(
      try leases.failure(ipam, "d")?.message
        == "failed to allocate for range 1: no IP addresses available in range set: "
        + "10.2.0.1-10.2.0.2,10.3.0.9-10.3.0.10 (6 leases in \(leases.directory("net")))")
    #expect(leases.leases == before)
    try leases.delete(ipam, "b")
    #expect(try leases.addresses(ipam, "d").last == "10.3.0.9/24")
  }

  @Test("Addresses are given in a circle, so that one given back is not given again at once")
  func circle() throws {
    let ipam = #"{"subnet":"10.1.2.0/29"}"#
    var given: [String] = []
    for _ in 0..<12 {
      given += try leases.addresses(ipam, "a")
      try leases.delete(ipam, "a")
    }
    let once = ["10.1.2.2/29", "10.1.2.3/29", "10.1.2.4/29", "10.1.2.5/29", "10.1.2.6/29"]
    #expect(given == once + once + once.prefix(2))
  }

  @Test("An unreadable or foreign last address means beginning at the start")
  func strangeLast() throws {
    for text in ["", "potato", "10.99.0.1", "::1", String(repeating: "1", count: 5000)] {
      try leases.write("last_reserved_ip.0", text)
      #expect(try leases.addresses(Self.subnet, "a") == ["10.1.2.2/24"])
      try leases.delete(Self.subnet, "a")
    }
    try leases.write("last_reserved_ip.0", "10.1.2.9\n")
    #expect(try leases.addresses(Self.subnet, "a") == ["10.1.2.10/24"])
  }

  @Test("The last IPv6 address of a subnet is given, the IPv4 broadcast address is not")
  func lastAddresses() throws {
    let v6 = #"{"subnet":"2001:db8::/126"}"#
    #expect(try leases.addresses(v6, "a") == ["2001:db8::2/126"])
    #expect(try leases.addresses(v6, "b") == ["2001:db8::3/126"])
    #expect(try leases.failure(v6, "c") != nil)
    let v4 = #"{"subnet":"10.0.0.0/30"}"#
    #expect(try leases.addresses(v4, "a") == ["10.0.0.2/30"])
    #expect(try leases.failure(v4, "b") != nil)
  }

  @Test("A /8 and a /32 of IPv6 give their first addresses at once")
  func hugeRanges() async throws {
    let ipam = #"{"ranges":[[{"subnet":"10.0.0.0/8"}],[{"subnet":"2001:db8::/32"}]]}"#
    let leases = leases
    let given = try await onThread {
      try (2..<200).flatMap { try leases.addresses(ipam, "id\($0)") }
    }
    #expect(
      given
        == (2..<200).flatMap { ["10.0.0.\($0)/8", "2001:db8::\(String($0, radix: 16))/32"] })
  }

  @Test("CHECK succeeds as long as the attachment has an address")
  func check() throws {
    let missing = "host-local: Failed to find address added by container a"
    func outcome() throws -> String? {
      do {
        try leases.check(Self.subnet, "a")
        return nil
      } catch let error as CNIError {
        return error.message
      }
    }
    #expect(try outcome() == missing)
    #expect(TemporaryDirectory.files(below: leases.directory.path) == [])
    _ = try leases.add(Self.subnet, "a")
    #expect(try outcome() == nil)
    try Files.remove(leases.path("10.1.2.2"))
    #expect(try outcome() == missing)
    try leases.write("10.1.2.77", "a")
    #expect(try outcome() == nil)
  }

  @Test("STATUS tells what ADD would refuse and makes nothing")
  func status() throws {
    try HostLocal(leases.call(leases.configuration(Self.subnet), "", "")).status()
    #expect(
      throws: CNIError(
        .invalidConfiguration, "no IP ranges specified: ipam has no subnet, in ranges or by itself")
    ) {
      try HostLocal(leases.call(leases.configuration("{}"), "", "")).status()
    }
    #expect(TemporaryDirectory.files(below: leases.directory.path) == [])
  }

  @Test("A container id or interface name that could be mistaken in a file is refused")
  func owners() throws {
    #expect(
      try leases.failure(Self.subnet, "a\r\neth0")?.message == "invalid characters in containerID")
    #expect(try leases.failure(Self.subnet, "")?.message == "missing containerID")
    #expect(try leases.failure(Self.subnet, "a", "e 0") != nil)
    #expect(TemporaryDirectory.files(below: leases.directory.path) == [])
  }
}
