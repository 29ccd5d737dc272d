import Addresses
@_spi(Journal) import Linux
import Netlink
import TestSupport
import Testing

@Suite("Transmit checksum offload")
struct ChecksumOffloadTests {
  @Test("It is switched off and on again, and ethtool(8) sees the same")
  func switching() async throws {
    let node = try await TestNamespace()
    try await node.netlink { socket in _ = try socket.cable() }
    var seen = [try await node.checksums("uplink")]
    for isOn in [false, true] {
      try await node.netlink { socket in
        try socket.setTransmitChecksumOffload(isOn, of: "uplink", Permit())
      }
      seen.append(try await node.checksums("uplink"))
    }
    #expect(seen.map(\.module) == [true, false, true])
    #expect(seen.map(\.ethtool) == ["on", "off", "on"])
    let other = try await node.checksums("wire")
    #expect(other.module, "the other end is not touched")
  }

  @Test("It belongs to the link and goes with it: to another name and to another namespace")
  func moving() async throws {
    let (node, pod) = (try await TestNamespace(), try await TestNamespace())
    try await node.netlink { socket in
      let link = try socket.cable()
      try socket.setTransmitChecksumOffload(false, of: "uplink", Permit())
      var settings = LinkSettings()
      settings.name = "eth0"
      let target = try pod.opened()
      settings.namespace = target.descriptor.rawValue
      try socket.apply(.changeLink(index: link.index, settings))
    }
    let there = try await pod.checksums("eth0")
    #expect(!there.module && there.ethtool == "off")
  }

  @Test("A socket that was opened from outside acts in its own namespace")
  func namespace() async throws {
    let (node, pod) = (try await TestNamespace(), try await TestNamespace())
    for namespace in [node, pod] {
      try await namespace.netlink { socket in _ = try socket.cable() }
    }
    try await node.run {
      let inside = try NamespaceSockets.open(in: try pod.opened())
      try inside.socket.setTransmitChecksumOffload(false, of: "uplink", Permit())
    }
    let seen = [
      try await node.checksums("uplink").module, try await pod.checksums("uplink").module,
    ]
    #expect(seen == [true, false])
  }

  @Test(
    "A link that is not there is ENODEV, also where a cut name would be one",
    arguments: ["gone", "", "uplink:1", "uplink\0", "abcdefghijklmnop", "lo\0", "../lo"])
  func missing(name: String) async throws {
    let node = try await TestNamespace()
    let seen = try await node.netlink { socket in
      _ = try socket.cable()
      _ = try socket.cable("abcdefghijklmno", "other")
      var seen: [Errno] = []
      do throws(NetlinkError) {
        _ = try socket.transmitChecksumOffload(of: name)
      } catch {
        seen.append(error.errno)
      }
      do throws(NetlinkError) {
        try socket.setTransmitChecksumOffload(false, of: name, Permit())
      } catch {
        seen.append(error.errno)
      }
      return (seen, try socket.transmitChecksumOffload(of: "abcdefghijklmno"))
    }
    #expect(seen.0 == [.noDevice, .noDevice] && seen.1)
  }

  @Test("A driver without a choice refuses, in words that name the link")
  func fixed() async throws {
    let node = try await TestNamespace()
    let seen = try await node.netlink { socket in
      do throws(NetlinkError) {
        try socket.setTransmitChecksumOffload(false, of: "lo", Permit())
        return "done"
      } catch {
        return error.description
      }
    }
    #expect(seen == "switch checksum offload of lo: Operation not supported (EOPNOTSUPP)")
  }
}

extension TestNamespace {
  /// What the module and ethtool(8) say of a link.
  fileprivate func checksums(_ link: String) async throws -> (module: Bool, ethtool: String) {
    let module = try await netlink { try $0.transmitChecksumOffload(of: link) }
    let result = try await run(["ethtool", "--show-features", link])
    let line = result.text.split(separator: "\n").first { $0.hasPrefix("tx-checksumming: ") }
    return (module, line.map { String($0.dropFirst("tx-checksumming: ".count)) } ?? "\(result)")
  }
}
