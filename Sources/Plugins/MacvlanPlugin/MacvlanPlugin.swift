import Addresses
package import CNI
import IPAM
import JSON
import Linux
import Netlink
package import PluginKit
import Workbench

/// Attaches pods with macvlan links, compatible with the reference plugin's configuration.
///
/// What differs from it: a failed ADD leaves nothing; an interface that exists is found first and left untouched; a
/// link carries its owner's mark, and DEL takes no other; GC gives leases back; UPDATE changes MTU, mode and hardware
/// address; the key `dad` can skip the wait for duplicate address detection.
package final class MacvlanPlugin: NetworkPlugin {
  /// Every effect on the outside, in the order of ADD, then DEL, GC and UPDATE.
  package enum Step: String, PluginStep {
    /// Addresses are taken by address management in this process.
    case takeLease
    /// The link is made in the pod's namespace, with its final name, address, MTU and mode.
    case createLink
    /// The link gets its owner's mark before a plugin on disk is asked for addresses.
    case markLink
    /// An IPAM plugin on disk runs ADD.
    case runIPAM
    /// The link gets its mark, settings and addresses and comes up.
    case configureLink
    /// IPv6 addresses are waited for until they can be used.
    case awaitAddresses
    /// The routes are added.
    case addRoutes
    /// An IPAM plugin on disk runs DEL.
    case runIPAMDelete
    /// The link is removed.
    case deleteLink
    /// Addresses are given back by address management in this process.
    case releaseLease
    /// Addresses of attachments that are not valid any more are given back.
    case collectLeases
    /// The link's MTU, mode and hardware address are changed.
    case updateLink
    /// They are put back, because not all of them could be changed.
    case restoreLink
  }

  private let host = Mutex<PluginHost?>(nil)

  /// Makes the plugin; `initialize` gives it its host.
  package init() {}

  /// `macvlan`.
  package var name: String { "macvlan" }

  /// Keeps the host.
  package func initialize(_ settings: PluginSettings) throws(CNIError) {
    host.withLock { $0 = settings.host }
  }

  /// Whether address management would serve an ADD with this configuration.
  package func status(_ call: PluginCall<Step>) throws(CNIError) {
    _ = try MacvlanConfiguration(call.request.configuration, call.request.arguments)
    try addressManagement(for: call.request)?.status()
  }

  /// Gives back the addresses of attachments that are not listed.
  package func garbageCollect(
    _ call: PluginCall<Step>, valid: [NetworkConfiguration.Attachment]
  ) throws(CNIError) {
    guard let addresses = try addressManagement(for: call.request) else { return }
    try call.journal.perform(.collectLeases) { permit throws(CNIError) in
      try addresses.collectGarbage(valid: valid, permit)
    }
  }

  // MARK: For the verbs

  func requireHost() throws(CNIError) -> PluginHost {
    if let host = host.withLock({ $0 }) { return host }
    throw CNIError(.internal, "plugin macvlan was not initialised")
  }

  /// Address management by the request's configuration; nil means no addresses (L2).
  func addressManagement(for request: PodRequest) throws(CNIError) -> IPAMDriver? {
    request.addressManagement(
      try requireHost(), knownArguments: MacvlanConfiguration.knownArguments)
  }
}
