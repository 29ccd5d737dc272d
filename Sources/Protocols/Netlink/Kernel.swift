import CLinux
import Linux

/// The only place of this module with pointers: the socket's system calls, and copying the kernel's
/// structures into byte arrays and out of them.
enum Kernel {
  /// A value from the beginning of some bytes; nil if there are too few.
  static func load<Value: BitwiseCopyable>(
    _ type: Value.Type, from bytes: ArraySlice<UInt8>
  ) -> Value? {
    guard bytes.count >= MemoryLayout<Value>.size else { return nil }
    return unsafe bytes.withUnsafeBytes { raw in unsafe raw.loadUnaligned(as: type) }
  }

  static func append(_ value: some BitwiseCopyable, to bytes: inout [UInt8]) {
    unsafe withUnsafeBytes(of: value) { raw in unsafe bytes.append(contentsOf: raw) }
  }

  /// Replaces bytes by a value's; does nothing if they are not all there.
  static func overwrite(
    _ bytes: inout [UInt8], at offset: Int, with value: some BitwiseCopyable
  ) {
    unsafe withUnsafeBytes(of: value) { raw in
      guard offset >= 0, offset <= bytes.count - raw.count else { return }
      unsafe bytes.replaceSubrange(offset..<(offset + raw.count), with: raw)
    }
  }

  /// Opens a routing socket in the calling thread's namespace; the kernel chooses its port id.
  ///
  /// - Parameter groups: the multicast groups to join (`RTNLGRP_…`).
  /// - Returns: the socket, closed on exec.
  /// - Throws: the error number of the call that failed.
  static func open(groups: [UInt32]) throws(Errno) -> FileDescriptor {
    let number = socket(AF_NETLINK, cl_SOCK_RAW, NETLINK_ROUTE)
    guard number >= 0 else { throw .last }
    let descriptor = FileDescriptor(adopting: number)
    var address = sockaddr_nl()
    address.nl_family = sa_family_t(AF_NETLINK)
    let size = socklen_t(MemoryLayout<sockaddr_nl>.size)
    let bound = unsafe withUnsafePointer(to: &address) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        unsafe bind(number, generic, size)
      }
    }
    guard bound == 0 else { throw .last }
    // Without these the answers say less or the dumps more; old kernels lack the last one.
    _ = set(number, NETLINK_EXT_ACK, 1)
    _ = set(number, NETLINK_CAP_ACK, 1)
    _ = set(number, NETLINK_GET_STRICT_CHK, 1)
    for group in groups {
      guard set(number, NETLINK_ADD_MEMBERSHIP, Int32(bitPattern: group)) else { throw .last }
    }
    return descriptor
  }

  private static func set(_ socket: Int32, _ option: Int32, _ value: Int32) -> Bool {
    var value = value
    return unsafe setsockopt(
      socket, SOL_NETLINK, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0
  }

  /// Sends a datagram to the kernel, which works on it before the call returns.
  static func send(_ socket: Int32, _ bytes: [UInt8]) throws(Errno) {
    while true {
      let count = unsafe bytes.withUnsafeBytes { raw in
        unsafe CLinux.send(socket, raw.baseAddress, raw.count, 0)
      }
      if count >= 0 { return }
      let errno = Errno.last
      if errno != .interrupted { throw errno }
    }
  }

  /// Exchanges one value with a link's driver, `ethtool_value` of linux/ethtool.h.
  ///
  /// - Parameters:
  ///   - socket: any socket of the link's namespace.
  ///   - command: `ETHTOOL_…`.
  ///   - link: the link's name, at most 15 bytes.
  ///   - value: what is given; a command that only asks does not look at it.
  /// - Returns: what came back.
  /// - Throws: the error number of ioctl(2).
  static func ethtool(
    _ socket: Int32, _ command: Int32, link: String, value: UInt32 = 0
  ) throws(Errno) -> UInt32 {
    while true {
      var value = value
      if unsafe cl_ethtool_value(socket, link, UInt32(bitPattern: command), &value) == 0 {
        return value
      }
      let errno = Errno.last
      if errno != .interrupted { throw errno }
    }
  }

  /// What one receive gave.
  enum Received {
    case nothing
    case datagram([UInt8])
    /// One of another process; any may write to a netlink port, and only the kernel's is 0.
    case foreign
    /// A datagram that was longer than the room for it, and is lost.
    case cut(length: Int)
  }

  /// Takes the next datagram if there is one; only what the kernel has sent is handed out.
  static func receive(_ socket: Int32, room: Int) throws(Errno) -> Received {
    while true {
      var sender = sockaddr_nl()
      var errno = Errno(rawValue: 0)
      let outcome = unsafe withUnsafeTemporaryAllocation(byteCount: room, alignment: 16) {
        (buffer: UnsafeMutableRawBufferPointer) -> Received in
        let length = unsafe receive(socket, buffer, &sender)
        if length < 0 {
          errno = .last
          return .nothing
        }
        if length > buffer.count { return .cut(length: length) }
        return unsafe .datagram([UInt8](buffer[0..<length]))
      }
      switch errno.rawValue {
      case 0:
        return sender.nl_pid == 0 ? outcome : .foreign
      case EINTR: continue
      case EAGAIN: return .nothing
      default: throw errno
      }
    }
  }

  private static func receive(
    _ socket: Int32, _ buffer: UnsafeMutableRawBufferPointer, _ sender: inout sockaddr_nl
  ) -> Int {
    var size = socklen_t(MemoryLayout<sockaddr_nl>.size)
    return unsafe withUnsafeMutablePointer(to: &sender) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        // MSG_TRUNC makes the call return the datagram's own length.
        unsafe recvfrom(
          socket, buffer.baseAddress, buffer.count, cl_MSG_DONTWAIT | cl_MSG_TRUNC, generic, &size)
      }
    }
  }
}

extension Errno {
  /// The calling thread's errno; read before anything else can run.
  fileprivate static var last: Errno { Errno(rawValue: cl_errno()) }
}
