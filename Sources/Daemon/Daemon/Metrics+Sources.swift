import PluginKit
import Records
import Scheduling

extension Metrics {
  /// Those who know what is not counted here.
  struct Sources: Sendable {
    let dispatcher: Dispatcher
    let store: AttachmentStore
    let spool: Spool
    let registry: PluginRegistry
    let networks: Networks
    let version: String

    /// What they know now; nobody looks at a disk for it.
    var gauges: Gauges {
      var gauges = Gauges()
      let load = dispatcher.load
      (gauges.inFlight, gauges.queued) = (load.running, load.waiting)
      gauges.lostWorkers = dispatcher.givenUp
      for (key, summary) in store.summaries {
        if key.isLeftover {
          gauges.leftovers[key.plugin, default: 0] += 1
          continue
        }
        let group = Gauges.Group(plugin: key.plugin, network: key.network, phase: summary.phase)
        gauges.attachments[group, default: 0] += 1
      }
      gauges.damagedRecords = store.damagedCount
      gauges.spoolEntries = spool.count
      gauges.damagedSpoolEntries = spool.damagedCount
      gauges.droppedSpoolEntries = spool.droppedCount
      (gauges.goodNetworkFiles, gauges.damagedNetworkFiles) = networks.counts
      for plugin in registry.plugins { gauges.plugins[plugin.name] = plugin.isReady }
      gauges.version = version
      return gauges
    }
  }
}
