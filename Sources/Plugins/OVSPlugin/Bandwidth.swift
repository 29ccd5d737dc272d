import CNI
import JSON

/// Limits of a pod's traffic, in bits per second, each way with what may pass at once, in bits.
struct Bandwidth: Equatable, Sendable {
  /// One way.
  struct Limit: Equatable, Sendable {
    /// Bits per second.
    let rate: UInt64
    /// Bits that may pass at once; nil is a fifth of a second's.
    let burst: UInt64?
    /// The burst that was asked for, where that is more than a second's and so was cut.
    let excess: UInt64?

    /// What may pass at once, in bits.
    ///
    /// OVN-Kubernetes takes a tenth of a second's, with which TCP gets half of the rate
    /// through a policer.
    var effectiveBurst: UInt64 { burst ?? rate / 5 }

    /// The smallest and the greatest rate, as OVN-Kubernetes has them.
    private static let range: ClosedRange<UInt64> = 1_000...1_000_000_000_000_000

    /// Checks a limit.
    ///
    /// - Throws: code 7.
    init(rate: UInt64, burst: UInt64?) throws(CNIError) {
      if rate < Limit.range.lowerBound {
        throw CNIError(.invalidConfiguration, "\(rate) bit/s is less than 1000 bit/s")
      }
      if rate > Limit.range.upperBound {
        throw CNIError(.invalidConfiguration, "\(rate) bit/s is more than 1 Pbit/s")
      }
      self.rate = rate
      let asked = burst.flatMap { $0 == 0 || $0 >= Limit.unset ? nil : $0 }
      // What passes at once is no limit's business for long; and the kernel counts in 32 bits.
      self.burst = asked.map { min($0, rate) }
      excess = asked.flatMap { $0 > rate ? $0 : nil }
    }

    /// From this burst on none was asked for: kubelet says 2³¹−1, containerd 2³²−1 and CRI-O eight
    /// times that, in bits.
    private static let unset: UInt64 = (1 << 31) - 1
  }

  /// Towards the pod.
  var ingress: Limit?
  /// From the pod.
  var egress: Limit?

  /// No limits.
  init() {}

  /// Reads `runtimeConfig.bandwidth`; a rate of 0 is no limit.
  init(_ reader: MemberReader) throws(CNIError) {
    ingress = try Self.limit("ingressRate", "ingressBurst", reader)
    egress = try Self.limit("egressRate", "egressBurst", reader)
  }

  private static func limit(
    _ rateKey: String, _ burstKey: String, _ reader: MemberReader
  ) throws(CNIError) -> Limit? {
    guard let rate = try reader.number(rateKey, maximum: .max), rate != 0 else { return nil }
    let burst = try reader.number(burstKey, maximum: .max)
    do throws(CNIError) {
      return try Limit(rate: rate, burst: burst)
    } catch {
      throw error.prefixed(by: "\(reader.at(rateKey)): ")
    }
  }

  /// Whether nothing is limited.
  var isEmpty: Bool { ingress == nil && egress == nil }
}

/// A Kubernetes quantity such as `10M`, `1.5Gi` or `1e6`, as a whole number, rounded up.
///
/// Source: the documentation of `resource.Quantity`; the suffixes below 1 (`n`, `u`, `m`) exist
/// for completeness.
func quantity(_ text: String) -> UInt64? {
  let suffixes: [(String, Double)] = [
    ("Ki", 1024), ("Mi", 1_048_576), ("Gi", 1_073_741_824), ("Ti", 1_099_511_627_776),
    ("Pi", 1_125_899_906_842_624), ("Ei", 1_152_921_504_606_846_976), ("n", 1e-9), ("u", 1e-6),
    ("m", 1e-3), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12), ("P", 1e15), ("E", 1e18),
  ]
  let (suffix, factor) = suffixes.first { text.hasSuffix($0.0) } ?? ("", 1)
  let digits = text.dropLast(suffix.count)
  let isPlain = digits.utf8.allSatisfy { byte in
    (0x30...0x39).contains(byte) || [0x2B, 0x2D, 0x2E, 0x45, 0x65].contains(byte)
  }
  guard !digits.isEmpty, isPlain, let number = Double(digits) else { return nil }
  let value = (number * factor).rounded(.up)
  return UInt64(exactly: value)
}
