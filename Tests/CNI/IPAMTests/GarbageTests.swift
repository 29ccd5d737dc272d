import CNI
import TestSupport
import Testing

@testable import IPAM
@_spi(Journal) import Linux

@Suite("host-local's garbage collection")
struct GarbageTests {
  private typealias Attachment = NetworkConfiguration.Attachment
  private static let subnet = #"{"ranges":[[{"subnet":"10.1.2.0/24"}],[{"subnet":"fd00::/64"}]]}"#
  private let leases: Leases

  init() throws { leases = try Leases() }

  private func collect(keeping valid: [(String, String)]) throws {
    try HostLocal(leases.call(leases.configuration(Self.subnet), "", "")).collectGarbage(
      valid: valid.map { Attachment(containerID: $0.0, ifName: $0.1) }, Permit())
  }

  @Test("What is not listed goes, in both families, and what is listed stays untouched")
  func collect() throws {
    for id in ["a", "b"] {
      for name in ["eth0", "net1"] { _ = try leases.add(Self.subnet, id, name) }
    }
    try collect(keeping: [("a", "eth0"), ("unknown", "eth0")])
    #expect(leases.leases == ["10.1.2.2", "fd00::2"])
    #expect(leases.content("10.1.2.2") == "a\r\neth0")
    try leases.check(Self.subnet, "a")
    try collect(keeping: [])
    #expect(leases.leases == [])
  }

  @Test("lock, last_reserved_ip and every file that is not named like an address stay")
  func otherFiles() throws {
    _ = try leases.add(Self.subnet, "a")
    let strange = [
      "notes", "10.1.2", "10.1.2.300", "10.1.2.05", "10.1.2.5.bak", "FD00::7", "fd00::1%eth0",
      "a:b", "last_reserved_ip.7",
    ]
    for name in strange { try leases.write(name, "b\r\neth0") }
    try collect(keeping: [])
    #expect(
      TemporaryDirectory.files(below: leases.directory("net"))
        == (strange + ["lock", "last_reserved_ip.0", "last_reserved_ip.1"]).sorted())
  }

  @Test("A file of an old plugin stays while its container has any valid attachment")
  func oldFiles() throws {
    try leases.write("10.1.2.8", "a")
    try leases.write("10.1.2.9", "b\n")
    try collect(keeping: [("a", "net7")])
    #expect(leases.leases == ["10.1.2.8"])
  }

  @Test("Empty and foreign address files belong to nobody, and unreadable ones stay")
  func nobodys() throws {
    try leases.write("10.1.2.8", "")
    try leases.write("10.1.2.9", "reserved")
    try leases.write("10.1.2.10", String(repeating: "x", count: 5000))
    try Files.makeDirectories(leases.path("10.1.2.11"))
    try collect(keeping: [])
    #expect(leases.leases == ["10.1.2.10"])
    #expect((try? Files.status(leases.path("10.1.2.11"))) != nil)
  }

  @Test("Temporary files of killed processes go")
  func temporaries() throws {
    try leases.write(LeaseStore.temporaryName, "a\r\neth0")
    try collect(keeping: [("a", "eth0")])
    #expect(leases.leases == [])
  }

  @Test("A network that never had a lease is not made, and other networks are not touched")
  func missing() throws {
    try Files.makeDirectories(leases.directory("other"))
    try Files.write(leases.directory("other/10.1.2.2"), Array("a".utf8), mode: [.write, .create])
    try collect(keeping: [])
    #expect(TemporaryDirectory.files(below: leases.directory.path) == ["other/10.1.2.2"])
  }

  @Test("GC needs no valid ranges")
  func brokenConfiguration() throws {
    _ = try leases.add(Self.subnet, "a")
    let configuration = try leases.configuration(#"{"ranges":"potato"}"#)
    try HostLocal(leases.call(configuration, "", "")).collectGarbage(valid: [], Permit())
    #expect(leases.leases == [])
  }
}
