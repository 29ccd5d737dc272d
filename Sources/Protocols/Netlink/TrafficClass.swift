import CLinux
public import Linux

/// A share of a link's sending, one of a queueing discipline that divides it, tc(8)
/// (`RTM_NEWTCLASS`).
public struct TrafficClass: Sendable, Equatable {
  /// The rates of a class of kind `htb`, tc-htb(8).
  public struct Hierarchical: Sendable, Equatable {
    /// What it always gets, in bytes per second.
    public var rate: UInt64
    /// What it gets at most, if others leave it that much, in bytes per second.
    public var ceiling: UInt64

    /// Describes rates.
    public init(rate: UInt64, ceiling: UInt64) {
      self.rate = rate
      self.ceiling = ceiling
    }
  }

  /// The link's number.
  public var index: UInt32
  /// The kind of its discipline: `htb`.
  public var kind = ""
  /// Its own number.
  public var handle: TrafficHandle
  /// The class or the discipline that it divides; `.root` for a discipline's first one.
  public var parent: TrafficHandle
  /// Present if the kind is `htb`.
  public var hierarchical: Hierarchical?

  /// Reads a message of type `RTM_NEWTCLASS` or `RTM_DELTCLASS`.
  ///
  /// - Throws: `WireError` if it is cut or an attribute is too short.
  public init(_ message: NetlinkMessage) throws(WireError) {
    let found = try TrafficMessage(message)
    index = found.index
    kind = found.kind
    handle = found.handle
    parent = found.parent
    if kind == "htb", let options = found.options {
      hierarchical = try Hierarchical(options.nested)
    }
  }
}

extension TrafficClass.Hierarchical {
  fileprivate init?(_ options: AttributeReader) throws(WireError) {
    var options = options
    var parameters: tc_htb_opt?
    var (wideRate, wideCeiling): (UInt64?, UInt64?) = (nil, nil)
    while let attribute = try options.next() {
      switch attribute.type {
      case Int(TCA_HTB_PARMS): parameters = try attribute.read(tc_htb_opt.self)
      case Int(TCA_HTB_RATE64): wideRate = try attribute.read(UInt64.self)
      case Int(TCA_HTB_CEIL64): wideCeiling = try attribute.read(UInt64.self)
      default: break
      }
    }
    guard let parameters else { return nil }
    rate = TrafficRate.value(parameters.rate, wideRate)
    ceiling = TrafficRate.value(parameters.ceil, wideCeiling)
  }
}

extension NetlinkSocket {
  /// The classes of a link's queueing disciplines.
  ///
  /// - Parameters:
  ///   - index: the link's number.
  ///   - deadline: when to give up.
  /// - Returns: the classes in the kernel's order; none if there is no such link.
  /// - Throws: as `dump`.
  public mutating func trafficClasses(
    of index: UInt32, deadline: Deadline
  ) throws(NetlinkError) -> [TrafficClass] {
    var request = MessageBuilder(type: Int(RTM_GETTCLASS))
    request.append(tcmsg(index: index))
    return try dump(request, "list traffic classes", "of interface \(index)", deadline: deadline) {
      message throws(WireError) in
      message.type == Int(RTM_NEWTCLASS) ? try TrafficClass(message) : nil
    }
  }
}
