import CNI
import DaemonAPI
import PluginKit
import Records

/// The verb GC: removes what is recorded and not listed, then lets the plugin sweep.
struct GarbageCollector: Sendable {
  let finder: PluginFinder
  let store: AttachmentStore
  let detacher: Detacher
  let attachments: Attachments
  let metrics: Metrics

  /// Collects one network's garbage; goes on after an error, and throws all of them as one.
  func collect(
    _ decoded: DecodedRequest, _ progress: CallProgress
  ) throws(CNIError) {
    let request = decoded.request
    var valid = try request.configuration.validAttachments()
    let plugin = try finder.chosen(for: decoded)
    var errors: [CNIError] = []
    for key in store.keys(network: request.configuration.name) {
      guard let record = store.record(key), !isValid(record, valid) else { continue }
      do throws(CNIError) {
        try remove(record, request, progress)
        metrics.garbageRemoved(plugin: key.plugin)
      } catch {
        errors.append(error)
      }
    }
    do throws(CNIError) {
      // The plugin does not sweep what has a record, whether the runtime knows of it or not.
      for key in store.keys(network: request.configuration.name) {
        let kept = NetworkConfiguration.Attachment(containerID: key.containerID, ifName: key.ifName)
        if !valid.contains(kept) { valid.append(kept) }
      }
      try attachments.collect(plugin, request, valid: valid, progress)
    } catch {
      errors.append(error)
    }
    guard let first = errors.first else { return }
    throw CNIError(
      first.code, errors.map(\.message).joined(separator: "; "),
      details: errors.map(\.details).filter { !$0.isEmpty }.joined(separator: "; "))
  }

  /// Hot-plugged attachments stay as long as any interface of their container is listed.
  private func isValid(
    _ record: AttachmentRecord, _ valid: [NetworkConfiguration.Attachment]
  ) -> Bool {
    valid.contains { entry in
      entry.containerID == record.key.containerID
        && (entry.ifName == record.key.ifName || record.origin == Endpoint.delegate.origin)
    }
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
