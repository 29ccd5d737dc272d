import Addresses
import CNI
import JSON
import TestSupport
import Testing

@testable import IPAM
@_spi(Journal) import Linux

@Suite("Turns with the reference host-local on one directory")
struct InteroperationTests {
  private static let subnet = #"{"subnet":"10.1.2.0/24","ranges":[[{"subnet":"2001:db8::/64"}]]}"#
  private let leases: Leases

  init() throws {
    leases = try Leases()
    _ = try Reference.require("host-local")
  }

  private func reference(
    _ command: String, _ id: String, _ ipam: String = subnet, more: String = "{}"
  ) async throws -> ProgramResult {
    let configuration = try leases.configuration(ipam, more: more, version: Reference.version)
    return try await onThread { try Reference.run("host-local", command, configuration, id) }
  }

  @Test("Each goes on where the other was, refuses the other's duplicates, and checks its leases")
  func turns() async throws {
    var expected: [String] = []
    for round in 0..<6 {
      let (mine, theirs) = ("mine-\(round)", "theirs-\(round)")
      #expect(
        try leases.addresses(Self.subnet, mine) == [
          "10.1.2.\(2 + 2 * round)/24", "2001:db8::\(String(2 + 2 * round, radix: 16))/64",
        ])
      let run = try await reference("ADD", theirs)
      let addresses = run.json?["ips"]?.array?.compactMap { $0["address"]?.string }
      #expect(
        addresses == [
          "10.1.2.\(3 + 2 * round)/24", "2001:db8::\(String(3 + 2 * round, radix: 16))/64",
        ], "\(run)")

      let text = "duplicate allocation is not allowed"
      #expect(try leases.failure(Self.subnet, theirs)?.message.hasSuffix(text) == true)
      #expect(try await reference("ADD", mine).message?.hasSuffix(text) == true)

