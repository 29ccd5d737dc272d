import Addresses
import Linux

/// Bytes that go over TCP from one pod to another.
public struct Transfer: Sendable {
  /// What arrived.
  public let received: Int
  /// Whether each byte was the right one.
  public let isIntact: Bool
  /// From the first byte to the last.
  public let milliseconds: Int

  /// The rate.
  public var megabitsPerSecond: Int { milliseconds == 0 ? 0 : received * 8 / 1000 / milliseconds }

  /// Sends a number of bytes, or what passes in a time.
  ///
  /// - Parameters:
  ///   - sender: the pod that sends.
  ///   - receiver: the pod that receives.
  ///   - address: the receiver's.
  ///   - bytes: how many.
  ///   - milliseconds: when the sender ends in any case.
  /// - Returns: what the receiver has seen.
  /// - Throws: when there is no connection, or it ends early.
  public static func run(
    from sender: TestPod, to receiver: TestPod, _ address: String, bytes: Int,
    within milliseconds: Int = 60_000
  ) async throws -> Transfer {
    guard let address = IPAddress(address) else { throw TestError("\(address) is no address") }
    let port = Locked<UInt16>(0)
    async let seen = receiver.network.run { try receive(address, port, milliseconds) }
    guard try await eventually({ port.value != 0 }) else { throw TestError("nobody listens") }
    try await sender.network.run { try send(bytes, address, port.value, milliseconds) }
    return try await seen
  }

  private static func send(
    _ count: Int, _ address: IPAddress, _ port: UInt16, _ milliseconds: Int
  ) throws {
    let end = Deadline.after(milliseconds: milliseconds)
    let socket = try TCPSocket.connect(address, port: port, deadline: end)
    var sent = 0
    while sent < count, !end.isOver {
      let chunk = pattern(from: sent, count: min(65_536, count - sent))
      var offset = 0
      while offset < chunk.count {
        do throws(SystemError) {
          offset += try Descriptor.write(socket.rawValue, chunk, from: offset)
        } catch {
          guard error.errno == .again else { throw error }
          guard (try? end.wait(socket.rawValue, for: .write, "send")) != nil else { return }
        }
      }
      sent += chunk.count
    }
  }

  private static func receive(
    _ address: IPAddress, _ port: Locked<UInt16>, _ milliseconds: Int
  ) throws -> Transfer {
    let listener = try TCPSocket.listen(address, port: 0)
    let number = try TCPSocket.port(of: listener)
    port.withLock { $0 = number }
    let end = Deadline.after(milliseconds: milliseconds + 20_000)
    try end.wait(listener.rawValue, for: .read, "accept")
    guard let socket = try Listener.accept(listener) else { throw TestError("nobody came") }
    var received = 0
    var isIntact = true
    let begun = KernelClock.monotonic
    var last = begun
    while true {
      try end.wait(socket.rawValue, for: .read, "receive")
      var bytes: [UInt8] = []
      let count = try Descriptor.read(socket.rawValue, into: &bytes, limit: 262_144)
      if count == 0 { break }
      if bytes != pattern(from: received, count: count) { isIntact = false }
      received += count
      last = KernelClock.monotonic
    }
    return Transfer(
      received: received, isIntact: isIntact, milliseconds: Int((last - begun) / 1_000_000))
  }

  /// Bytes that repeat after 251, so that a piece that is missing or twice there is seen.
  private static func pattern(from position: Int, count: Int) -> [UInt8] {
    let start = position % 251
    return Array(wheel[start..<(start + count)])
  }

  private static let wheel: [UInt8] = (0..<(262_144 + 251)).map { UInt8($0 % 251) }
}
