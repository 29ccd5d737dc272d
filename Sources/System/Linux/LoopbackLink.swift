public import Addresses
import CLinux

/// The link `lo` of the calling thread's network namespace, by rtnetlink(7).
///
/// For a program that cannot have all of module Netlink. Each question is answered or over within
/// the deadline. No journal stands behind it: every namespace is born with the link, and what is
/// set here leaves nothing behind that would have to be undone.
public struct LoopbackLink: ~Copyable {
  private let socket: FileDescriptor
  private let deadline: Deadline
  private var sequence: UInt32 = 0

  /// The kernel gives it to `lo` in every namespace.
  private static let index: UInt32 = 1
  /// The kernel fills at most as much with one part of a list.
  private static let room = 32 << 10

  /// Opens a socket in the calling thread's namespace.
  public init(deadline: Deadline) throws(SystemError) {
    self.init(adopting: try Self.open(), deadline: deadline)
  }

  /// Takes over an open socket, whatever it is; tests put one end of a socket pair here.
  init(adopting socket: consuming FileDescriptor, deadline: Deadline) {
    self.socket = socket
    self.deadline = deadline
  }

  private static func open() throws(SystemError) -> FileDescriptor {
    let number = try retrying("socket", "netlink") {
      CLinux.socket(AF_NETLINK, cl_SOCK_RAW, NETLINK_ROUTE)
    }
    let descriptor = FileDescriptor(adopting: number)
    var kernel = sockaddr_nl()
    kernel.nl_family = sa_family_t(AF_NETLINK)
    let size = socklen_t(MemoryLayout<sockaddr_nl>.size)
    // Connected to the kernel, it takes nothing that another process sends.
    _ = try retrying("connect", "netlink") {
      unsafe withUnsafePointer(to: &kernel) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
          unsafe connect(number, generic, size)
        }
      }
    }
    return descriptor
  }

  /// Sets it up or down, and leaves its other flags as they are.
  ///
  /// - Throws: the kernel's refusal, or `timedOut`.
  public mutating func set(up isUp: Bool) throws(SystemError) {
    var link = Self.header
    link.ifi_flags = isUp ? UInt32(IFF_UP) : 0
    link.ifi_change = UInt32(IFF_UP)
    let operation = isUp ? "set up" : "set down"
    try ask(operation, UInt16(RTM_NEWLINK), NLM_F_ACK, link) { _, _ in }
  }

  /// Whether it is up.
  ///
  /// - Throws: the kernel's refusal, or `timedOut`.
  public mutating func isUp() throws(SystemError) -> Bool {
    var flags: UInt32 = 0
    try ask("look at", UInt16(RTM_GETLINK), NLM_F_ACK, Self.header) { _, payload in
      if let link = load(ifinfomsg.self, from: payload) { flags |= link.ifi_flags }
    }
    return flags & UInt32(IFF_UP) != 0
  }

  /// Its addresses: those of IPv4 first, each family in the kernel's order.
  ///
  /// - Throws: the kernel's refusal, or `timedOut`.
  public mutating func addresses() throws(SystemError) -> [IPNetwork] {
    while true {
      var found: [IPNetwork] = []
      var isInterrupted = false
      let operation = "read the addresses of"
      try ask(operation, UInt16(RTM_GETADDR), NLM_F_ROOT | NLM_F_MATCH, ifaddrmsg()) {
        header, payload in
        if header.nlmsg_flags & UInt16(NLM_F_DUMP_INTR) != 0 { isInterrupted = true }
        if let address = Self.address(payload) { found.append(address) }
      }
      if !isInterrupted { return found }
      // Some link's addresses changed meanwhile, and the list may lack one.
      try deadline.check(operation, "lo")
    }
  }

  private static var header: ifinfomsg {
    var link = ifinfomsg()
    link.ifi_index = Int32(index)
    return link
  }

  /// The address in a message, if it is one of this link.
  private static func address(_ payload: ArraySlice<UInt8>) -> IPNetwork? {
    guard let message = load(ifaddrmsg.self, from: payload), message.ifa_index == index else {
      return nil
    }
    var address: IPAddress?
    var rest = payload.dropFirst(MemoryLayout<ifaddrmsg>.size)
    while let attribute = load(rtattr.self, from: rest) {
      let length = Int(attribute.rta_len)
      guard length >= MemoryLayout<rtattr>.size, length <= rest.count else { break }
      let value = rest.prefix(length).dropFirst(MemoryLayout<rtattr>.size)
      let type = Int(attribute.rta_type)
      // The near end of an address with two ends; IPv6 has it in the other attribute else.
      if type == Int(IFA_LOCAL) || type == Int(IFA_ADDRESS) && address == nil {
        address = IPAddress(bytes: Array(value))
      }
      rest = rest.dropFirst(padded(length))
    }
    return address.flatMap {
      IPNetwork(address: $0, prefixLength: Int(message.ifa_prefixlen))
    }
  }

  /// Sends a message and reads what the kernel answers, to the answer's end.
  private mutating func ask(
    _ operation: String, _ type: UInt16, _ flags: Int32, _ body: some BitwiseCopyable,
    each: (nlmsghdr, ArraySlice<UInt8>) -> Void
  ) throws(SystemError) {
    sequence &+= 1
    var content: [UInt8] = []
    append(body, to: &content)
    let size = MemoryLayout<nlmsghdr>.size
    var message: [UInt8] = []
    append(
      nlmsghdr(
        nlmsg_len: UInt32(size + content.count), nlmsg_type: type,
        nlmsg_flags: UInt16(NLM_F_REQUEST | flags), nlmsg_seq: sequence, nlmsg_pid: 0),
      to: &message)
    message += content
    _ = try Descriptor.send(socket.rawValue, message)
    while true {
      var rest = try receive(operation)
      while let header = load(nlmsghdr.self, from: rest) {
        let length = Int(header.nlmsg_len)
        guard length >= size, length <= rest.count else {
          throw SystemError(operation, "lo", .inputOutput)
        }
        let payload = rest.prefix(length).dropFirst(size)
        rest = rest.dropFirst(padded(length))
        guard header.nlmsg_seq == sequence else { continue }
        let kind = Int32(header.nlmsg_type)
        guard kind == NLMSG_ERROR || kind == NLMSG_DONE else {
          each(header, payload)
          continue
        }
        // An old kernel ends a list with an empty message.
        let code = load(Int32.self, from: payload) ?? 0
        if code != 0 { throw SystemError(operation, "lo", Errno(rawValue: 0 &- code)) }
        return
      }
    }
  }

  private func receive(_ operation: String) throws(SystemError) -> ArraySlice<UInt8> {
    var datagram: [UInt8] = []
    try deadline.wait(socket.rawValue, for: .read, operation, "lo")
    guard try Descriptor.read(socket.rawValue, into: &datagram, limit: Self.room) > 0 else {
      throw SystemError(operation, "lo", .inputOutput)
    }
    return datagram[...]
  }
}

/// The length with what fills it up to whole words.
private func padded(_ length: Int) -> Int { (length + 3) & ~3 }

/// A value from the beginning of some bytes; nil if there are too few.
private func load<Value: BitwiseCopyable>(
  _ type: Value.Type, from bytes: ArraySlice<UInt8>
) -> Value? {
  guard bytes.count >= MemoryLayout<Value>.size else { return nil }
  return unsafe bytes.withUnsafeBytes { raw in unsafe raw.loadUnaligned(as: type) }
}

private func append(_ value: some BitwiseCopyable, to bytes: inout [UInt8]) {
  unsafe withUnsafeBytes(of: value) { raw in unsafe bytes.append(contentsOf: raw) }
}
