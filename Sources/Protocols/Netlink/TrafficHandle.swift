import CLinux

/// The number of a queueing discipline or of a class, two halves of 16 bits: `8001:` and
/// `8001:1a`, in hexadecimal.
public struct TrafficHandle: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
  /// Both halves, the discipline's in the upper one.
  public let rawValue: UInt32
  /// Wraps a number.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// No number: a discipline that the kernel gave a link by itself, or a class
  /// without one below it.
  public static let none = TrafficHandle(rawValue: 0)
  /// The parent of a link's outermost discipline (`TC_H_ROOT`).
  public static let root = TrafficHandle(rawValue: TC_H_ROOT)
  /// The parent of the discipline that holds the filters of what comes in (`TC_H_INGRESS`).
  public static let ingress = TrafficHandle(rawValue: TC_H_INGRESS)
  /// Where the filters of what comes in are, under both kinds that hold them,
  /// `ingress` and `clsact`.
  static let ingressFilters = TrafficHandle(
    rawValue: TC_H_INGRESS & 0xFFFF_0000 | UInt32(TC_H_MIN_INGRESS))

  /// As tc(8) prints it: `root`, `none`, `8001:`, `8001:1a`.
  public var description: String {
    switch self {
    case .none: return "none"
    case .root: return "root"
    default:
      let (major, minor) = (rawValue >> 16, rawValue & 0xFFFF)
      return "\(String(major, radix: 16)):\(minor == 0 ? "" : String(minor, radix: 16))"
    }
  }
}

extension tcmsg {
  /// The beginning of every message of traffic control.
  init(index: UInt32, parent: TrafficHandle = .none) {
    self.init()
    tcm_ifindex = Int32(bitPattern: index)
    tcm_parent = parent.rawValue
  }
}

/// How traffic control writes rates and amounts.
enum TrafficRate {
  /// The length of a tick in nanoseconds, in every kernel since 2.6.31; /proc/net/psched shows it.
  static let tick: UInt64 = 64

  /// Bytes per second: the number of 32 bits is full when there is one of 64 bits beside it.
  static func value(_ specification: tc_ratespec, _ wide: UInt64?) -> UInt64 {
    wide ?? UInt64(specification.rate)
  }

  /// The number of 32 bits for a rate; full if the rate needs the one of 64 bits.
  static func narrow(_ rate: UInt64) -> UInt32 { UInt32(clamping: rate) }

  /// The bytes that pass at a rate in some ticks: the kernel gives a bucket's size as the time that
  /// it takes to fill it.
  static func bytes(at rate: UInt64, ticks: UInt32) -> UInt32 {
    // 64 + 32 + 6 bits: nothing overflows.
    UInt32(clamping: UInt128(rate) * UInt128(ticks) * UInt128(tick) / 1_000_000_000)
  }
}