      try leases.check(Self.subnet, theirs)
      #expect(try await reference("CHECK", mine).succeeded)
      expected += [mine, theirs]
    }
    for id in expected {
      #expect(leases.leases.count { leases.content($0) == "\(id)\r\neth0" } == 2)
    }
  }

  @Test("Each takes back what the other gave, byte for byte the same files")
  func release() async throws {
    _ = try leases.add(Self.subnet, "a")
    let mine = (leases.leases, leases.content("10.1.2.2"), leases.content("last_reserved_ip.1"))
    #expect(try await reference("DEL", "a").succeeded)
    #expect(leases.leases == [])
    for set in 0...1 { try Files.remove(leases.path("last_reserved_ip.\(set)")) }

    #expect(try await reference("ADD", "a").succeeded)
    let theirs = (leases.leases, leases.content("10.1.2.2"), leases.content("last_reserved_ip.1"))
    #expect(mine == theirs)
    try leases.delete(Self.subnet, "a")
    #expect(leases.leases == [])
  }

  @Test("A temporary file of a killed process does not disturb the reference")
  func leftTemporary() async throws {
    try leases.write(LeaseStore.temporaryName, "dead\r\neth0")
    #expect(try await reference("ADD", "a").succeeded)
    #expect(try await reference("DEL", "dead").succeeded)
    #expect(try await reference("DEL", "a").succeeded)
    #expect(leases.leases == [])
  }

  /// What only this program refuses, or in words of its own.
  private static let ownWords = ["absolute path", "is behind", "is an IPv", "at most", "zero byte"]

  /// Configurations for which both must say the same.
  static let texts: [(ipam: String, more: String)] =
    HostLocalConfigurationTests.bad
    .filter { $0.code == .invalidConfiguration && $0.version == "1.1.0" && $0.arguments.isEmpty }
    .filter { bad in !ownWords.contains { bad.message.contains($0) } }
    .map { ($0.ipam, $0.more) } + [
      (#"{"subnet":"10.1.2.0/24"}"#, #"{"runtimeConfig":{"ips":["10.1.2.1"]}}"#),
      (#"{"subnet":"10.1.2.0/24"}"#, #"{"runtimeConfig":{"ips":["10.1.2.7"]}}"#),
      (#"{"subnet":"10.1.2.0/24"}"#, #"{"runtimeConfig":{"ips":["192.0.2.1"]}}"#),
    ]

  @Test("Both refuse the same configurations, in words that begin alike", arguments: texts)
  func sameTexts(ipam: String, more: String) async throws {
    try leases.write("10.1.2.7", "somebody\r\neth0")
    let mine = try leases.failure(ipam, more: more, version: Reference.version)?.message
    let theirs = try await reference("ADD", "dummy", ipam, more: more)
    #expect(!theirs.succeeded)
    let text = try #require(theirs.message)
    #expect(mine?.hasPrefix(text) == true, "\(mine ?? "") \(text)")
  }

  @Test("In parallel, never the same address twice; each takes back the other's in the end")
  func parallel() async throws {
    let ipam = """
      {"ranges":[[{"subnet":"10.1.0.0/25"},{"subnet":"10.2.0.0/25"}],[{"subnet":"fd00::/118"}]]}
      """
    let configuration = try leases.configuration(ipam, version: Reference.version)
    let book = LeaseBook()
    // Two threads of this process, and two of one that remembers on its own, against two of the
    // reference.
    let (one, other) = (leases, try leases.otherProcess())
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (worker, leases) in [one, one, other, other].enumerated() {
        group.addTask {
          try await onThread {
            try book.work("mine-\(worker)", rounds: 25) { id in
              let result = try HostLocal(leases.call(configuration, id)).add(Permit())
              return result.ips.map { "\($0.address.address)" }
            } delete: { id in
              try HostLocal(leases.call(configuration, id)).delete(Permit())
            }
          }
        }
      }
      for worker in 0..<2 {
        group.addTask {
          try await onThread {
            try book.work("theirs-\(worker)", rounds: 12) { id in
              let run = try Reference.run("host-local", "ADD", configuration, id)
              guard run.succeeded, let ips = run.json?["ips"]?.array else {
                throw TestError("\(run)")
              }
              return ips.compactMap { ip in
                ip["address"]?.string?.split(separator: "/").first.map(String.init)
              }
            } delete: { id in
              let run = try Reference.run("host-local", "DEL", configuration, id)
              if !run.succeeded { throw TestError("\(run)") }
            }
          }
        }
      }
      try await group.waitForAll()
    }
    #expect(book.conflicts == [])
    let held = book.held
    // 16 of 25 stay with each of four workers, 8 of 12 with each of two, in two sets.
    #expect(held.count == 160)
    #expect(Set(held.keys) == Set(leases.leases))
    for (address, id) in held { #expect(leases.content(address) == "\(id)\r\neth0") }

    try await onThread {
      for id in Set(held.values) {
        if id.hasPrefix("mine") {
          _ = try Reference.run("host-local", "DEL", configuration, id)
        } else {
          try HostLocal(other.call(configuration, id)).delete(Permit())
        }
      }
    }
    #expect(leases.leases == [])
  }
}

/// Who holds which address, kept by the tests beside the files.
final class LeaseBook: Sendable {
  private struct State {
    var held: [String: String] = [:]
    var conflicts: [String] = []
  }

  private let state = Locked(State())

  /// Addresses and their holders.
  var held: [String: String] { state.value.held }
  /// Addresses that were given to two at once.
  var conflicts: [String] { state.value.conflicts }

  /// Takes addresses for many ids and gives back those of every third.
  func work(
    _ worker: String, rounds: Int, add: (String) throws -> [String], delete: (String) throws -> Void
  ) throws {
    for round in 0..<rounds {
      let id = "\(worker)-\(round)"
      let addresses = try add(id)
      state.withLock { state in
        for address in addresses {
          if let holder = state.held.updateValue(id, forKey: address) {
            state.conflicts.append("\(address): \(holder) and \(id)")
          }
        }
      }
      guard round % 3 == 0 else { continue }
      // Before it is given back: somebody may have it at once.
      state.withLock { state in
        for address in addresses { state.held[address] = nil }
      }
      try delete(id)
    }
  }
}
