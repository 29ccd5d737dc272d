import CNI
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
    has(identity(request), port)
  }

  /// Whether a port has all of some marks.
  static func has(_ marks: [String: String], _ port: Switch.Port) -> Bool {
    marks.allSatisfy { port.externalIDs[$0.key] == $0.value }
  }

  /// Whether a port was created by ovs-cni for this namespace and interface, before a migration.
  static func ownedBefore(_ request: PodRequest, _ port: Switch.Port) -> Bool {
    let marks = port.externalIDs
    return marks["owner"] == reference && !request.netns.isEmpty
      && marks["contNetns"] == request.netns && marks["contIface"] == request.ifName
  }

  /// Whether a port was created by OVN-Kubernetes for this sandbox's only interface,
  /// before a migration.
  static func ownedByOVNKubernetes(_ request: PodRequest, _ port: Switch.Port) -> Bool {
    port.externalIDs["owner"] == nil && port.name == request.sandboxID.prefix(15)
      && port.interface?.externalIDs["sandbox"] == request.sandboxID
  }

  /// Whether a port is a pod's, of any of the three: only those give way to a new sandbox
  /// of the same pod.
  static func isPods(_ port: Switch.Port) -> Bool {
    let owner = port.externalIDs["owner"]
    return owner == name || owner == reference || port.interface?.externalIDs["sandbox"] != nil
  }
}
