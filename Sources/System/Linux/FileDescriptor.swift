import CLinux

/// An open file that closes itself when its owner ends.
///
/// Every descriptor of this module is opened with O_CLOEXEC in the call that makes it.
@frozen  // Embedded Swift asks for it where `discard` is used.
public struct FileDescriptor: ~Copyable, Sendable {
  /// The number, valid while this value lives.
  public let rawValue: Int32

  /// Takes over an open descriptor.
  public init(adopting rawValue: Int32) { self.rawValue = rawValue }

  deinit { _ = close(rawValue) }

  /// Gives the number away: the caller closes it from now on.
  public consuming func release() -> Int32 {
    let number = rawValue
    discard self
    return number
  }

  /// A second descriptor of the same open file, fcntl(F_DUPFD_CLOEXEC).
  public func duplicate() throws(SystemError) -> FileDescriptor {
    let number = rawValue
    return FileDescriptor(
      adopting: try retrying("dup", "") { cl_fcntl(number, F_DUPFD_CLOEXEC, 3) })
  }

  /// Sets or clears O_NONBLOCK.
  public func setNonBlocking(_ on: Bool) throws(SystemError) {
    let number = rawValue
    let flags = try retrying("fcntl", "") { cl_fcntl(number, F_GETFL, 0) }
    let wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK
    _ = try retrying("fcntl", "") { cl_fcntl(number, F_SETFL, wanted) }
  }
}

/// Reading and writing of descriptors, read(2) and write(2).
public enum Descriptor {
  /// Reads once, at most as many bytes as fit between the buffer's end and `limit` bytes more.
  ///
  /// - Parameters:
  ///   - descriptor: an open descriptor.
  ///   - buffer: gets the bytes at its end.
  ///   - limit: how many bytes at the most.
  /// - Throws: the error of read(2); `again` from an empty non-blocking descriptor.
  /// - Returns: how many bytes were read, 0 at the end of the stream.
  public static func read(
    _ descriptor: Int32, into buffer: inout [UInt8], limit: Int = 65_536
  ) throws(SystemError) -> Int {
    var failure: Errno?
    // A chunk of its own, because filling the buffer's new end with zeros first takes
    // longer than reading.
    let chunk = unsafe [UInt8](unsafeUninitializedCapacity: max(0, limit)) { all, count in
      while true {
        let got = unsafe CLinux.read(descriptor, all.baseAddress, all.count)
        if got >= 0 {
          count = min(got, all.count)
          return
        }
        let errno = Errno.current
        if errno != .interrupted {
          failure = errno
          return
        }
      }
    }
    if let failure { throw SystemError("read", "", failure) }
    buffer += chunk
    return chunk.count
  }

  /// Writes once, write(2), and tells how many of the bytes from `offset` on were taken.
  ///
  /// A closed other end of a pipe or socket is the error EPIPE if SIGPIPE is ignored.
  public static func write(
    _ descriptor: Int32, _ bytes: [UInt8], from offset: Int = 0
  ) throws(SystemError) -> Int {
    try unsafe put(bytes, from: offset) {
      unsafe CLinux.write(descriptor, $0.baseAddress, $0.count)
    }
  }

  /// Sends once on a socket, send(2), and tells how many of the bytes from `offset` on were taken.
  ///
  /// A closed other end is the error EPIPE, never a signal.
  public static func send(
    _ socket: Int32, _ bytes: [UInt8], from offset: Int = 0
  ) throws(SystemError) -> Int {
    try unsafe put(bytes, from: offset) {
      unsafe CLinux.send(socket, $0.baseAddress, $0.count, cl_MSG_NOSIGNAL)
    }
  }

  private static func put(
    _ bytes: [UInt8], from offset: Int, _ call: (UnsafeRawBufferPointer) -> Int
  ) throws(SystemError) -> Int {
    guard offset < bytes.count else { return 0 }
    return try retrying("write", "") {
      unsafe bytes.withUnsafeBytes { unsafe call(UnsafeRawBufferPointer(rebasing: $0[offset...])) }
    }
  }

  /// Writes all bytes to a regular file, which neither waits nor hangs up.
  static func writeFile(_ file: Int32, _ bytes: [UInt8]) throws(SystemError) {
    var offset = 0
    while offset < bytes.count { offset += try write(file, bytes, from: offset) }
  }

  /// Writes all bytes, waiting inside the deadline when a non-blocking descriptor is full.
  public static func writeAll(
    _ descriptor: Int32, _ bytes: [UInt8], deadline: Deadline
  ) throws(SystemError) {
    try putAll(descriptor, bytes, deadline, write)
  }

  /// Sends all bytes on a socket, waiting inside the deadline while it is full.
  public static func sendAll(
    _ socket: Int32, _ bytes: [UInt8], deadline: Deadline
  ) throws(SystemError) {
    try putAll(socket, bytes, deadline, send)
  }

  private static func putAll(
    _ descriptor: Int32, _ bytes: [UInt8], _ deadline: Deadline,
    _ put: (Int32, [UInt8], Int) throws(SystemError) -> Int
  ) throws(SystemError) {
    var offset = 0
    while offset < bytes.count {
      do throws(SystemError) {
        offset += try put(descriptor, bytes, offset)
      } catch {
        if error.errno != .again { throw error }
        try deadline.wait(descriptor, for: .write, "write")
      }
    }
  }

  /// Reads to the end of the stream, waiting inside the deadline.
  ///
  /// - Parameters:
  ///   - descriptor: an open descriptor.
  ///   - limit: more bytes than this are the error `Errno.tooBig`.
  ///   - deadline: when to give up.
  /// - Returns: the bytes up to the end.
  /// - Throws: the error of read(2) or of the wait.
  public static func readAll(
    _ descriptor: Int32, limit: Int, deadline: Deadline
  ) throws(SystemError) -> [UInt8] {
    var bytes: [UInt8] = []
    while true {
      try deadline.wait(descriptor, for: .read, "read")
      do throws(SystemError) {
        if try read(descriptor, into: &bytes, limit: 16_384) == 0 { return bytes }
      } catch {
        if error.errno != .again { throw error }
      }
      if bytes.count > limit { throw SystemError("read", "more than \(limit) bytes", .tooBig) }
    }
  }
}
