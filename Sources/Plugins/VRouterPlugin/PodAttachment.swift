import Addresses
import CNI
import JSON
import PluginKit
import VRouterAgent

/// A pod's attachment as it was made: its interfaces, and the agent that knows them.
struct PodAttachment: Sendable {
  let vrouter: VRouter
  /// The pod's name at the agent.
  let name: String
  /// The pod's uuid there; nil if nothing says it.
  let uuid: VRouterUUID?
  let ports: [PodPort]
  /// The Mesos manager that knows of the container.
  let manager: MesosManager?

  /// Reads a record.
  init(_ record: AttachmentRecord, _ cni: ContrailCni) {
    let agent = record.first(PlannedAgent.self)
    vrouter = (agent?.overriding(cni) ?? cni).vrouter
    name = agent?.name ?? ""
    let (name, netns) = (name, record.environment["CNI_NETNS", default: ""])
    ports = record.planned(PodPort.self).map { port in
      var port = port
      port.port.containerID = record.key.containerID
      (port.port.name, port.port.netns) = (name, netns)
      return port
    }
    uuid = ports.first?.port.uuid
    manager = record.first(MesosManager.self)
  }

  /// The pod's port files, as they are now.
  func files(_ pod: String) throws(CNIError) -> [PortFile] {
    if name.isEmpty { return [] }
    return try mapped(pod) { () throws(VRouterError) in try vrouter.files.list(name: name) }
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

/// The agent as it stands in a plan: with it a DEL finds everything, whatever the
/// configuration says by then.
struct PlannedAgent: Planned {
  static let kind = "agent"
  private let server: IPAddress?
  private let port: UInt16?
  private let directory: String?
  /// The pod's name there.
  let name: String

  init(_ cni: ContrailCni) {
    (server, port, directory, name) = (cni.server, cni.port, cni.directory, cni.containerName)
  }

  init?(_ values: JSONObject) {
    server = values["server"]?.string.flatMap { IPAddress($0) }
    port = values["port"]?.int.flatMap { UInt16(exactly: $0) }
    directory = values["directory"]?.string
    name = values["name"]?.string ?? ""
  }

  var values: [(String, JSONValue)] {
    [
      ("server", .string(server?.description ?? "")),
      ("port", .number(JSONNumber(Int(port ?? 0)))), ("directory", .string(directory ?? "")),
      ("name", .string(name)),
    ]
  }

  /// The configuration with this agent.
  func overriding(_ cni: ContrailCni) -> ContrailCni {
    var cni = cni
    if let server { cni.server = server }
    if let port { cni.port = port }
    if let directory { cni.directory = directory }
    return cni
  }
}

extension PlannedAgent {
  /// What no other attachment may have at the same time: the interfaces, as this agent calls them.
  func names(of ports: [PodPort]) -> Set<OutsideName> {
    let agent = "\(server?.description ?? ""):\(port ?? 0)"
    return Set(ports.map { OutsideName(kind: "VMI", scope: agent, value: $0.interface.text) })
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
