import Addresses
import Glibc
import Linux
import TestSupport
import Testing

@Suite("Sockets")
struct SocketTests {
  private struct Nobody: Error {}

  private func accept(_ listener: borrowing FileDescriptor) throws -> FileDescriptor {
    guard let connection = try Listener.accept(listener) else { throw Nobody() }
    return connection
  }

  @Test("A listening Unix socket is private to root and tells who connected")
  func unix() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/s"
      let listener = try UnixSocket.listen(path)
      #expect(try Files.status(path).permissions == 0o600)
      let isListening = Listener.isListening(listener)
      #expect(isListening)
      let client = try UnixSocket.connect(path)
      let server = try accept(listener)
      let peer = try UnixSocket.peer(of: server)
      #expect(peer.pid == Process.pid)
      #expect(peer.uid == 0)
      try Descriptor.sendAll(client.rawValue, [1, 2, 3], deadline: .after(seconds: 5))
      var bytes: [UInt8] = []
      try Deadline.after(seconds: 5).wait(server.rawValue, for: .read, "read")
      #expect(try Descriptor.read(server.rawValue, into: &bytes) == 3)
      #expect(bytes == [1, 2, 3])
    }
  }

  @Test("Nobody waiting is nil, not an error")
  func acceptNobody() throws {
    try withTemporaryDirectory { directory in
      let listener = try UnixSocket.listen("\(directory)/s")
      #expect(throws: Nobody.self) { _ = try accept(listener) }
    }
  }

  @Test("A missing socket, a dead one and a full one are told apart")
  func unreachable() throws {
    try withTemporaryDirectory { directory in
      let path = "\(directory)/s"
      #expect(throws: SystemError("connect", path, .noEntry)) { _ = try UnixSocket.connect(path) }
      try UnixSocket.leaveDead(path)
      #expect(throws: SystemError("connect", path, .connectionRefused)) {
        _ = try UnixSocket.connect(path)
      }
      try Files.remove(path)
      let full = try UnixSocket.listen(path, backlog: 0)
      let first = try UnixSocket.connect(path)
      #expect(throws: SystemError("connect", path, .again)) { _ = try UnixSocket.connect(path) }
      _ = (full.rawValue, first.rawValue)
    }
  }

  @Test(
    "A path that fits no socket address is refused",
    arguments: ["", String(repeating: "x", count: 108), "/a\0b"])
  func badPath(path: String) {
    #expect(throws: SystemError("connect", path, .nameTooLong)) { _ = try UnixSocket.connect(path) }
  }

  @Test("TCP carries bytes over loopback", arguments: ["127.0.0.1", "::1"])
  func tcp(text: String) throws {
    let address = try #require(IPAddress(text))
    let listener = try TCPSocket.listen(address, port: 0)
    let port = try TCPSocket.port(of: listener)
    let client = try TCPSocket.connect(address, port: port, deadline: .after(seconds: 5))
    try Deadline.after(seconds: 5).wait(listener.rawValue, for: .read, "accept")
    let server = try accept(listener)
    try Descriptor.sendAll(server.rawValue, Array("hello".utf8), deadline: .after(seconds: 5))
    var bytes: [UInt8] = []
    try Deadline.after(seconds: 5).wait(client.rawValue, for: .read, "read")
    _ = try Descriptor.read(client.rawValue, into: &bytes)
    #expect(bytes == Array("hello".utf8))
  }

  @Test("A TCP port on which nobody listens refuses")
  func tcpRefused() throws {
    let address = IPAddress(v4: 0x7F00_0001)
    let port: UInt16
    do {
      let listener = try TCPSocket.listen(address, port: 0)
      port = try TCPSocket.port(of: listener)
      // Closing is not enough: a program that is started at this moment has a copy of it.
      guard shutdown(listener.rawValue, Int32(SHUT_RDWR)) == 0 else { throw Nobody() }
    }
    #expect(throws: SystemError("connect", "127.0.0.1:\(port)", .connectionRefused)) {
      _ = try TCPSocket.connect(address, port: port, deadline: .after(seconds: 5))
    }
  }

  @Test("Writing to a closed socket is EPIPE and no death")
  func brokenPipe() throws {
    try withTemporaryDirectory { directory in
      let listener = try UnixSocket.listen("\(directory)/s")
      let client = try UnixSocket.connect("\(directory)/s")
      let server = try accept(listener)
      // Closing is not enough: a program that is started at this moment has a copy of it.
      #expect(shutdown(server.rawValue, Int32(SHUT_RDWR)) == 0)
      #expect(throws: SystemError("write", "", .brokenPipe)) {
        _ = try Descriptor.send(client.rawValue, [1])
      }
    }
  }
}
