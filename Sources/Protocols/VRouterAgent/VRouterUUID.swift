/// The identity that the control plane gave to a virtual machine (a pod), an
/// interface or a network.
public struct VRouterUUID: Hashable, Sendable {
  /// 8-4-4-4-12 hexadecimal digits in lower case, the only form that the agent's paths take.
  public let text: String

  /// The nil identity: of nothing.
  public static let none = VRouterUUID(digits: "00000000-0000-0000-0000-000000000000")

  /// Reads the dashed form in either case; nil for anything else, such as a static pod's 32 digits.
  public init?(_ text: String) {
    let utf8 = Array(text.utf8)
    guard utf8.count == 36 else { return nil }
    var lower: [UInt8] = []
    lower.reserveCapacity(36)
    for (index, byte) in utf8.enumerated() {
      switch byte {
      case 0x2D where Self.dashes.contains(index): lower.append(byte)
      case 0x30...0x39 where !Self.dashes.contains(index),
        0x61...0x66 where !Self.dashes.contains(index):
        lower.append(byte)
      case 0x41...0x46 where !Self.dashes.contains(index): lower.append(byte | 0x20)
      default: return nil
      }
    }
    self.text = String(decoding: lower, as: UTF8.self)
  }

  private init(digits: String) { text = digits }

  private static let dashes = [8, 13, 18, 23]
}

extension VRouterUUID: CustomStringConvertible {
  /// The same as ``text``.
  public var description: String { text }
}
