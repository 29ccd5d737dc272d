import CLinux
import Linux
@testable import Netlink
import TestSupport
import Testing

/// Writes datagrams to a netlink socket of this namespace, as any process may, until it ends.
private final class Flood: Sendable {
  private let isOver = Locked(false)

  init(to receiver: Int32) throws {
    var address = sockaddr_nl()
    var size = socklen_t(MemoryLayout<sockaddr_nl>.size)
    let isKnown = unsafe withUnsafeMutablePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        unsafe getsockname(receiver, generic, &size) == 0
      }
    }
    guard isKnown else { throw TestError("no port") }
    let sender = try Kernel.open(groups: []).release()
    let (target, length, isOver) = (address, size, isOver)
    try OSThread.start {
      let bytes = [UInt8](repeating: 0, count: 64)
      while !isOver.value {
        unsafe withUnsafePointer(to: target) { pointer in
          unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
            _ = unsafe sendto(sender, bytes, bytes.count, cl_MSG_DONTWAIT, generic, length)
          }
        }
      }
      _ = close(sender)
    }
  }

  func end() { isOver.withLock { $0 = true } }
}

@Suite("Datagrams that the kernel has not sent")
struct ForeignTests {
  @Test("They keep nobody past his deadline, however many there are")
  func notification() async throws {
    let node = try await TestNamespace()
    let error = try await node.run { () -> NetlinkError? in
      var socket = try NotificationSocket(.links)
      let flood = try Flood(to: socket.descriptor.rawValue)
      defer { flood.end() }
      do throws(NetlinkError) {
        _ = try socket.next(deadline: .after(milliseconds: 300))
        return nil
      } catch {
        return error
      }
    }
    #expect(error?.errno == .timedOut)
  }

  @Test("A look at what is there ends, and a question beside them is answered")
  func question() async throws {
    let node = try await TestNamespace()
    let (announced, links) = try await node.run {
      var listener = try NotificationSocket(.links)
      var asking = try NetlinkSocket()
      let floods = [
        try Flood(to: listener.descriptor.rawValue), try Flood(to: asking.descriptor.rawValue),
      ]
      defer { for flood in floods { flood.end() } }
      let announced = try listener.nextIfAny() != nil
      var links = 0
      // A flood may take the room of an answer.
      while links == 0 { links = (try? asking.links(deadline: soon).count) ?? 0 }
      return (announced, links)
    }
    #expect(!announced && links == 1)
  }
}
