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
  /// The hardware address of the veth pair's end on the node, by which it is known before it has its mark.
  var hostMAC: MACAddress?
  /// The VLAN; nil for a veth pair.
  var vlanID: UInt16?
  /// Whether the result is about this interface.
  var isPrimary: Bool
  /// Whether the pod's default routes go through it.
  var hasDefaultRoute: Bool
  /// The hardware address of the pod's link, as far as the agent says it before the port is announced.
  var mac: MACAddress?

  /// What the agent calls the interface.
  var interface: VRouterUUID { port.interface }
}

extension PodPort {
  /// What a plan calls it.
  static let kind = "port"

  /// How it stands in the record's plan.
  var planned: PlannedResource {
    var values: [(String, JSONValue)] = [
      ("interface", .string(port.interface.text)), ("uuid", .string(port.uuid.text)),
      ("network", .string(port.network.text)), ("ifName", .string(port.ifName)),
      ("hostLink", .string(port.hostLink)), ("link", .string(link)),
      ("primary", .bool(isPrimary)), ("defaultRoute", .bool(hasDefaultRoute)),
    ]
    if let hostMAC { values.append(("mac", .string(hostMAC.description))) }
    if let vlanID { values.append(("vlan", .number(JSONNumber(Int(vlanID))))) }
    return PlannedResource(PodPort.kind, values)
  }

  /// Reads an entry of a plan; nil for one that this program did not write.
  init?(_ planned: PlannedResource, name: String, containerID: String, netns: String) {
    guard let interface = planned.string("interface").flatMap({ VRouterUUID($0) }),
      let uuid = planned.string("uuid").flatMap({ VRouterUUID($0) }),
      let network = planned.string("network").flatMap({ VRouterUUID($0) }),
      let ifName = planned.string("ifName"), let hostLink = planned.string("hostLink"),
      let link = planned.string("link")
    else { return nil }
    port = VRouter.Port(
      containerID: containerID, name: name, hostLink: hostLink, ifName: ifName, netns: netns,
      uuid: uuid, network: network, interface: interface)
    self.link = link
    hostMAC = planned.string("mac").flatMap { MACAddress($0) }
    vlanID = planned.values["vlan"]?.int.flatMap { UInt16(exactly: $0) }
    isPrimary = planned.values["primary"]?.bool ?? false
    hasDefaultRoute = planned.values["defaultRoute"]?.bool ?? false
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

/// A pod's attachment as it was made: its interfaces, and the agent that knows them.
struct PodAttachment: Sendable {
  /// The agent.
  let vrouter: VRouter
  /// The pod's name at the agent.
  let name: String
  /// The pod's uuid there; nil if nothing says it.
  let uuid: VRouterUUID?
  /// The interfaces.
  let ports: [PodPort]
  /// The Mesos manager that knows of the container.
  let manager: MesosManager?

  /// What a plan calls the agent.
  private static let kind = "agent"

  /// How the agent stands in the record's plan: with it a DEL finds everything, whatever the configuration says by then.
  static func planned(_ cni: ContrailCni) -> PlannedResource {
    PlannedResource(
      kind,
      [
        ("server", .string(cni.server.description)), ("port", .number(JSONNumber(Int(cni.port)))),
        ("directory", .string(cni.directory)), ("name", .string(cni.containerName)),
      ])
  }

  /// Reads a record.
  ///
  /// - Parameters:
  ///   - record: the record.
  ///   - cni: its configuration, for what the plan does not say.
  init(_ record: AttachmentRecord, _ cni: ContrailCni) {
    var cni = cni
    let agent = record.planned(PodAttachment.kind).first
    if let server = agent?.string("server").flatMap({ IPAddress($0) }) { cni.server = server }
    if let port = agent?.values["port"]?.int.flatMap({ UInt16(exactly: $0) }) { cni.port = port }
    if let directory = agent?.string("directory") { cni.directory = directory }
    vrouter = cni.vrouter
    name = agent?.string("name") ?? ""
    let (name, netns) = (name, record.environment["CNI_NETNS", default: ""])
    ports = record.planned(PodPort.kind).compactMap {
      PodPort($0, name: name, containerID: record.key.containerID, netns: netns)
    }
    uuid = ports.first?.port.uuid
    manager = record.planned(MesosManager.kind).first.flatMap { MesosManager($0) }
  }

  /// Finds the attachment by its port files, where there is no record.
  init(
    of request: PodRequest, _ cni: ContrailCni, ownInterfaceOnly: Bool
  ) throws(VRouterError) {
    vrouter = cni.vrouter
    var name = cni.containerName
    var files: [PortFile] = []
    do throws(VRouterError) {
      files = try vrouter.canDelete(name: name, containerID: request.sandboxID)
    } catch {
      // No ADD has succeeded under a name that cannot be one, and DEL must not fail for ever.
      guard case .invalidName = error.reason else { throw error }
      name = ""
    }
    self.name = name
    ports = files.filter { !ownInterfaceOnly || $0.ifName == request.ifName }
      .compactMap { [name] in PodPort($0, name: name, primary: request.ifName) }
    uuid = ports.lazy.map(\.port.uuid).first { $0 != .none } ?? VRouterUUID(cni.containerUUID)
    manager = MesosManager(cni)
  }
}

extension ContrailCni {
  /// The agent and its files.
  var vrouter: VRouter {
    let log = AgentLog(path: logFile)
    return VRouter(
      server: server, port: port, files: PortFiles(directory: directory),
      pollMilliseconds: pollMilliseconds, pollRetries: pollRetries, log: log.write)
  }

  /// A pod's name at the agent.
  func name(of request: PodRequest) -> String {
    switch mode {
    case .k8s: "\(clusterName)__\(request.podNamespace)__\(request.podName)"
    case .mesos: request.sandboxID
    }
  }
}
