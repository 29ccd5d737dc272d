package import CNI
package import JSON
import Linux
import Netlink
package import PluginKit
import VRouterAgent

/// Attaches pods to the vRouter of Contrail and Tungsten Fabric, as their CNI plugin does.
///
/// The node's agent is asked which interfaces a pod has; a veth pair is created for each (or a
/// macvlan link on a VLAN), the agent is told of it by a port file and a request, and says which
/// addresses it has. Successor of `contrail-k8s-cni`.
package final class VRouterPlugin: NetworkPlugin {
  /// Every effect on the outside, in the order of ADD, then DEL, GC and UPDATE.
  package enum Step: String, PluginStep {
    /// The Mesos manager is told of the container.
    case registerContainer
    /// Files of the pod's earlier lives go, and the agent forgets those.
    case collectStale
    /// The links of a dead sandbox of the same pod go.
    case takeOver
    /// The veth pairs are created in place, with their final names, addresses and MTU.
    case createLinks
    /// The VLAN links are created on the parent.
    case createVLANs
    /// The macvlan links are created in the pod's namespace.
    case createMacvlans
    /// All links get their marks, and the node's come up.
    case markLinks
    /// The port files are written.
    case writePorts
    /// The agent is told of the ports.
    case announcePorts
    /// The agent says what the interfaces' addresses are.
    case awaitPorts
    /// The pod's links get them and come up.
    case configureLinks
    /// IPv6 addresses are waited for until they can be used.
    case awaitAddresses
    /// The default routes are added.
    case addRoutes
    /// The links are removed.
    case deleteLinks
    /// The port files are removed.
    case removePorts
    /// The agent forgets the pod.
    case withdrawPorts
    /// The Mesos manager forgets the container.
    case unregisterContainer
    /// Ports and links of attachments that are not valid any more are removed.
    case collectPorts
    /// A port's virtual network is changed, in its file and at the agent.
    case updatePorts
    /// The pod's links get other addresses.
    case updateLinks
    /// They are put back, because not all of it could be changed.
    case restoreLinks
  }

  /// Until when agents that let a DEL wait are not asked again, by their port files;
  /// CLOCK_MONOTONIC nanoseconds.
  private let mute = Mutex<[String: UInt64]>([:])

  /// Whether the agent answered when it was last asked; nil before the first time.
  private let answers = Mutex<Bool?>(nil)

  package init() {}

  /// Whether the agent answered when it was last asked; nil if it never was.
  package var isReady: Bool? { answers.withLock { $0 } }

  /// Notes whether the agent answers.
  func note(isAnswering: Bool) { answers.withLock { $0 = isAnswering } }

  package var name: String { "vrouter" }

  package var readsCallerName: Bool { true }

  package var keys: KeyTable? { ContrailCni.keys }

  package func inspect(_ configuration: NetworkConfiguration) throws(CNIError) {
    _ = try ContrailCni(configuration, try ContrailCni.file(), .strict)
  }

  /// The name of the plugin on disk.
  package var aliases: [String] { [ContrailCni.pluginName] }

  /// The agent knows pods by their names; Mesos' containers have none.
  package func needsPodIdentity(_ configuration: NetworkConfiguration) -> Bool {
    (try? ContrailCni(configuration, nil, .lenient))?.mode != .mesos
  }

  /// The pod: its attachments share names on the node and what the agent remembers.
  package func lock(for request: PodRequest) -> String? {
    if !request.podName.isEmpty { return "\(request.podNamespace)/\(request.podName)" }
    // STATUS and GC are about no pod.
    return request.sandboxID.isEmpty ? nil : request.sandboxID
  }

  /// The same of a pod's name at the agent, `<cluster>__<namespace>__<pod>` or Mesos' container.
  ///
  /// Names in Kubernetes have no underscores, those of clusters may.
  static func lock(named name: String) -> String {
    let parts = name.utf8.split(separator: 0x5F, omittingEmptySubsequences: false)
      .suffix(4).map { String(Substring($0)) }
    guard parts.count == 4, parts[0].isEmpty, parts[2].isEmpty else { return name }
    return "\(parts[1])/\(parts[3])"
  }

  /// The interfaces of the plan.
  package func outsideNames(of record: AttachmentRecord) -> Set<OutsideName> {
    record.first(PlannedAgent.self)?.names(of: record.planned(PodPort.self)) ?? []
  }

  // MARK: For the verbs

  /// What a request's configuration says, completed by the file on the node, and which
  /// pod it is about.
  func settings(
    for request: PodRequest, _ strictness: ContrailCni.Strictness, _ host: PluginHost
  ) throws(CNIError) -> ContrailCni {
    var cni: ContrailCni
    do throws(CNIError) {
      cni = try ContrailCni(request.configuration, try ContrailCni.file(), strictness)
    } catch {
      if strictness == .strict { throw error }
      cni = try ContrailCni(request.configuration, nil, .lenient)
    }
    if !request.isRecorded { try confine(&cni, request, strictness, host) }
    cni.updateContainerInfo(name: cni.name(of: request), uuid: request.podUID, network: "")
    return cni
  }

  /// Refuses a directory that a network must not name, or leaves it out; that of the file on the
  /// node is root's.
  private func confine(
    _ cni: inout ContrailCni, _ request: PodRequest, _ strictness: ContrailCni.Strictness,
    _ host: PluginHost
  ) throws(CNIError) {
    let network = try ContrailCni(request.configuration, nil, .lenient)
    guard network.directory == cni.directory else { return }
    do throws(CNIError) {
      try host.paths.check(
        cni.directory, "contrail.config-dir", own: [ContrailCni.directoryOfAgent])
    } catch {
      if strictness == .strict { throw error }
      cni.directory = directoryOfNode(request)
    }
  }

  /// The directory without what the network says.
  private func directoryOfNode(_ request: PodRequest) -> String {
    guard let names = NetworkConfiguration(namesIn: request.configuration.bytes),
      let file = try? ContrailCni.file(), let cni = try? ContrailCni(names, file, .lenient)
    else { return ContrailCni.defaultPortDirectory }
    return cni.directory
  }

  /// How long an agent that let a DEL wait is left alone, so that a thousand DELs do not wait
  /// for it one by one.
  private static let muteNanoseconds: UInt64 = 5_000_000_000

  /// Notes that an agent let a DEL wait.
  func noteMute(_ vrouter: VRouter) {
    note(isAnswering: false)
    let now = KernelClock.monotonic
    mute.withLock { agents in
      // Their directories are outside words: none is kept longer than it counts.
      agents = agents.filter { $0.value > now }
      agents[vrouter.files.directory] = now &+ VRouterPlugin.muteNanoseconds
    }
  }

  /// Whether an agent has just let a DEL wait.
  func isMute(_ vrouter: VRouter) -> Bool {
    let now = KernelClock.monotonic
    return mute.withLock { agents in
      guard let end = agents[vrouter.files.directory] else { return false }
      if end <= now { agents[vrouter.files.directory] = nil }
      return end > now
    }
  }
}
