import Addresses
import CNI
import JSON
import Netlink
import Workbench

/// What the plugin reads of a network configuration and of CNI_ARGS, checked as far as
/// no link is needed.
struct MacvlanConfiguration: Sendable {
  /// The keys of CNI_ARGS that the plugin itself knows.
  static let knownArguments = ["MAC"]
  /// The keys that the plugin itself reads.
  static let keys = KeyTable([
    "master", "mode", "mtu", "mac", "linkInContainer", "bcqueuelen", "dad",
  ])

  /// Frames that wait are the node's memory, and the number is the network author's.
  private static let longestQueue: UInt32 = 100_000

  /// Refuses what only an ADD must not ask for: an attachment may have been made with it.
  func checkQueue() throws(CNIError) {
    guard let length = broadcastQueueLength, length > Self.longestQueue else { return }
    throw CNIError(
      .invalidConfiguration, "bcqueuelen \(length): at most \(Self.longestQueue) frames may wait")
  }

  /// The parent's name; empty means the link of the default route.
  let master: String
  /// The mode, `bridge` unless given.
  let mode: MacvlanMode
  /// The MTU, 0 for the parent's; below 0 or above the parent's it is refused.
  let mtu: Int
  /// The requested hardware address: `runtimeConfig.mac`, else CNI_ARGS' `MAC`, else `mac`.
  let mac: MACAddress?
  /// Whether the parent is in the container's namespace.
  let isParentInContainer: Bool
  /// Broadcast frames that may wait; nil leaves it to the kernel.
  let broadcastQueueLength: UInt32?
  /// Whether IPv6 addresses are used without duplicate address detection (`dad`: `skip`).
  let skipsDAD: Bool

  /// Reads a configuration.
  ///
  /// - Throws: code 4 for CNI_ARGS, 6 for a wrong type, 7 with the reference's texts for a value
  ///   that is not valid.
  init(
    _ configuration: NetworkConfiguration, _ arguments: CNIArguments
  ) throws(CNIError) {
    // Address management in this process knows these; a plugin on disk reads CNI_ARGS by itself.
    let others = configuration.ipamType == nil ? [] : ["IP", "GATEWAY"]
    try arguments.checkKnown(Self.knownArguments + others)
    let reader = MemberReader(configuration, keys: Self.keys)
    master = try reader.string("master") ?? ""
    mode = try Self.mode(try reader.string("mode") ?? "")
    // A number below 0 is read too, so that the range has one text of its own.
    mtu = try reader.integer("mtu") ?? 0
    isParentInContainer = try reader.flag("linkInContainer") ?? false
    let queue = try reader.number("bcqueuelen", maximum: UInt64(UInt32.max)) ?? 0
    broadcastQueueLength = queue == 0 ? nil : UInt32(truncatingIfNeeded: queue)
    skipsDAD = try reader.member("dad")?.skipsDAD() ?? false
    mac = try .requested(reader, arguments, else: try reader.string("mac"), "mac")
  }

  private static func mode(_ text: String) throws(CNIError) -> MacvlanMode {
    // The kernel knows one mode more, which needs a list of addresses that no key gives.
    switch text {
    case "", "bridge": return .bridge
    case "private": return .private
    case "vepa": return .vepa
    case "passthru": return .passthru
    default:
      let known: [MacvlanMode] = [.bridge, .private, .vepa, .passthru]
      throw CNIError(
        .invalidConfiguration,
        "unknown macvlan mode: \(goQuoted(text)); "
          + choices(known.map(\.rawValue), near: text))
    }
  }

  /// The MTU for a link on a parent; nil for the parent's own.
  ///
  /// - Throws: code 7 `invalid MTU …`.
  func mtu(on parent: Link) throws(CNIError) -> UInt32? {
    guard let wanted = UInt32(exactly: mtu), wanted <= parent.mtu else {
      throw CNIError(
        .invalidConfiguration, "invalid MTU \(mtu), must be [0, master MTU(\(parent.mtu))]")
    }
    return wanted == 0 ? nil : wanted
  }
}
