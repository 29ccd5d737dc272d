import CLinux
public import Linux

/// A rule that picks packets of a link and does something with them, tc(8) (`RTM_NEWTFILTER`).
public struct TrafficFilter: Sendable, Equatable {
  /// What is done with a packet.
  public struct Action: Sendable, Equatable {
    /// Its kind: `police`, `mirred`, `gact`.
    public var kind: String
    /// Present if the kind is `police`.
    public var police: Police?

    /// Describes an action.
    public init(kind: String, police: Police? = nil) {
      self.kind = kind
      self.police = police
    }
  }

  /// A policer, tc-police(8): what is more than its rate is dropped, or whatever else it was told.
  ///
  /// A sender's packets of up to 64 KiB, which its driver would cut (GSO), must fit the bucket.
  /// TCP reaches the rate if the bucket holds a fifth of a second of it, and only half of the rate
  /// with half of that.
  public struct Police: Sendable, Equatable {
    /// Bytes per second; 0 if it counts packets only.
    public var rate: UInt64
    /// The bucket's size in bytes; at most one tick of 64 ns less than was asked for.
    public var burst: UInt32
    /// Packets per second; 0 if it counts bytes only.
    public var packetRate: UInt64

    /// Describes a policer.
    public init(rate: UInt64, burst: UInt32, packetRate: UInt64 = 0) {
      self.rate = rate
      self.burst = burst
      self.packetRate = packetRate
    }
  }

  /// How it picks packets: `basic`, `matchall`, `u32`, `flower`, `bpf`.
  public var kind = ""
  /// Its turn among the filters, the smallest first.
  public var preference: UInt16
  /// What it does, in order; empty for a kind that is not one of the above.
  public var actions: [Action] = []

  /// Reads a message of type `RTM_NEWTFILTER` or `RTM_DELTFILTER`.
  ///
  /// - Returns: nil for the heading of all filters with one preference, which is no filter itself.
  /// - Throws: `WireError` if it is cut or an attribute is too short.
  public init?(_ message: NetlinkMessage) throws(WireError) {
    let found = try TrafficMessage(message)
    guard let options = found.options else { return nil }
    kind = found.kind
    preference = UInt16(truncatingIfNeeded: found.info >> 16)
    guard let places = Places(kind) else { return }
    var attributes = options.nested
    while let attribute = try attributes.next() {
      if attribute.type == places.actions {
        actions += try Action.list(attribute.nested)
      } else if attribute.type == places.police {
        actions.append(Action(kind: Police.kind, police: try Police(attribute.nested)))
      }
    }
  }

  /// Under which numbers the options of a kind hold its actions, and a policer in the way from
  /// before there were actions.
  private struct Places {
    let actions: Int
    var police: Int?

    init?(_ kind: String) {
      switch kind {
      case "basic": (actions, police) = (Int(TCA_BASIC_ACT), Int(TCA_BASIC_POLICE))
      case "bpf": (actions, police) = (Int(TCA_BPF_ACT), Int(TCA_BPF_POLICE))
      case "flower": actions = Int(TCA_FLOWER_ACT)
      case "matchall": actions = Int(TCA_MATCHALL_ACT)
      case "u32": (actions, police) = (Int(TCA_U32_ACT), Int(TCA_U32_POLICE))
      default: return nil
      }
    }
  }
}

extension TrafficFilter.Action {
  /// Actions lie in attributes that are numbered in their order.
  fileprivate static func list(_ attributes: AttributeReader) throws(WireError) -> [Self] {
    var attributes = attributes
    var found: [Self] = []
    while let attribute = try attributes.next() { found.append(try Self(attribute.nested)) }
    return found
  }

  private init(_ attributes: AttributeReader) throws(WireError) {
    var attributes = attributes
    var kind = ""
    var options: Attribute?
    while let attribute = try attributes.next() {
      switch attribute.type {
      case Int(TCA_ACT_KIND): kind = attribute.text
      case Int(TCA_ACT_OPTIONS): options = attribute
      default: break
      }
    }
    self.init(kind: kind)
    if kind == TrafficFilter.Police.kind, let options {
      police = try TrafficFilter.Police(options.nested)
    }
  }
}

extension TrafficFilter.Police {
  fileprivate static let kind = "police"

  fileprivate init?(_ options: AttributeReader) throws(WireError) {
    var options = options
    var parameters: tc_police?
    var (wide, packets): (UInt64?, UInt64?) = (nil, nil)
    while let attribute = try options.next() {
      switch attribute.type {
      case Int(TCA_POLICE_TBF): parameters = try attribute.read(tc_police.self)
      case Int(TCA_POLICE_RATE64): wide = try attribute.read(UInt64.self)
      case Int(TCA_POLICE_PKTRATE64): packets = try attribute.read(UInt64.self)
      default: break
      }
    }
    guard let parameters else { return nil }
    rate = TrafficRate.value(parameters.rate, wide)
    burst = TrafficRate.bytes(at: rate, ticks: parameters.burst)
    packetRate = packets ?? 0
  }
}

extension NetlinkSocket {
  /// The filters of what comes in through a link, under a discipline of kind `ingress` or `clsact`.
  ///
  /// - Parameters:
  ///   - index: the link's number.
  ///   - deadline: when to give up.
  /// - Returns: the filters by preference; none if there is no such discipline or link.
  /// - Throws: as `dump`.
  public mutating func ingressFilters(
    of index: UInt32, deadline: Deadline
  ) throws(NetlinkError) -> [TrafficFilter] {
    var request = MessageBuilder(type: Int(RTM_GETTFILTER))
    request.append(tcmsg(index: index, parent: .ingressFilters))
    return try dump(request, "list ingress filters", "of interface \(index)", deadline: deadline) {
      message throws(WireError) in
      message.type == Int(RTM_NEWTFILTER) ? try TrafficFilter(message) : nil
    }
  }
}
