import Glibc
import Linux

/// The service manager's end of sd_notify(3): a datagram socket that a test reads.
public final class NotifySocket: Sendable {
  /// What NOTIFY_SOCKET shall say: a path, or a name in the abstract namespace after an `@`.
  public let address: String
  private let socket: FileDescriptor

  /// Makes the socket.
  public init(_ address: String) throws {
    self.address = address
    let socket = FileDescriptor(
      adopting: Glibc.socket(
        AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0))
    var name = Array(address.utf8)
    let isAbstract = name.first == UInt8(ascii: "@")
    if isAbstract { name[0] = 0 }
    var target = sockaddr_un()
    target.sun_family = sa_family_t(AF_UNIX)
    guard name.count < MemoryLayout.size(ofValue: target.sun_path) else {
      throw TestError("too long: \(address)")
    }
    unsafe withUnsafeMutableBytes(of: &target.sun_path) { unsafe $0.copyBytes(from: name) }
    let length = socklen_t(2 + name.count + (isAbstract ? 0 : 1))
    let number = socket.rawValue
    let code = unsafe withUnsafePointer(to: &target) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe bind(number, $0, length)
      }
    }
    guard code == 0 else { throw TestError("bind \(address): \(errno)") }
    self.socket = socket
  }

  /// The messages that have come since the last time; waits for none.
  public func receive() -> [String] {
    var messages: [String] = []
    while let message = next() {
      if message != Self.filling { messages.append(message) }
    }
    return messages
  }

  /// Sends itself a message, which `receive` leaves out; false once its queue is full.
  public func fill() -> Bool {
    (try? UnixDatagram().send(Array(Self.filling.utf8), to: address)) != nil
  }

  private static let filling = "FILLING"

  private func next() -> String? {
    var bytes: [UInt8] = []
    guard let count = try? Descriptor.read(socket.rawValue, into: &bytes), count > 0 else {
      return nil
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
