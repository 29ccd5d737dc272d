public import Addresses
import Linux

/// Bytes that went over one TCP connection between two namespaces, and how long they took.
public struct TCPTransfer: Sendable, CustomStringConvertible {
  /// What arrived.
  public let bytes: Int
  /// From before the first byte was sent until the receiver saw the end.
  public let milliseconds: Int

  /// Payload per second in Mbit/s; the packets' headers are not counted, about 5 % of
  /// full-sized ones.
  public var megabits: Double { Double(bytes) * 8 / 1000 / Double(max(milliseconds, 1)) }

  /// `2500000 bytes in 1043 ms, 19.2 Mbit/s`.
  public var description: String {
    let tenths = Int(megabits * 10)
    return "\(bytes) bytes in \(milliseconds) ms, \(tenths / 10).\(tenths % 10) Mbit/s"
  }

  /// Whether the payload's rate is a limit's in Mbit/s, less or more a fifth.
  public func keeps(to limit: Double) -> Bool { (limit * 0.8...limit * 1.2).contains(megabits) }

  /// Sends bytes from one namespace to another.
  ///
  /// - Parameters:
  ///   - sender: where they come from.
  ///   - receiver: where they go to.
  ///   - address: the receiver's.
  ///   - port: where the receiver listens.
  ///   - bytes: how many.
  ///   - milliseconds: when to give up.
  /// - Returns: what arrived.
  /// - Throws: when not everything arrived in time.
  public static func run(
    from sender: TestNamespace, to receiver: TestNamespace, at address: IPAddress,
    port: UInt16 = newPort(), bytes: Int, within milliseconds: Int = 60_000
  ) async throws -> TCPTransfer {
    let deadline = Deadline.after(milliseconds: milliseconds * Program.patience)
    // It stays the receiver's, whatever thread uses it.
    let listener = try await receiver.run {
      try TCPSocket.listen(address, port: port).release()
    }
    // The sender's clock: a receiver that is late would take the transfer for too fast.
    let start = Locked<UInt64>(0)
    async let received = onThread {
      let count = try receive(FileDescriptor(adopting: listener), deadline: deadline)
      let nanoseconds = KernelClock.monotonic - start.value
      return TCPTransfer(bytes: count, milliseconds: Int(nanoseconds / 1_000_000))
    }
    do {
      try await sender.run {
        let socket = try TCPSocket.connect(address, port: port, deadline: deadline)
        let piece = [UInt8](repeating: 0x5A, count: 1 << 16)
        start.withLock { $0 = KernelClock.monotonic }
        var left = bytes
        while left > 0 {
          let next = left < piece.count ? Array(piece.prefix(left)) : piece
          try Descriptor.sendAll(socket.rawValue, next, deadline: deadline)
          left -= next.count
        }
      }
    } catch {
      _ = try? await received
      throw error
    }
    let transfer = try await received
    guard transfer.bytes == bytes else { throw TestError("of \(bytes) bytes: \(transfer)") }
    return transfer
  }

  private static let lastPort = Locked<UInt16>(5000)

  /// A port that no transfer had before: a program that is being started may hold the socket of the
  /// last one for a moment.
  public static func newPort() -> UInt16 {
    lastPort.withLock { last in
      last += 1
      return last
    }
  }

  /// Measures a limit: what came of the first of ten transfers that kept to it, else of the last.
  ///
  /// A machine that is busy with something else makes one slower, and never faster: one that is
  /// too fast ends it.
  ///
  /// - Parameters:
  ///   - limit: Mbit/s.
  ///   - transfer: sends bytes through what limits them.
  /// - Returns: one transfer's figures.
  /// - Throws: what `transfer` threw.
  public static func measure(
    limit: Double, _ transfer: () async throws -> TCPTransfer
  ) async throws -> TCPTransfer {
    for _ in 0..<9 {
      let seen = try await transfer()
      if seen.keeps(to: limit) || seen.megabits > limit { return seen }
    }
    return try await transfer()
  }

  /// Measures what nothing limits: the first of ten transfers that was faster than a rate, else
  /// the last.
  ///
  /// - Parameters:
  ///   - rate: Mbit/s.
  ///   - transfer: sends bytes.
  /// - Returns: one transfer's figures.
  /// - Throws: what `transfer` threw.
  public static func measure(
    above rate: Double, _ transfer: () async throws -> TCPTransfer
  ) async throws -> TCPTransfer {
    for _ in 0..<9 {
      let seen = try await transfer()
      if seen.megabits > rate { return seen }
    }
    return try await transfer()
  }

  /// Reads to the end.
  ///
  /// - Returns: how many bytes came.
  private static func receive(
    _ listener: consuming FileDescriptor, deadline: Deadline
  ) throws -> Int {
    try deadline.wait(listener.rawValue, for: .read, "accept")
    guard let socket = try Listener.accept(listener) else { throw TestError("nobody connected") }
    var count = 0
    while true {
      try deadline.wait(socket.rawValue, for: .read, "receive", "after \(count) bytes")
      var piece: [UInt8] = []
      do throws(SystemError) {
        let got = try Descriptor.read(socket.rawValue, into: &piece, limit: 1 << 18)
        if got == 0 { break }
        count += got
      } catch {
        if error.errno != .again { throw error }
      }
    }
    return count
  }
}
