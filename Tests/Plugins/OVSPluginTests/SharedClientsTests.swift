import Linux
import OVSDB
import Testing

@testable import OVSPlugin

@Suite("ovs: clients of databases")
struct SharedClientsTests {
  private func make(_ number: Int) throws(OVSDBError) -> OVSDBClient {
    try OVSDBClient(address(number), database: "Open_vSwitch")
  }

  private func address(_ number: Int) -> OVSDBAddress { .unix(path: "/nowhere/\(number)") }

  @Test("One that no call asks for is let go after ten minutes, the one asked for last never")
  func idle() throws {
    var clients = SharedClients()
    let first = try clients.client(address(1), now: 0) { () throws(OVSDBError) in try make(1) }
    _ = try clients.client(address(2), now: 1) { () throws(OVSDBError) in try make(2) }
    let later = SharedClients.idle
    let again = try clients.client(address(1), now: later) { () throws(OVSDBError) in
      try make(1)
    }
    #expect(again === first && clients.all.count == 2)
    _ = try clients.client(address(1), now: 2 * later) { () throws(OVSDBError) in try make(1) }
    #expect(clients.all.count == 1)
    let last = try clients.client(address(1), now: 9 * later) { () throws(OVSDBError) in
      try make(1)
    }
    #expect(last === first)
  }

  @Test("There are never more than sixteen, and those used last stay")
  func bound() throws {
    var clients = SharedClients()
    for number in 0..<100 {
      _ = try clients.client(address(number), now: UInt64(number)) { () throws(OVSDBError) in
        try make(number)
      }
      #expect(clients.all.count <= SharedClients.most)
    }
    var isMade = false
    for number in 84..<100 {
      _ = try clients.client(address(number), now: 100) { () throws(OVSDBError) in
        isMade = true
        return try make(number)
      }
    }
    #expect(!isMade)
  }
}
