import CNI
import Linux
import PluginKit
import Records

/// Where an attachment stands that another one takes along when it goes.
struct Seat: Sendable {
  /// The other one.
  let set: AttachmentKey
  /// As ``AttachmentKey/place``; empty for what is no part of the other one, but came later.
  let place: String
}

/// The parts of a set are attachments like others: by the same code, with records of their own.
extension Attachments: PartService {
  func plugin(forType type: String) -> (any NetworkPlugin)? {
    detacher.finder.registry.plugin(forType: type)
  }

  func attached(to network: String) -> [NetworkConfiguration.Attachment] {
    store.attached(to: network)
  }

  func add(
    _ part: Part, of set: AttachmentKey, origin: String, _ progress: CallProgress
  ) throws(CNIError) -> CNIResult {
    let request = try completed(part).request
    try request.configuration.checkVersion(for: .add)
    try checkPod(request, part.plugin)
    let seat = Seat(set: set, place: part.place)
    return try attach(part.plugin, request, origin: origin, seat: seat, progress).result
  }

  func delete(
    _ part: Part, isBegun: Bool, _ progress: CallProgress
  ) throws(CNIError) {
    if let record = try store.readable(key(of: part)) {
      return try detach(part.plugin, part.request, record, progress)
    }
    if isBegun { return }
    let request = ((try? completed(part)) ?? part).request
    try detach(part.plugin, request, nil, place: part.place, progress)
  }

  func check(_ part: Part, _ progress: CallProgress) throws(CNIError) {
    try check(part.plugin, part.request, try store.readable(key(of: part)), progress)
  }

  func status(_ part: Part, _ progress: CallProgress) throws(CNIError) {
    try status(part.plugin, try completed(part).request, progress)
  }

  func collect(
    _ part: Part, valid: [NetworkConfiguration.Attachment], _ progress: CallProgress
  ) throws(CNIError) -> [String] {
    try collect(part.plugin, try completed(part).request, valid: valid, progress)
  }

  private func key(of part: Part) -> AttachmentKey {
    AttachmentKey(part.request, plugin: part.plugin.name, place: part.place)
  }

  /// With the plugin's own defaults, but not the overrides: those are for what a runtime sends.
  private func completed(_ part: Part) throws(CNIError) -> Part {
    guard let defaults = detacher.settings.current.plugins[part.plugin.name] else { return part }
    var part = part
    part.request.configuration = try part.request.configuration.completed(with: defaults)
    return part
  }

  private func checkPod(
    _ request: PodRequest, _ plugin: any NetworkPlugin
  ) throws(CNIError) {
    guard plugin.needsPodIdentity(request.configuration) else { return }
    let missing = [
      ("K8S_POD_NAMESPACE", request.podNamespace), ("K8S_POD_NAME", request.podName),
    ]
    for (name, value) in missing where value.isEmpty {
      throw CNIError(
        .invalidEnvironment, "could not extract the kubernetes runtime args: missing \(name)")
    }
  }

  // MARK: One network of a set

  /// The result of a network that a container's set has attached, for a client that asks for it
  /// once more; nil if it has not.
  func partOfSet(_ request: PodRequest) throws(CNIError) -> CNIResult? {
    guard let (record, parts) = try network(of: request), record.phase == .attached,
      !store.isOfAnotherBoot(record), let index = parts.first?.index
    else { return nil }
    return record.networkResult(index)
  }

  /// Detaches one network of a container's set, and leaves the others.
  ///
  /// - Returns: false if no set has attached it.
  func detachNetworkOfSet(
    _ request: PodRequest, _ progress: CallProgress
  ) throws(CNIError) -> Bool {
    guard let (record, parts) = try network(of: request) else { return false }
    if request.stamp.isOlder(than: record.stamp) == true { return true }
    func isMeant(_ part: PlannedPart) -> Bool { parts.contains(part) }
    let plugin = try detacher.finder.plugin(of: record.key)
    let own = try detacher.request(for: record, request.deadline)
    try detacher.detach(plugin, own, only: record.keeping(isMeant), progress)
    try progress.check()
    // Somebody may have removed the whole set meanwhile: it must not come back.
    guard store.summary(of: record.key)?.phase == record.phase else { return true }
    var rest = record.keeping { !isMeant($0) }
    var results = rest.networkResults
    for index in Set(parts.compactMap(\.index)) where results.indices.contains(index) {
      results[index] = nil
    }
    rest.networkResults = results
    try store.write(rest)
    return true
  }

  /// The record of the set that has attached a request's interface to its network, and the parts
  /// that do it.
  ///
  /// - Throws: code 11 or 5 if the record cannot be read now.
  private func network(
    of request: PodRequest
  ) throws(CNIError) -> (AttachmentRecord, [PlannedPart])? {
    let name = request.configuration.name
    guard
      let key = store.set(of: request.sandboxID, ifName: request.ifName, network: name),
      let record = try store.readable(key)
    else { return nil }
    return (record, record.parts(of: name, ifName: request.ifName))
  }
}
