import CNI
import OVSDB
import PluginKit

/// The marks of a port that say whose it is: those of ovs-cni's kind, with an owner's
/// name of our own.
enum PortOwner {
  /// `external_ids:owner` of our ports.
  static let name = "cnid"
  /// That of ovs-cni's.
  static let reference = "ovs-cni.network.kubevirt.io"

  /// The marks that no two attachments share.
  static func identity(_ request: PodRequest) -> [String: String] {
    ["owner": name, "sandbox": request.sandboxID, "contIface": request.ifName]
  }

  /// The mark of a port's link.
  static func mark(_ port: Switch.Port) -> OwnerMark {
    OwnerMark(
      containerID: port.externalIDs["sandbox"] ?? "", ifName: port.externalIDs["contIface"] ?? "")
  }

  /// That a row has those marks.
  static func condition(_ request: PodRequest) -> OVSDBCondition {
    OVSDBCondition("external_ids", .includes, .strings(identity(request)))
  }

  /// All marks of an attachment's port.
  static func marks(_ request: PodRequest) -> [String: String] {
    var marks = identity(request)
    marks["contNetns"] = request.netns
    marks["network"] = request.configuration.name
    if !request.podUID.isEmpty { marks["contPodUid"] = request.podUID }
    return marks
  }

  /// Whether a port is an attachment's.
  static func owns(_ request: PodRequest, _ port: Switch.Port) -> Bool {
    identity(request).allSatisfy { port.externalIDs[$0.key] == $0.value }
  }

  /// Whether a port was created before a migration: by ovs-cni for this namespace and interface, or
  /// by OVN-Kubernetes for this sandbox's only interface.
  static func ownedBefore(_ request: PodRequest, _ port: Switch.Port) -> Bool {
    let marks = port.externalIDs
    if marks["owner"] == reference, !request.netns.isEmpty {
      let isHere = marks["contNetns"].map { plain($0) == plain(request.netns) } ?? false
      return isHere && marks["contIface"] == request.ifName
    }
    return marks["owner"] == nil && port.name == request.sandboxID.prefix(15)
      && port.interface?.externalIDs["sandbox"] == request.sandboxID
  }

  // /var/run is /run on a node, and who wrote the path may have used either.
  private static func plain(_ path: String) -> Substring {
    path.hasPrefix("/var/run/") ? path.dropFirst(4) : path[...]
  }

  /// Whether a port is a pod's, of any of the three: only those give way to a new sandbox
  /// of the same pod.
  static func isPods(_ port: Switch.Port) -> Bool {
    let owner = port.externalIDs["owner"]
    return owner == name || owner == reference || port.interface?.externalIDs["sandbox"] != nil
  }
}
