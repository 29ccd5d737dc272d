import CLinux
@_spi(Journal) import Linux
import TestSupport
import Testing

@testable import Netlink

@Suite("Questions and answers, with a kernel that says what a test wants")
struct ExchangeTests {
  private func indices(
    within deadline: @autoclosure @escaping @Sendable () -> Deadline = soon,
    _ body: @escaping @Sendable (borrowing FakeKernel) throws -> Void
  ) async throws -> (indices: [UInt32], questions: Int) {
    try await onThread { () throws -> (indices: [UInt32], questions: Int) in
      let kernel = try FakeKernel()
      var socket = kernel.socket()
      try body(kernel)
      let links = try socket.links(deadline: deadline())
      return (links.map(\.index), kernel.heard().count)
    }
  }

  @Test("Only answers with the question's number count")
  func sequence() async throws {
    let found = try await indices { kernel in
      try kernel.says(link(9, index: 1), done(9))
      try kernel.says(link(0, index: 2), link(1, index: 3))
      try kernel.says(done(2), link(1, index: 4), done(1))
    }
    #expect(found.indices == [3, 4] && found.questions == 1)
  }

  @Test("A dump that was interrupted is asked for again, whichever message says so")
  func interrupted() async throws {
    let found = try await indices { kernel in
      try kernel.says(link(1, index: 1, flags: NLM_F_DUMP_INTR), link(1, index: 2))
      try kernel.says(done(1))
      try kernel.says(link(2, index: 1), done(2, flags: NLM_F_DUMP_INTR))
      try kernel.says(link(3, index: 1), link(3, index: 3), done(3))
    }
    #expect(found.indices == [1, 3] && found.questions == 3)
  }

  @Test("A dump is repeated until the tables stand still, however often that takes")
  func manyInterruptions() async throws {
    let found = try await indices(within: soon) { kernel in
      for sequence in 1...UInt32(40) {
        try kernel.says(done(sequence, flags: NLM_F_DUMP_INTR))
      }
      try kernel.says(link(41, index: 1), done(41))
    }
    #expect(found.indices == [1] && found.questions == 41)
  }

