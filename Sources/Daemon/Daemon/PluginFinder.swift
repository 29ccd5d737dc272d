import CNI
import DaemonAPI
import Linux
import PluginKit
import Records
import Scheduling

/// Which plugin and which record a request is about, and what a call must not run beside.
///
/// What is said to be known from memory the epoll thread may ask; ``responsible(for:)`` and
/// ``responsibleForDelete(_:)`` read the record's file.
struct PluginFinder: Sendable {
  let registry: PluginRegistry
  let store: AttachmentStore

  // MARK: Who is responsible

  /// The plugin that the configuration chooses.
  func chosen(for decoded: DecodedRequest) throws(CNIError) -> any NetworkPlugin {
    if let plugin = decoded.plugin { return plugin }
    throw decoded.choiceError ?? CNIError(.invalidConfiguration, "no plugin for this network")
  }

  /// The record's plugin; without a record the configuration's.
  func responsible(
    for decoded: DecodedRequest
  ) throws(CNIError) -> (plugin: any NetworkPlugin, record: AttachmentRecord?) {
    guard let key = key(of: decoded) else { return (try chosen(for: decoded), nil) }
    return (try plugin(of: key), try store.readable(key))
  }

  /// The same for DEL; nil where there is no record, and no ADD can have made anything: no plugin
  /// serves the network, or nobody can read its configuration.
  func responsibleForDelete(
    _ decoded: DecodedRequest
  ) throws(CNIError) -> (plugin: any NetworkPlugin, record: AttachmentRecord?)? {
    if key(of: decoded) == nil, decoded.plugin == nil || decoded.fault != nil { return nil }
    return try responsible(for: decoded)
  }

  /// The plugin that made an attachment.
  func plugin(of key: AttachmentKey) throws(CNIError) -> any NetworkPlugin {
    if let plugin = registry.plugin(named: key.plugin) { return plugin }
    throw CNIError(
      .invalidConfiguration, "the attachment \(key) was made by a plugin that this cnid lacks")
  }

  /// Whether the interface of a request is attached, but to another network alone.
  func isOfAnotherNetwork(_ request: PodRequest) -> Bool {
    let networks = store.networks(containerID: request.sandboxID, ifName: request.ifName)
    return !networks.isEmpty && !networks.contains(request.configuration.name)
  }

  /// The key under which the attachment is recorded; of several plugins' the configuration's
  /// choice.
  private func key(of decoded: DecodedRequest) -> AttachmentKey? {
    let request = decoded.request
    let keys = store.keys(
      containerID: request.sandboxID, ifName: request.ifName, network: request.configuration.name)
    return keys.first { $0.plugin == decoded.plugin?.name } ?? keys.first
  }

  // MARK: Claims

  /// What a call must not run beside.
  func claim(of decoded: DecodedRequest) -> Claim {
    let request = decoded.request
    let name = request.configuration.name
    switch request.command {
    case .garbageCollect: return Claim(aloneIn: decoded.otherNetworks.union([name]))
    case .status: return Claim(networks: [name])
    default:
      var own = Claim(
        attachments: [Claim.attachment(request.sandboxID, request.ifName)],
        locks: Set(decoded.lock.map { [$0] } ?? []), networks: [name])
      // What is plugged into a running pod, or out, must not meet the pod's end.
      if let first = decoded.first {
        own.attachments.insert(Claim.attachment(first.containerID, first.ifName))
      }
      // A DEL may not name its pod, and a plugin may ask for another lock by now: the record's
      // counts too.
      return key(of: decoded).map { own.union(claim(of: $0)) } ?? own
    }
  }

  /// The same for work on a recorded attachment, with all that goes with it.
  func claim(of key: AttachmentKey) -> Claim {
    store.family(of: key).reduce(Claim()) { $0.union(ownClaim(of: $1)) }
  }

  private func ownClaim(of key: AttachmentKey) -> Claim {
    var own = Claim(
      attachments: [Claim.attachment(key.containerID, key.ifName)],
      locks: Set(store.lock(of: key).map { [$0] } ?? []), networks: [key.network])
    for part in store.summary(of: key)?.parts ?? [] {
      own.attachments.insert(Claim.attachment(key.containerID, part.ifName))
      own.networks.insert(part.network)
    }
    return own
  }
}

extension PluginRegistry {
  /// What the plugin of a recorded attachment must not do twice at a time; for the store, which
  /// remembers it.
  func lock(of record: AttachmentRecord) -> String? {
    guard let plugin = plugin(named: record.key.plugin),
      let request = try? PodRequest(removing: record, .never)
    else { return nil }
    return plugin.lock(for: request)
  }

  /// The outside names of a record that lists none.
  func outsideNames(of record: AttachmentRecord) -> Set<OutsideName> {
    plugin(named: record.key.plugin)?.outsideNames(of: record) ?? []
  }
}
