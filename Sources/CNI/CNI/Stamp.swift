public import Linux

/// When a call began, on a clock that every process of this boot shares.
///
/// The order of an attachment's calls is the order of their stamps, not that of their arrival: a
/// DEL that waited in the spool must not touch what a later ADD made.
public struct Stamp: Sendable, Hashable, CustomStringConvertible {
  /// The kernel's random id of this boot.
  public let bootID: String
  /// CLOCK_BOOTTIME in nanoseconds.
  public let nanoseconds: UInt64

  /// Creates a stamp from its parts; the time is now unless given.
  public init(bootID: String, nanoseconds: UInt64 = KernelClock.boot) {
    self.bootID = bootID
    self.nanoseconds = nanoseconds
  }

  /// Reads `<boot id>:<nanoseconds>`; nil if the text is anything else.
  ///
  /// A boot id is 1 to 64 ASCII letters, digits and hyphens.
  public init?(_ text: String) {
    let bytes = text.utf8
    guard let colon = bytes.firstIndex(of: UInt8(ascii: ":")) else { return nil }
    let bootID = bytes[..<colon]
    let digits = bytes[colon...].dropFirst()
    guard 1...64 ~= bootID.count,
      bootID.allSatisfy({ isAlphanumeric($0) || $0 == UInt8(ascii: "-") }),
      digits.allSatisfy({ 0x30...0x39 ~= $0 }), let nanoseconds = UInt64(Substring(digits))
    else { return nil }
    self.bootID = String(Substring(bootID))
    self.nanoseconds = nanoseconds
  }

  /// The stamp of a call that begins now.
  ///
  /// Where the kernel does not tell its boot id, the id is `unknown`.
  public static var now: Stamp {
    do throws(SystemError) {
      return Stamp(bootID: try Boot.id())
    } catch {
      return Stamp(bootID: "unknown")
    }
  }

  /// This stamp, or now if it is later than now.
  ///
  /// A caller in another time namespace, or one that lies, may name any time. What it does must
  /// not count as newer than everything that is still to come.
  public var notInFuture: Stamp {
    Stamp(bootID: bootID, nanoseconds: min(nanoseconds, KernelClock.boot))
  }

  /// Whether this call began before the other; nil when the boots differ and the clocks
  /// cannot be compared.
  public func isOlder(than other: Stamp) -> Bool? {
    bootID.utf8.elementsEqual(other.bootID.utf8) ? nanoseconds < other.nanoseconds : nil
  }

  /// `<boot id>:<nanoseconds>`.
  public var description: String { "\(bootID):\(nanoseconds)" }
}

private func isAlphanumeric(_ byte: UInt8) -> Bool {
  switch byte {
  case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
  default: false
  }
}
