package import CNI
package import JSON
package import PluginKit
import Workbench

/// Attaches pods with macvlan links, compatible with the reference plugin's configuration.
///
/// What differs from it: a failed ADD leaves nothing; an interface that exists is found first and
/// left untouched; a link carries its owner's mark, and DEL takes no other; GC gives leases back;
/// UPDATE changes MTU, mode and hardware address; the key `dad` can skip the wait for duplicate
/// address detection.
package final class MacvlanPlugin: NetworkPlugin {
  /// Every effect on the outside, in the order of ADD, then DEL, GC and UPDATE.
  package enum Step: String, AddressingStep {
    /// Addresses are taken by address management in this process.
    case takeLease
    /// The link is created in the pod's namespace, with its final name, address, MTU and mode.
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

  /// The kernel's word for the link.
  static let kind = "macvlan"

  package init() {}

  package var name: String { "macvlan" }

  package var keys: KeyTable? { MacvlanConfiguration.keys }

  package func inspect(_ configuration: NetworkConfiguration) throws(CNIError) {
    try MacvlanConfiguration(configuration, CNIArguments()).checkQueue()
  }

  /// Whether there is a parent for the link, and address management would serve an ADD.
  ///
  /// - Throws: code 50 with the ADD's own text if not.
  package func status(_ call: PluginCall<Step>) throws(CNIError) {
    let configuration = try MacvlanConfiguration(
      call.request.configuration, call.request.arguments)
    var node = try LinkAccess(deadline: call.request.deadline)
    do throws(CNIError) {
      _ = try configuration.parentOfNode(&node)
    } catch {
      throw error.unavailable
    }
    try addressing(call.request, call.host).status(call)
  }

  /// Gives back the addresses of attachments that are not listed.
  package func garbageCollect(
    _ call: PluginCall<Step>, valid: [NetworkConfiguration.Attachment]
  ) throws(CNIError) {
    try addressing(call.request, call.host).collect(call, valid: valid)
  }

  func addressing(_ request: PodRequest, _ host: PluginHost) -> Addressing<Step> {
    Addressing(request, host, knownArguments: MacvlanConfiguration.knownArguments)
  }
}
