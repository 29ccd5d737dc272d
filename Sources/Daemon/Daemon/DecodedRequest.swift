import CNI
import DaemonAPI
import PluginKit

/// A request that was read, and the plugin that serves it by its configuration.
struct DecodedRequest: Sendable {
  var request: PodRequest
  let endpoint: Endpoint
  /// The shim asks for this verb's plugin by its configuration; a record may say otherwise.
  let plugin: (any NetworkPlugin)?
  /// Why no plugin was chosen.
  let choiceError: CNIError?
  /// What is wrong with the configuration of a DEL, of which a record may say more.
  let fault: CNIError?

  /// The networks that a GC sweeps besides the configuration's own.
  let otherNetworks: Set<String>

  /// The program that makes the call from inside another one, as ``InnerCalls/id``.
  let caller: String?
  /// The set for which that program runs.
  var set: AttachmentKey?
  /// The attachment with which goes what this call plugs in, as it was when the call was taken on.
  var first: AttachmentKey?
  /// Why a DEL from there has nothing to remove: no ADD of it was let in.
  var loop: String?

  /// What the chosen plugin must not do twice at a time.
  var lock: String? { plugin?.lock(for: request) }

  /// The attachment that an ADD of this request makes.
  var ownKey: AttachmentKey? {
    guard let plugin else { return nil }
    return AttachmentKey(request, plugin: plugin.name)
  }
}

extension AttachmentKey {
  /// The key of the attachment that a request is about, if a plugin of that name serves it.
  init(_ request: PodRequest, plugin: String, place: String = "") {
    self.init(
      network: request.configuration.name, containerID: request.sandboxID, ifName: request.ifName,
      plugin: plugin, place: place)
  }
}

extension CNICommand {
  /// Whether it is about the node and about no attachment.
  var isForNode: Bool { self == .status || self == .garbageCollect }
}

extension Endpoint {
  /// The endpoints on which calls come; they differ in what a caller must say and in the form of
  /// the answer.
  static let calls: [Endpoint] = [.cni, .delegate, .ovn]

  /// The name in records.
  var origin: String {
    switch self {
    case .delegate: "delegate"
    case .ovn: "ovn"
    default: "cni"
    }
  }

  /// What stands before the errors of reading the CNI variables.
  var argumentsPrefix: String {
    self == .ovn ? "" : "could not extract the CNI command args: "
  }

  /// What stands before the errors of reading the pod's identity.
  var podPrefix: String {
    self == .ovn ? "" : "could not extract the kubernetes runtime args: "
  }
}
