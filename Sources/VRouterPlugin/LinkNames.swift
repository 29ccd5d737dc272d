import CNI
import PluginKit
import VRouterAgent

/// The names of a pod's links on the node.
///
/// They follow from the interface and the pod's uuid alone, because the agent keeps the first name that it hears.
enum LinkNames {
  /// The node's end of a veth pair.
  static func tap(_ ifName: String, _ uuid: VRouterUUID) -> String {
    name("tap", ifName, uuid, room: 11)
  }

  /// The VLAN link under a macvlan link.
  static func vlan(_ ifName: String, _ uuid: VRouterUUID) -> String {
    name("vlan", ifName, uuid, room: 11)
  }

  /// The plugin on disk takes the beginning of `<ifname>-<uuid>`, of which a long interface name leaves no uuid; a hash
  /// keeps those apart.
  private static func name(
    _ prefix: String, _ ifName: String, _ uuid: VRouterUUID, room: Int
  ) -> String {
    if ifName.utf8.count <= 4 {
      return prefix + String(decoding: "\(ifName)-\(uuid.text)".utf8.prefix(room), as: UTF8.self)
    }
    var hash = FNV1a()
    hash.combine(ifName)
    hash.combine(uuid.text)
    return prefix + hash.short(digits: room)
  }

  /// The names that the plugin on disk gives, whatever the interface's length.
  static func reference(_ prefix: String, _ ifName: String, _ uuid: VRouterUUID) -> String {
    prefix + String(decoding: "\(ifName)-\(uuid.text)".utf8.prefix(11), as: UTF8.self)
  }

  /// The alias by which a VLAN link is found again by its VLAN.
  static func vlanAlias(_ id: UInt16) -> String { "\(vlanAliasPrefix)\(id)" }

  /// What such an alias begins with.
  static let vlanAliasPrefix = "\(ContrailCni.pluginName)-vlan-"

  /// Whether a port file's link can be the end of a veth pair; a VLAN's file names the parent.
  static func isTap(_ name: String) -> Bool { name.utf8.starts(with: "tap".utf8) }
}