  @Test("A dump that is always interrupted ends with the deadline, and the error says how often")
  func neverStill() async throws {
    let error = await #expect(throws: NetlinkError.self) {
      _ = try await indices(within: .after(seconds: 3)) { kernel in
        for sequence in 1...UInt32(200) {
          try kernel.says(done(sequence, flags: NLM_F_DUMP_INTR))
        }
      }
    }
    #expect(error?.errno == .timedOut)
    #expect(error?.kernelMessage.hasPrefix("interrupted ") == true, "\(error?.description ?? "")")
  }

  @Test("A datagram longer than the buffer is asked for again with a larger one")
  func cut() async throws {
    let found = try await indices(within: soon) { kernel in
      let many = (1...3000).flatMap { link(1, index: $0) }
      try kernel.says(many)
      try kernel.says(done(1))
      let again = (1...3000).flatMap { link(2, index: $0) }
      try kernel.says(again)
      try kernel.says(done(2))
    }
    #expect(found.indices.count == 3000 && found.questions == 2)
  }

  @Test("A refusal in the middle of a dump is the dump's error")
  func refused() async throws {
    let error = await #expect(throws: NetlinkError.self) {
      _ = try await indices { kernel in
        try kernel.says(link(1, index: 1), acknowledgement(1, EPERM))
      }
    }
    #expect(error?.errno == .notPermitted)
    #expect(error?.description == "list links: Operation not permitted (EPERM)")
  }

  @Test("No answer ends with the deadline")
  func silence() async throws {
    let error = await #expect(throws: NetlinkError.self) {
      _ = try await indices(within: .after(milliseconds: 300)) { kernel in
        try kernel.says(link(1, index: 1))
      }
    }
    #expect(error?.errno == .timedOut)
  }

  @Test("A cancellation ends the wait")
  func cancelled() async throws {
    let error = await #expect(throws: NetlinkError.self) {
      try await onThread {
        let kernel = try FakeKernel()
        var socket = kernel.socket()
        let cancellation = try Cancellation()
        try OSThread.start { cancellation.cancel() }
        defer { _ = kernel.heard() }
        _ = try socket.links(deadline: .after(seconds: 60, cancellation: cancellation))
      }
    }
    #expect(error?.errno == .cancelled)
  }

  @Test("A damaged answer is an error, and no end of waiting")
  func damaged() async throws {
    let error = await #expect(throws: NetlinkError.self) {
      _ = try await indices { kernel in
        try kernel.says(hex("00000000 1000 0000 01000000 00000000"))
      }
    }
    #expect(error?.errno == Errno(rawValue: EBADMSG))
    #expect(error?.kernelMessage == "unreadable answer: message: impossible length 0")
  }

  private func outcomes(
    _ changes: Int, _ body: @escaping @Sendable (borrowing FakeKernel) throws -> Void
  ) async throws -> (outcomes: [NetlinkError?], datagrams: Int) {
    try await onThread { () throws -> (outcomes: [NetlinkError?], datagrams: Int) in
      let kernel = try FakeKernel()
      var socket = kernel.socket()
      try body(kernel)
      let list = (1...UInt32(changes)).map { NetlinkChange.deleteLink(index: $0) }
      let outcomes = try socket.attempt(list, Permit(), deadline: soon)
      return (outcomes, kernel.heard().count)
    }
  }

  @Test("Changes travel together, and each gets its own acknowledgement")
  func batch() async throws {
    let found = try await outcomes(3) { kernel in
      try kernel.says(acknowledgement(2, ENODEV), acknowledgement(7, EPERM))
      try kernel.says(acknowledgement(3), acknowledgement(1))
    }
    #expect(found.outcomes.map { $0?.errno } == [nil, .noDevice, nil] && found.datagrams == 1)
    #expect(
      found.outcomes[1]?.description == "delete link interface 2: No such device (ENODEV)")
  }

  @Test("Many changes are sent in pieces, so that the acknowledgements fit the socket")
  func pieces() async throws {
    let found = try await outcomes(70) { kernel in
      try kernel.says((1...UInt32(70)).flatMap { acknowledgement($0) })
      // Each piece waits for its own; the kernel of this test has said everything at once.
      try kernel.says((33...UInt32(70)).flatMap { acknowledgement($0) })
      try kernel.says((65...UInt32(70)).flatMap { acknowledgement($0) })
    }
    #expect(found.outcomes.allSatisfy { $0 == nil } && found.datagrams == 3)
  }

  @Test("The first refusal is thrown, and one that is tolerated is none")
  func first() async throws {
    let error = await #expect(throws: NetlinkError.self) {
      try await onThread {
        let kernel = try FakeKernel()
        var socket = kernel.socket()
        try kernel.says(
          acknowledgement(1, ENODEV), acknowledgement(2, EBUSY), acknowledgement(3, EPERM))
        let changes = (1...UInt32(3)).map { NetlinkChange.deleteLink(index: $0) }
        try socket.apply(
          [changes[0].tolerating(.noDevice), changes[1], changes[2]], Permit(),
          deadline: soon)
      }
    }
    #expect(error?.errno == .busy)
  }

  @Test("Notifications come one by one out of their datagrams; lost ones are said to be lost")
  func notifications() async throws {
    let seen = try await onThread { () throws -> [String] in
      let kernel = try FakeKernel()
      var listener = kernel.listener()
      try kernel.says(link(0, index: 1), message(99, sequence: 0))
      try kernel.says((1...3000).flatMap { link(0, index: $0) })
      try kernel.says(link(0, index: 2))
      var seen: [String] = []
      for _ in 0..<4 {
        do throws(NetlinkError) {
          switch try listener.next(deadline: soon) {
          case .link(let link, family: 0): seen.append("link \(link.index)")
          case .other(let type): seen.append("other \(type)")
          default: seen.append("?")
          }
        } catch {
          seen.append(error.errno.name)
        }
      }
      return seen
    }
    #expect(seen == ["link 1", "other 99", "ENOBUFS", "link 2"])
  }
}
