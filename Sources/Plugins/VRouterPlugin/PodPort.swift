import Addresses
import CNI
import JSON
import Linux
import PluginKit
import VRouterAgent

/// One interface of a pod: what the agent is told of it, and its links.
struct PodPort: Sendable, Equatable {
  /// What the agent is told.
  var port: VRouter.Port
  /// The link on the node: the end of the veth pair, or the VLAN link.
  var link: String
  /// The hardware address of the veth pair's end on the node, by which it is known before
  /// it has its mark.
  var hostMAC: MACAddress?
  /// The VLAN; nil for a veth pair.
  var vlanID: UInt16?
  /// Whether the result is about this interface.
  var isPrimary: Bool
  /// Whether the pod's default routes go through it.
  var hasDefaultRoute: Bool
  /// The hardware address of the pod's link, as far as the agent says it before the
  /// port is announced.
  var mac: MACAddress?

  /// What the agent calls the interface.
  var interface: VRouterUUID { port.interface }
}

extension PodPort: Planned {
  static let kind = "port"

  var values: [(String, JSONValue)] {
    var values: [(String, JSONValue)] = [
      ("interface", .string(port.interface.text)), ("uuid", .string(port.uuid.text)),
      ("network", .string(port.network.text)), ("ifName", .string(port.ifName)),
      ("hostLink", .string(port.hostLink)), ("link", .string(link)),
      ("primary", .bool(isPrimary)), ("defaultRoute", .bool(hasDefaultRoute)),
    ]
    if let hostMAC { values.append(("mac", .string(hostMAC.description))) }
    if let vlanID { values.append(("vlan", .number(JSONNumber(Int(vlanID))))) }
    return values
  }

  /// The container, its name at the agent and its namespace stand elsewhere in the record, and are
  /// put in by ``PodAttachment``.
  init?(_ values: JSONObject) {
    func id(_ key: String) -> VRouterUUID? { values[key]?.string.flatMap { VRouterUUID($0) } }
    guard let interface = id("interface"), let uuid = id("uuid"), let network = id("network"),
      let ifName = values["ifName"]?.string,
      let hostLink = values["hostLink"]?.string, let link = values["link"]?.string
    else { return nil }
    port = VRouter.Port(
      containerID: "", name: "", hostLink: hostLink, ifName: ifName, netns: "", uuid: uuid,
      network: network, interface: interface)
    self.link = link
    hostMAC = values["mac"]?.string.flatMap { MACAddress($0) }
    vlanID = values["vlan"]?.int.flatMap { UInt16(exactly: $0) }
    isPrimary = values["primary"]?.bool ?? false
    hasDefaultRoute = values["defaultRoute"]?.bool ?? false
  }

  /// The interface that a port file of this container is about, where there is no record.
  ///
  /// - Returns: nil for a file that does not say what is needed to undo it.
  init?(_ file: PortFile, name: String, primary ifName: String) {
    guard file.isReadable else { return nil }
    let uuid = file.uuid ?? .none
    port = VRouter.Port(
      containerID: file.containerID, name: name, hostLink: file.hostLink, ifName: file.ifName,
      netns: file.netns, uuid: uuid, network: file.network ?? .none, interface: file.interface)
    // A file that names no link is a damaged one of a veth pair, which is found by its mark.
    let isVLAN = !file.hostLink.isEmpty && !LinkNames.isTap(file.hostLink)
    link = isVLAN ? LinkNames.vlan(file.ifName, uuid) : file.hostLink
    (hostMAC, vlanID) = (nil, nil)
    isPrimary = file.ifName == ifName
    hasDefaultRoute = false
  }

  /// Whether it is a macvlan link on a VLAN; its port file names the parent.
  var usesVLAN: Bool { vlanID != nil || link.utf8.starts(with: "vlan".utf8) }
}
