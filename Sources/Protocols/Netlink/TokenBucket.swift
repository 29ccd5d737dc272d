import CLinux

/// A limit for what a link sends, tc-tbf(8): a bucket that fills at the rate, and out of which each
/// packet takes its length.
public struct TokenBucket: Sendable, Equatable {
  /// Bytes per second, from 1: the kernel takes 0 for a very high rate.
  public var rate: UInt64
  /// The bucket's size in bytes, the most that goes out at once after a pause.
  ///
  /// A packet with its link header that is longer never goes out: it must not be less than the
  /// link's MTU and 14 bytes. A packet that the kernel still has to cut (GSO) is cut first.
  public var burst: UInt32
  /// The bytes that may wait for their turn; what comes then is dropped.
  public var limit: UInt32

  /// Describes a bucket and its queue by their sizes.
  public init(rate: UInt64, burst: UInt32, limit: UInt32) {
    self.rate = rate
    self.burst = burst
    self.limit = limit
  }

  /// Describes a bucket, and its queue by how long a packet waits in it at most.
  ///
  /// - Parameters:
  ///   - rate: bytes per second.
  ///   - burst: the bucket's size in bytes.
  ///   - milliseconds: the longest wait; what the rate sends in that time, and the
  ///     bucket, is the queue.
  public init(rate: UInt64, burst: UInt32, latency milliseconds: UInt32) {
    let waiting = UInt128(rate) * UInt128(milliseconds) / 1000
    self.init(rate: rate, burst: burst, limit: UInt32(clamping: waiting + UInt128(burst)))
  }

  static let kind = "tbf"

  /// Reads the options of a discipline of this kind.
  init?(_ options: AttributeReader) throws(WireError) {
    var options = options
    var parameters: tc_tbf_qopt?
    var wide: UInt64?
    while let attribute = try options.next() {
      switch attribute.type {
      case Int(TCA_TBF_PARMS): parameters = try attribute.read(tc_tbf_qopt.self)
      case Int(TCA_TBF_RATE64): wide = try attribute.read(UInt64.self)
      default: break
      }
    }
    guard let parameters else { return nil }
    rate = TrafficRate.value(parameters.rate, wide)
    burst = TrafficRate.bytes(at: rate, ticks: parameters.buffer)
    limit = parameters.limit
  }
}

extension NetlinkChange {
  /// Limits what a link sends by a token bucket as its outermost discipline (`RTM_NEWQDISC`).
  ///
  /// A bucket that is there is changed in place and loses no packet; a discipline of another
  /// kind is replaced, with what waits in it. Fails with `ENODEV` if the link is gone, with
  /// `EINVAL` if burst is 0.
  ///
  /// - Parameters:
  ///   - index: the link's number.
  ///   - name: what errors call it.
  ///   - bucket: the limit.
  /// - Returns: the change.
  public static func setTokenBucket(
    index: UInt32, name: String? = nil, _ bucket: TokenBucket
  ) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_NEWQDISC), flags: NLM_F_CREATE | NLM_F_REPLACE)
    message.append(tcmsg(index: index, parent: .root))
    message.attribute(Int(TCA_KIND), text: TokenBucket.kind)
    message.nested(Int(TCA_OPTIONS)) { $0.append(bucket) }
    return NetlinkChange("limit bandwidth", "of \(name ?? "interface \(index)")", message)
  }

  /// Takes away a link's outermost discipline; the link then has the kernel's usual one
  /// (`RTM_DELQDISC`).
  ///
  /// Fails with `ENOENT` if it has no other than that, with `ENODEV` if the link is gone.
  ///
  /// - Parameters:
  ///   - index: the link's number.
  ///   - name: what errors call it.
  ///   - kind: the only kind that is taken away, such as `tbf`; another one stays, and the change
  ///     fails with `EINVAL`.
  /// - Returns: the change.
  public static func removeRootQueue(
    index: UInt32, name: String? = nil, kind: String? = nil
  ) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_DELQDISC))
    message.append(tcmsg(index: index, parent: .root))
    if let kind { message.attribute(Int(TCA_KIND), text: kind) }
    return NetlinkChange("remove queue", "of \(name ?? "interface \(index)")", message)
  }
}

extension MessageBuilder {
  fileprivate mutating func append(_ bucket: TokenBucket) {
    var parameters = tc_tbf_qopt()
    parameters.rate.rate = TrafficRate.narrow(bucket.rate)
    // Without it the kernel wants a table of what each packet length costs.
    parameters.rate.linklayer = UInt8(TC_LINKLAYER_ETHERNET.rawValue)
    parameters.limit = bucket.limit
    attribute(Int(TCA_TBF_PARMS), parameters)
    // In bytes, and not in `parameters.buffer`, which holds ticks.
    attribute(Int(TCA_TBF_BURST), bucket.burst)
    if bucket.rate > UInt64(UInt32.max) { attribute(Int(TCA_TBF_RATE64), bucket.rate) }
  }
}
