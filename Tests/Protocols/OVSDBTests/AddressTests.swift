import Addresses
import OVSDB
import Testing

@Suite("OVSDB addresses")
struct AddressTests {
  @Test(
    "An address is read as Open vSwitch writes it, and printed so again",
    arguments: [
      ("unix:/var/run/openvswitch/db.sock", .standard),
      ("unix:/a:b c", .unix(path: "/a:b c")),
      ("tcp:127.0.0.1:6640", .tcp(IPAddress(v4: 0x7F00_0001), port: 6640)),
      ("tcp:[::1]:1", .tcp(IPAddress(v6: 1), port: 1)),
      ("tcp:[fe80::1]:65535", .tcp(IPAddress(v6: 0xFE80 << 112 | 1), port: 65535)),
    ] as [(String, OVSDBAddress)])
  func good(text: String, address: OVSDBAddress) throws {
    #expect(try OVSDBAddress(parsing: text) == address)
    #expect(address.description == text)
  }

  @Test(
    "Anything else is refused with its reason",
    arguments: [
      ("", "must begin with"), ("/var/run/openvswitch/db.sock", "must begin with"),
      ("punix:/x", "must begin with"), ("UNIX:/x", "must begin with"),
      ("unix:db.sock", "absolute"), ("unix:", "absolute"),
      ("ssl:127.0.0.1:6640", "ssl: is not supported"),
      ("tcp:localhost:6640", "literal"), ("tcp:127.0.0.1", "literal"),
      ("tcp:127.0.0.1:", "literal"), ("tcp:127.0.0.1:0", "literal"),
      ("tcp:127.0.0.1:65536", "literal"), ("tcp:[127.0.0.1]:1", "literal"),
      ("tcp:::1:6640", "literal"), ("tcp:[::1]", "literal"), ("tcp:[::1:6640", "literal"),
    ])
  func bad(text: String, reason: String) {
    let error = #expect(throws: OVSDBError.self) { try OVSDBAddress(parsing: text) }
    guard case .invalidAddress(let named, let said)? = error else {
      Issue.record("another error")
      return
    }
    #expect(named == text)
    #expect(said.contains(reason))
  }
}
