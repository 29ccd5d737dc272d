import CNI
import PluginKit
import VRouterAgent

/// The names of a pod's links on the node.
///
/// They follow from the interface and the pod's uuid alone, because the agent keeps the first
/// name that it hears.
enum LinkNames {
  /// What the plugin on disk leaves behind the prefix: with the longest of them a
  /// name has 15 bytes.
  private static let digits = 11

  /// The node's end of a veth pair.
  static func tap(_ ifName: String, _ uuid: VRouterUUID) -> String {
    name("tap", ifName, uuid)
  }

  /// The VLAN link under a macvlan link.
  static func vlan(_ ifName: String, _ uuid: VRouterUUID) -> String {
    name("vlan", ifName, uuid)
  }

  /// The plugin on disk takes the beginning of `<ifname>-<uuid>`, of which a long interface name
  /// leaves no uuid; a hash keeps those apart.
  private static func name(_ prefix: String, _ ifName: String, _ uuid: VRouterUUID) -> String {
    ifName.utf8.count <= 4 ? reference(prefix, ifName, uuid) : distinct(prefix, ifName, uuid)
  }

  /// A name with a hash, which keeps also those pods apart whose uuids begin alike.
  static func distinct(_ prefix: String, _ ifName: String, _ uuid: VRouterUUID) -> String {
    var hash = FNV1a()
    hash.combine(ifName)
    hash.combine(uuid.text)
    return prefix + hash.short(digits: digits)
  }

  /// The names that the plugin on disk gives, whatever the interface's length.
  static func reference(_ prefix: String, _ ifName: String, _ uuid: VRouterUUID) -> String {
    prefix + String(decoding: "\(ifName)-\(uuid.text)".utf8.prefix(digits), as: UTF8.self)
  }

  /// The alias by which a VLAN link is found again by its VLAN.
  static func vlanAlias(_ id: UInt16) -> String { "\(vlanAliasPrefix)\(id)" }

  /// What such an alias begins with.
  static let vlanAliasPrefix = "\(ContrailCni.pluginName)-vlan-"

  /// Whether a port file's link can be the end of a veth pair; a VLAN's file names the parent.
  static func isTap(_ name: String) -> Bool { name.utf8.starts(with: "tap".utf8) }
}
