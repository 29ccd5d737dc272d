import Addresses
import CNI
import TestSupport
import Testing

@testable import IPAM
@_spi(Journal) import Linux

@Suite("Many threads on one directory")
struct ParallelTests {
  @Test("Sixteen threads never get the same address, and the set is used to the last one")
  func lastAddress() async throws {
    let leases = try Leases()
    let configuration = try leases.configuration(#"{"subnet":"10.1.2.0/25"}"#)
    let book = LeaseBook()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for worker in 0..<16 {
        group.addTask {
          try await onThread {
            // 125 addresses, of which 6 stay with each of 16 threads.
            try book.work("t\(worker)", rounds: 10) { id in
              try HostLocal(leases.call(configuration, id)).add(Permit()).ips
                .map { "\($0.address.address)" }
            } delete: { id in
              try HostLocal(leases.call(configuration, id)).delete(Permit())
            }
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(book.conflicts == [])
    #expect(book.held.count == 16 * 6)
    #expect(Set(book.held.keys) == Set(leases.leases))
    for number in 0..<(125 - 16 * 6) {
      _ = try leases.add(#"{"subnet":"10.1.2.0/25"}"#, "rest\(number)")
    }
    #expect(try leases.failure(#"{"subnet":"10.1.2.0/25"}"#, "more") != nil)
    #expect(leases.leases.count == 125)
  }

  @Test("Of many ADDs of one attachment at once exactly one gets an address")
  func oneAttachment() async throws {
    let leases = try Leases()
    let configuration = try leases.configuration(#"{"subnet":"10.1.2.0/24"}"#)
    let wins = try await withThrowingTaskGroup(of: Int.self) { group in
      for _ in 0..<12 {
        group.addTask {
          try await onThread {
            let call = try leases.call(configuration, "a")
            return (try? HostLocal(call).add(Permit())) == nil ? 0 : 1
          }
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(wins == 1)
    #expect(leases.leases.count == 1)
  }

  @Test("Of many requests for one address at once exactly one gets it")
  func oneAddress() async throws {
    let leases = try Leases()
    let configuration = try leases.configuration(#"{"subnet":"10.1.2.0/24"}"#)
    let wins = try await withThrowingTaskGroup(of: Int.self) { group in
      for number in 0..<12 {
        group.addTask {
          try await onThread {
            let call = try leases.call(configuration, "a\(number)", arguments: "IP=10.1.2.88")
            return (try? HostLocal(call).add(Permit())) == nil ? 0 : 1
          }
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(wins == 1)
    #expect(leases.leases == ["10.1.2.88"])
  }
}
