import CLinux
import Linux
@testable import Netlink
import TestSupport
import Testing

/// Writes datagrams to a netlink socket of this namespace, as any process with the right may.
private struct Stranger: Sendable {
  private let target: sockaddr_nl
  private let sender: Int32

  init(to receiver: Int32) throws {
    var address = sockaddr_nl()
    var size = socklen_t(MemoryLayout<sockaddr_nl>.size)
    let isKnown = unsafe withUnsafeMutablePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        unsafe getsockname(receiver, generic, &size) == 0
      }
    }
    guard isKnown else { throw TestError("no port") }
    target = address
    sender = try Kernel.open(groups: []).release()
  }

  /// Says whether the datagram was taken; there may be no room for it.
  @discardableResult
  func write() -> Bool {
    let bytes = [UInt8](repeating: 0, count: 64)
    return unsafe withUnsafePointer(to: target) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        let size = socklen_t(MemoryLayout<sockaddr_nl>.size)
        return unsafe sendto(sender, bytes, bytes.count, cl_MSG_DONTWAIT, generic, size)
          == bytes.count
      }
    }
  }

  func end() { _ = close(sender) }
}

@Suite("Datagrams that the kernel has not sent")
struct ForeignTests {
  @Test("They keep nobody past his deadline, however many there are")
  func notification() async throws {
    let node = try await TestNamespace()
    let error = try await node.run { () -> NetlinkError? in
      var socket = try NotificationSocket(.links)
      return try flooded(socket.descriptor.rawValue) {
        do throws(NetlinkError) {
          _ = try socket.next(deadline: .after(milliseconds: 300))
          return nil
        } catch {
          return error
        }
      }
    }
    #expect(error?.errno == .timedOut)
  }

  @Test("A look at what is there ends, however many there are")
  func look() async throws {
    let node = try await TestNamespace()
    let isAnnounced = try await node.run {
      var socket = try NotificationSocket(.links)
      return try flooded(socket.descriptor.rawValue) { try socket.nextIfAny() != nil }
    }
    #expect(!isAnnounced)
  }

  // As many as leave room for the answer: a flood may take that, and then nobody can help.
  @Test("A question whose answer comes after many of them is answered")
  func question() async throws {
    let node = try await TestNamespace()
    let (written, links) = try await node.run {
      var socket = try NetlinkSocket()
      let stranger = try Stranger(to: socket.descriptor.rawValue)
      defer { stranger.end() }
      let written = (0..<50).count { _ in stranger.write() }
      return (written, try socket.links(deadline: soon).count)
    }
    #expect(written == 50 && links == 1)
  }

  private func flooded<Value>(_ receiver: Int32, _ body: () throws -> Value) throws -> Value {
    let stranger = try Stranger(to: receiver)
    let isOver = Locked(false)
    try OSThread.start {
      while !isOver.value { stranger.write() }
      stranger.end()
    }
    defer { isOver.withLock { $0 = true } }
    return try body()
  }
}
