import CNI
import DaemonAPI
import PluginKit
import Records

/// The verb GC: removes what is recorded, not listed and dead, then lets the plugin sweep.
///
/// A runtime lists what it has made in this very network. What a meta-plugin has attached to a
/// network of the same name is not on that list, and lives all the same.
struct GarbageCollector: Sendable {
  let finder: PluginFinder
  let store: AttachmentStore
  let detacher: Detacher
  let attachments: Attachments
  let metrics: Metrics
  let log: Log
  /// Whether an attachment's namespace is there; true when that cannot be found out.
  let isAlive: OrphanSweep.Question

  /// Collects one network's garbage; goes on after an error, and throws all of them as one.
  func collect(
    _ decoded: DecodedRequest, _ progress: CallProgress
  ) throws(CNIError) {
    let request = decoded.request
    let list = List(
      try request.configuration.validAttachments(),
      isStrict: try request.configuration.collectsLiving())
    let plugin = try finder.chosen(for: decoded)
    var errors: [CNIError] = []
    var kept: [String] = []
    for key in store.roots(network: request.configuration.name) {
      guard let record = store.record(key), !list.names(record) else { continue }
      if !list.isStrict, lives(record) {
        kept.append("\(key)")
        metrics.garbageKept(plugin: key.plugin)
        continue
      }
      do throws(CNIError) {
        try remove(record, request, progress)
        metrics.garbageRemoved(plugin: key.plugin)
      } catch {
        errors.append(error)
      }
    }
    do throws(CNIError) {
      let spared = try attachments.collect(plugin, request, valid: valid(list, request), progress)
      metrics.garbageKept(plugin: plugin.name, count: spared.count)
      kept += spared
    } catch {
      errors.append(error)
    }
    tell(of: kept, request)
    if let error = CNIError(joining: errors) { throw error }
  }

  /// What the plugin's own sweep keeps: what has a record too, whether the runtime knows of it or
  /// not.
  private func valid(
    _ list: List, _ request: PodRequest
  ) -> [NetworkConfiguration.Attachment] {
    let recorded = store.attached(to: request.configuration.name)
    return list.entries + Set(recorded).subtracting(list.entries)
  }

  private func lives(_ record: AttachmentRecord) -> Bool {
    guard record.phase == .attached, !store.isOfAnotherBoot(record) else { return false }
    if let trace = AttachmentNamespace.Trace(record) { return isAlive(trace) }
    do throws(CNIError) {
      return try AttachmentNamespace.isThere(record.environment["CNI_NETNS"] ?? "")
    } catch {
      return true
    }
  }

  private func tell(of kept: [String], _ request: PodRequest) {
    guard !kept.isEmpty else { return }
    log.write(
      .info, "GC kept what its list does not name, because it lives",
      [
        ("network", request.configuration.name), ("count", kept.count),
        ("kept", kept.prefix(8).joined(separator: ", ")),
      ])
  }

  private func remove(
    _ record: AttachmentRecord, _ request: PodRequest, _ progress: CallProgress
  ) throws(CNIError) {
    var removal = try detacher.request(for: record, request.deadline)
    // An attachment that is younger than the GC is not meant.
    removal.stamp = request.stamp
    try attachments.detach(try finder.plugin(of: record.key), removal, record, progress)
  }
}

/// The attachments that a GC was told to keep.
private struct List {
  let entries: [NetworkConfiguration.Attachment]
  /// Whether only what is listed stays, living or not.
  let isStrict: Bool
  private let containers: Set<String>

  init(_ entries: [NetworkConfiguration.Attachment], isStrict: Bool) {
    self.entries = entries
    self.isStrict = isStrict
    containers = Set(entries.map(\.containerID))
  }

  /// Whether an attachment stays because of an entry.
  ///
  /// Any of its container's does. With `gcLiving` the interface counts too, but for those that were
  /// plugged in later.
  func names(_ record: AttachmentRecord) -> Bool {
    let key = record.key
    guard containers.contains(key.containerID) else { return false }
    if !isStrict || record.origin == Endpoint.delegate.origin { return true }
    return entries.contains { $0.containerID == key.containerID && $0.ifName == key.ifName }
  }
}
