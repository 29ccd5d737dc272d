package import CNI
package import JSON
import Linux
import Netlink
import OVSDB
package import PluginKit
import Workbench

/// Attaches pods to bridges of Open vSwitch, as ovs-cni and OVN-Kubernetes do, over OVSDB alone.
///
/// A veth pair joins pod and bridge. Its end on the node carries the attachment's mark and is the
/// port; the port's external ids say whose it is. Nothing runs `ovs-vsctl`.
package final class OVSPlugin: NetworkPlugin {
  /// Every effect on the outside, in the order of ADD, then DEL, GC and UPDATE.
  package enum Step: String, AddressingStep {
    /// Addresses are taken by address management in this process.
    case takeLease
    /// The veth pair is created in place, with its final names, addresses and MTU.
    case createLinks
    /// Both ends get the attachment's mark; the node's gets no IPv6 address of its own.
    case markLinks
    /// An IPAM plugin on disk runs ADD.
    case runIPAM
    /// The pod's end computes checksums by itself, for a bridge in user space.
    case setOffload
    /// Interface, port and queue are written to the database; an older port of the same pod goes.
    case addPort
    /// ovs-vswitchd takes the port.
    case awaitPort
    /// The pod's end gets its settings and IPv4 addresses and comes up.
    case configureLink
    /// ovs-vswitchd sees the link up.
    case awaitLink
    /// Limits are looked for in the kernel, and set there where Open vSwitch cannot.
    case limitBandwidth
    /// OVN has installed the port's flows.
    case awaitFlows
    /// The pod's end gets its IPv6 addresses.
    case addIPv6
    /// They are waited for until they can be used.
    case awaitAddresses
    /// The routes are added.
    case addRoutes
    /// An IPAM plugin on disk runs DEL.
    case runIPAMDelete
    /// The port and its queue are taken out of the database.
    case removePort
    /// The veth pair is removed.
    case deleteLink
    /// Addresses are given back by address management in this process.
    case releaseLease
    /// Links of attachments that are not valid any more are removed.
    case collectLinks
    /// Their ports are.
    case collectPorts
    /// Their addresses are given back.
    case collectLeases
    /// VLANs and limits are changed in the database.
    case updatePort
    /// The MTU of both ends is changed.
    case updateLinks
    /// What was changed is put back, because not all of it could be.
    case restorePort
  }

  /// The configuration type of OVN-Kubernetes' plugin, which this one takes over.
  static let ovnType = "ovn-k8s-cni-overlay"

  /// The kernel's word for the links.
  static let kind = "veth"

  let clients = Mutex(SharedClients())

  package init() {}

  package var name: String { "ovs" }

  package var keys: KeyTable? { OVSConfiguration.keys }

  package func inspect(_ configuration: NetworkConfiguration) throws(CNIError) {
    let defaults = try ConfigurationFile.defaults(for: configuration, AllowedPaths(["/"]))
    _ = try OVSConfiguration(configuration.completed(with: defaults), CNIArguments())
  }

  /// `ovn-k8s-cni-overlay`, OVN-Kubernetes' name.
  package var aliases: [String] { [Self.ovnType] }

  /// It limits bandwidth.
  package var capabilities: Set<PluginCapability> { [.shaping] }

  /// Where the pod's name becomes the interface's name for OVN.
  package func needsPodIdentity(_ configuration: NetworkConfiguration) -> Bool {
    guard let read = try? OVSConfiguration(configuration, CNIArguments()) else { return false }
    return read.addresses == .annotation && read.ovnPort == nil
  }

  /// The interface's name for OVN, as configuration and arguments say it.
  package func outsideNames(of record: AttachmentRecord) -> Set<OutsideName> {
    let arguments = CNIArguments(readable: record.environment["CNI_ARGS"])
    let defaults = record.first(PlannedDefaults.self)?.members ?? JSONObject()
    guard let port = record.first(PlannedPort.self),
      let given = try? NetworkConfiguration(record.configuration).completed(with: defaults),
      let read = try? OVSConfiguration(given, arguments),
      let id = read.interfaceID(
        podNamespace: arguments["K8S_POD_NAMESPACE"] ?? "",
        podName: arguments["K8S_POD_NAME"] ?? "")
    else { return [] }
    return [.interfaceID(id, in: port.database)]
  }

  // MARK: For the verbs

  /// The switch behind a database address; its connection is shared by all calls.
  func openSwitch(_ database: String, _ host: PluginHost) throws(CNIError) -> Switch {
    let address: OVSDBAddress
    do throws(OVSDBError) {
      address = try OVSDBAddress(parsing: database)
    } catch {
      throw CNIError(.invalidConfiguration, "socket_file \(goQuoted(database)): \(error)")
    }
    let client = try mapped { () throws(OVSDBError) in
      try clients.withLock { clients throws(OVSDBError) in
        try clients.client(address) { () throws(OVSDBError) in
          try OVSDBClient(address, database: Switch.database, monitoring: Switch.monitored) {
            event in
            let isGood = if case .connected = event { true } else { false }
            host.nodeLog(isGood ? .info : .warning, event.description)
          }
        }
      }
    }
    return Switch(client)
  }

  /// Refuses a database that a network must not name; the file on the node is root's.
  func checkDatabase(_ request: PodRequest, _ host: PluginHost) throws(CNIError) {
    let reader = MemberReader(request.configuration.object, .configuration)
    guard !request.isRecorded, let text = try reader.nonEmpty("socket_file"),
      case .unix(let path)? = try? OVSDBAddress(parsing: text)
    else { return }
    try host.paths.check(path, "socket_file", own: ["/run/openvswitch"])
  }

  func addressing(_ request: PodRequest, _ host: PluginHost) -> Addressing<Step> {
    Addressing(request, host, knownArguments: OVSConfiguration.knownArguments)
  }
}

extension PodRequest {
  /// How the names of the attachment's links on the node begin.
  var hostLinkPrefix: String {
    var hash = FNV1a()
    hash.combine(sandboxID)
    hash.combine(ifName)
    return "\(hash.short(digits: 6))_"
  }

  /// A name for the pair's end on the node that no link had before: fifteen characters.
  ///
  /// ovs-vswitchd knows links by their names. One that goes and comes again while it is busy is for
  /// it still the old one, and no packet gets through.
  func newHostLinkName() throws(CNIError) -> String {
    let bytes = try mapped { () throws(SystemError) in try Random.bytes(5) }
    let digits = String(bytes.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }, radix: 32)
    return hostLinkPrefix + String(("0000000" + digits).suffix(8))
  }
}
