import CLinux
import Linux
import TestSupport

@testable import Netlink

/// The other end of a netlink socket, which says what a test wants; its twin on the real kernel is
/// in `SocketTests`.
///
/// The answers are queued before the question is asked: a new socket's sequence
/// numbers begin with 1.
struct FakeKernel: ~Copyable {
  private let descriptor: FileDescriptor
  private let other: Int32

  init() throws {
    var ends: [Int32] = [-1, -1]
    guard unsafe socketpair(AF_UNIX, cl_SOCK_DGRAM, 0, &ends) == 0 else {
      throw TestError("socketpair")
    }
    descriptor = FileDescriptor(adopting: ends[0])
    other = ends[1]
  }

  /// The socket that takes this for the kernel; to be asked for once.
  func socket() -> NetlinkSocket { NetlinkSocket(adopting: FileDescriptor(adopting: other)) }

  /// The same for notifications.
  func listener() -> NotificationSocket {
    NotificationSocket(adopting: FileDescriptor(adopting: other))
  }

  /// Sends a datagram of messages.
  func says(_ messages: [UInt8]...) throws {
    let bytes = messages.flatMap { $0 }
    let sent = unsafe send(descriptor.rawValue, bytes, bytes.count, cl_MSG_NOSIGNAL)
    guard sent == bytes.count else { throw TestError("send: \(cl_errno())") }
  }

  /// Everything that was asked, datagram by datagram.
  func heard() -> [[UInt8]] {
    var datagrams: [[UInt8]] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe recv(descriptor.rawValue, &buffer, buffer.count, cl_MSG_DONTWAIT)
      if count < 0 { return datagrams }
      datagrams.append(Array(buffer.prefix(count)))
    }
  }
}

/// A message of the kernel.
func message(
  _ type: Int32, flags: Int32 = 0, sequence: UInt32, _ payload: [UInt8] = []
) -> [UInt8] {
  var bytes: [UInt8] = []
  var header = nlmsghdr()
  header.nlmsg_len = UInt32(16 + payload.count)
  header.nlmsg_type = UInt16(type)
  header.nlmsg_flags = UInt16(flags)
  header.nlmsg_seq = sequence
  Kernel.append(header, to: &bytes)
  return bytes + payload + [UInt8](repeating: 0, count: -payload.count & 3)
}

/// An acknowledgement; an error number of 0 is success.
func acknowledgement(_ sequence: UInt32, _ errno: Int32 = 0) -> [UInt8] {
  var payload: [UInt8] = []
  Kernel.append(-errno, to: &payload)
  return message(NLMSG_ERROR, sequence: sequence, payload + [UInt8](repeating: 0, count: 16))
}

/// The end of a dump.
func done(_ sequence: UInt32, flags: Int32 = 0) -> [UInt8] {
  message(NLMSG_DONE, flags: NLM_F_MULTI | flags, sequence: sequence, [0, 0, 0, 0])
}

/// A link of a dump.
func link(_ sequence: UInt32, index: Int32, flags: Int32 = 0) -> [UInt8] {
  var payload: [UInt8] = []
  var header = ifinfomsg()
  header.ifi_index = index
  Kernel.append(header, to: &payload)
  return message(
    Int32(RTM_NEWLINK), flags: NLM_F_MULTI | flags, sequence: sequence, payload)
}
