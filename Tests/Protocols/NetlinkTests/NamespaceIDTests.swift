import Addresses
import Glibc
@_spi(Journal) import Linux
import Netlink
import TestSupport
import Testing

@Suite("Ids of other namespaces on the real kernel")
struct NamespaceIDTests {
  @Test("A namespace gets its id once, keeps it, and is in the list of ids")
  func once() async throws {
    let (node, one, two) = (
      try await TestNamespace(), try await TestNamespace(), try await TestNamespace()
    )
    let seen = try await node.netlink { socket in
      let before = try socket.namespaceIDs(deadline: soon)
      let first = try socket.ensureNamespaceID(of: try one.opened(), deadline: soon)
      let other = try socket.ensureNamespaceID(of: try two.opened(), deadline: soon)
      let again = try socket.ensureNamespaceID(of: try one.opened(), deadline: soon)
      let known = try socket.namespaceID(of: try one.opened(), deadline: soon)
      let all = try socket.namespaceIDs(deadline: soon)
      return (before, [first, other, again, known], all.sorted())
    }
    #expect(seen.0 == [])
    #expect(seen.1 == [0, 1, 0, 0])
    #expect(seen.2 == [0, 1])
  }

  @Test("A descriptor that is no namespace is refused")
  func noNamespace() async throws {
    let node = try await TestNamespace()
    // Opened while it was one, closed and used for something else: what a bug would look
    // like to the kernel.
    let errno = try await node.netlink { socket -> Errno? in
      let pod = try NetworkNamespace.current()
      let null = try Files.open("/dev/null", [.read])
      let number = pod.descriptor.rawValue
      guard dup2(null.rawValue, number) == number else { throw TestError("dup2") }
      do throws(NetlinkError) {
        _ = try socket.ensureNamespaceID(of: pod, deadline: soon)
        return nil
      } catch {
        return error.errno
      }
    }
    #expect(errno == .invalid)
  }

  @Test("A link of a namespace to which no path leads is found and deleted by the id")
  func withoutPath() async throws {
    let (node, pod) = (try await TestNamespace(), try await TestNamespace())
    try await pod.ip("link add eth0 type bridge", "link set eth0 alias \"cnid:box/eth0\"")
    let id = try await node.netlink { socket in
      try socket.ensureNamespaceID(of: try pod.opened(), deadline: soon)
    }
    pod.closePath()
    let seen = try await node.netlink { socket in
      let none = try socket.link(named: "eth1", inNamespace: id, deadline: soon)
      guard let link = try socket.link(named: "eth0", inNamespace: id, deadline: soon) else {
        throw TestError("not found")
      }
      let own = try socket.link(named: "eth0", deadline: soon)
      try socket.apply(.deleteLink(index: link.index, name: "eth0", inNamespace: id))
      let again = try socket.attempt(
        [.deleteLink(index: link.index, name: "eth0", inNamespace: id)], Permit(), deadline: soon)
      let after = try socket.link(named: "eth0", inNamespace: id, deadline: soon)
      return (none, own, link.alias, again.map { $0?.errno }, after)
    }
    #expect(seen.0 == nil && seen.1 == nil && seen.4 == nil)
    #expect(seen.2 == "cnid:box/eth0")
    #expect(seen.3 == [.noDevice])
    #expect(try await pod.links() == [])
  }

  @Test("The end of a namespace is announced with its id, which then leads nowhere")
  func end() async throws {
    let node = try await TestNamespace()
    let seen = try await node.netlink { socket in
      var listener = try NotificationSocket(.namespaceIDs)
      let id = try NamespaceIDTests.assignToNew(&socket)
      var removed: Int32?
      while removed == nil {
        if case .namespaceIDRemoved(let number) = try listener.next(deadline: soon) {
          removed = number
        }
      }
      let link = try socket.link(named: "lo", inNamespace: id, deadline: soon)
      let deletion = try socket.attempt(
        [.deleteLink(index: 1, inNamespace: id)], Permit(), deadline: soon)
      let left = try socket.namespaceIDs(deadline: soon)
      return (id, removed, link, deletion.map { $0?.errno }, left)
    }
    #expect(seen.0 == 0 && seen.1 == 0)
    #expect(seen.2 == nil)
    #expect(seen.3 == [.invalid])
    #expect(seen.4 == [])
  }

  /// Gives an id to a namespace that ends when this returns.
  private static func assignToNew(_ socket: inout NetlinkSocket) throws -> Int32 {
    let number = try OSThread.run { () -> Result<Int32, SystemError> in
      do throws(SystemError) {
        try NetworkNamespace.enterNew()
        return .success(try Files.open("/proc/thread-self/ns/net", [.read]).release())
      } catch {
        return .failure(error)
      }
    }.get()
    let held = FileDescriptor(adopting: number)
    let pod = try NetworkNamespace(path: "/proc/self/fd/\(held.rawValue)")
    return try socket.ensureNamespaceID(of: pod, deadline: soon)
  }

  @Test("An id that never was gives no link")
  func unknown() async throws {
    let node = try await TestNamespace()
    let link = try await node.netlink { socket in
      try socket.link(named: "lo", inNamespace: 4711, deadline: soon)
    }
    #expect(link == nil)
  }
}
