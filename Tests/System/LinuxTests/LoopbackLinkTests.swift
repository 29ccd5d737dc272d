import Addresses
import CLinux
import TestSupport
import Testing

@testable import Linux

@Suite("The link lo")
struct LoopbackLinkTests {
  /// A kernel that has said these datagrams, and the end of it that a link takes.
  private struct Kernel {
    let own: Int32
    let taken: Int32

    init(_ datagrams: [[UInt8]]) throws {
      var ends: [Int32] = [-1, -1]
      guard unsafe socketpair(AF_UNIX, cl_SOCK_DGRAM, 0, &ends) == 0 else {
        throw TestError("socketpair")
      }
      (own, taken) = (ends[0], ends[1])
      for bytes in datagrams {
        let sent = unsafe send(own, bytes, bytes.count, cl_MSG_NOSIGNAL)
        guard sent == bytes.count else { throw TestError("send") }
      }
    }

    /// The link, to be asked for once.
    func link(within milliseconds: Int = 5000) -> LoopbackLink {
      LoopbackLink(
        adopting: FileDescriptor(adopting: taken), deadline: .after(milliseconds: milliseconds))
    }
  }

  /// A message of the kernel, in this machine's order of bytes.
  private static func message(
    _ type: Int32, sequence: UInt32 = 1, length: Int? = nil, _ payload: [UInt8] = []
  ) -> [UInt8] {
    let header = nlmsghdr(
      nlmsg_len: UInt32(length ?? 16 + payload.count), nlmsg_type: UInt16(type), nlmsg_flags: 0,
      nlmsg_seq: sequence, nlmsg_pid: 0)
    return unsafe withUnsafeBytes(of: header) { unsafe Array($0) } + payload
  }

  private static func code(_ errno: Int32) -> [UInt8] {
    unsafe withUnsafeBytes(of: -errno) { unsafe Array($0) }
  }

  /// What setting it up throws with such a kernel.
  private func failure(
    _ datagrams: [[UInt8]], within milliseconds: Int = 5000
  ) async throws -> SystemError? {
    try await onThread { () throws -> SystemError? in
      let kernel = try Kernel(datagrams)
      defer { close(kernel.own) }
      var link = kernel.link(within: milliseconds)
      do throws(SystemError) {
        try link.set(up: true)
        return nil
      } catch {
        return error
      }
    }
  }

  @Test("It is set up and down, and has its addresses while it is up")
  func upAndDown() async throws {
    let namespace = try await TestNamespace()
    let seen = try await namespace.run { () throws -> [String] in
      var link = try LoopbackLink(deadline: .after(seconds: 10))
      var seen = ["\(try link.isUp()) \(try link.addresses())"]
      try link.set(up: true)
      seen.append("\(try link.isUp()) \(try link.addresses().map { $0.description })")
      try link.set(up: true)
      try link.set(up: false)
      seen.append("\(try link.isUp())")
      return seen
    }
    #expect(seen == ["false []", #"true ["127.0.0.1/8", "::1/128"]"#, "false"])
  }

  @Test("Other links' addresses are not its own, and more than one datagram of them is read")
  func manyAddresses() async throws {
    let namespace = try await TestNamespace()
    try await namespace.ip("link add d0 type veth peer name d1", "link set lo up")
    let lines = (0..<2000).map { "address add 10.\($0 / 250).\($0 % 250).1/32 dev d0" }
    let added = try await namespace.run(
      ["ip", "-batch", "-"], input: Array((lines.joined(separator: "\n") + "\n").utf8))
    #expect(added.succeeded, "\(added)")
    let addresses = try await namespace.run {
      var link = try LoopbackLink(deadline: .after(seconds: 10))
      return try link.addresses().map { $0.description }
    }
    #expect(addresses == ["127.0.0.1/8", "::1/128"])
  }

  @Test("A kernel that says nothing is waited for until the deadline")
  func silence() async throws {
    let error = try await failure([], within: 100)
    #expect(error == SystemError("set up", "lo", .timedOut))
  }

  @Test("A refusal is told with its number, and answers to other questions are passed over")
  func refusal() async throws {
    let stale = Self.message(NLMSG_ERROR, sequence: 7, Self.code(EBUSY))
    let refused = Self.message(NLMSG_ERROR, Self.code(EPERM))
    #expect(try await failure([stale, refused]) == SystemError("set up", "lo", .notPermitted))
    #expect(try await failure([stale + refused]) == SystemError("set up", "lo", .notPermitted))
    #expect(try await failure([Self.message(NLMSG_ERROR, Self.code(0))]) == nil)
    #expect(try await failure([Self.message(NLMSG_DONE)]) == nil)
  }

  @Test("A message that is longer than its datagram, or too short, is an error and no trap")
  func badLength() async throws {
    for length in [0, 15, 17, Int(UInt32.max)] {
      let bad = Self.message(NLMSG_ERROR, length: length)
      #expect(try await failure([bad]) == SystemError("set up", "lo", .inputOutput))
    }
  }

  @Test("No number in a message traps")
  func damaged() async throws {
    let least = unsafe withUnsafeBytes(of: Int32.min) { unsafe Array($0) }
    let error = try await failure([Self.message(NLMSG_ERROR, least)])
    #expect(error != nil)
    let addresses = try await onThread { () throws -> Int in
      let info = ifaddrmsg(
        ifa_family: 2, ifa_prefixlen: 255, ifa_flags: 0, ifa_scope: 0, ifa_index: 1)
      let body = unsafe withUnsafeBytes(of: info) { unsafe Array($0) }
      // Attributes that are cut, empty, of no length, and an address of five bytes.
      let tails: [[UInt8]] = [
        [], [1], [0, 0, 0, 0], [200, 0, 1, 0], [9, 0, 2, 0, 1, 2, 3, 4, 5],
        [8, 0, 2, 0, 1, 2, 3, 4],
      ]
      let answers = tails.map { Self.message(20, body + $0) } + [Self.message(NLMSG_DONE)]
      let kernel = try Kernel(answers)
      defer { close(kernel.own) }
      var link = kernel.link()
      return try link.addresses().count
    }
    #expect(addresses == 0)
  }
}
