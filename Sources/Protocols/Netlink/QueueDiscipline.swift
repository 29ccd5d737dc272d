import CLinux
public import Linux

/// What decides which packet a link sends next, or that holds the filters of what comes in, tc(8)
/// (`RTM_NEWQDISC`).
public struct QueueDiscipline: Sendable, Equatable {
  /// The link's number.
  public var index: UInt32
  /// Its kind: `tbf`, `htb`, `noqueue`, `ingress`.
  public var kind = ""
  /// Its own number; `TrafficHandle.none` if the kernel gave it to the link by itself.
  public var handle: TrafficHandle
  /// Where it sits: `.root`, `.ingress`, or a class of another discipline.
  public var parent: TrafficHandle
  /// Present if the kind is `tbf`; its burst is what the kernel made of it, at most one
  /// tick of 64 ns less.
  public var tokenBucket: TokenBucket?

  /// Reads a message of type `RTM_NEWQDISC` or `RTM_DELQDISC`.
  ///
  /// - Throws: `WireError` if it is cut or an attribute is too short.
  public init(_ message: NetlinkMessage) throws(WireError) {
    let found = try TrafficMessage(message)
    index = found.index
    kind = found.kind
    handle = found.handle
    parent = found.parent
    // Other kinds have a structure instead of attributes here.
    if kind == TokenBucket.kind, let options = found.options {
      tokenBucket = try TokenBucket(options.nested)
    }
  }
}

/// What all messages of traffic control have in common.
struct TrafficMessage {
  let index: UInt32
  let handle: TrafficHandle
  let parent: TrafficHandle
  /// `tcm_info`, which has a meaning for filters only.
  let info: UInt32
  let kind: String
  let options: Attribute?

  init(_ message: NetlinkMessage) throws(WireError) {
    var reader = ByteReader(message.payload)
    let header = try reader.read(tcmsg.self)
    index = UInt32(bitPattern: header.tcm_ifindex)
    handle = TrafficHandle(rawValue: header.tcm_handle)
    parent = TrafficHandle(rawValue: header.tcm_parent)
    info = header.tcm_info
    var kind = ""
    var options: Attribute?
    var attributes = AttributeReader(reader.rest)
    while let attribute = try attributes.next() {
      switch attribute.type {
      case Int(TCA_KIND): kind = attribute.text
      case Int(TCA_OPTIONS): options = attribute
      default: break
      }
    }
    self.kind = kind
    self.options = options
  }
}

extension NetlinkSocket {
  /// The queueing disciplines of a link, the outermost one first.
  ///
  /// - Parameters:
  ///   - index: the link's number.
  ///   - deadline: when to give up.
  /// - Returns: the disciplines in the kernel's order; none if there is no such link.
  /// - Throws: as `dump`.
  public mutating func queueDisciplines(
    of index: UInt32, deadline: Deadline
  ) throws(NetlinkError) -> [QueueDiscipline] {
    var request = MessageBuilder(type: Int(RTM_GETQDISC))
    request.append(tcmsg(index: index))
    // The kernel gives those of all links, whatever is asked.
    return try dump(request, "list queues", "", deadline: deadline) {
      message throws(WireError) -> QueueDiscipline? in
      guard message.type == Int(RTM_NEWQDISC) else { return nil }
      let found = try QueueDiscipline(message)
      return found.index == index ? found : nil
    }
  }
}
