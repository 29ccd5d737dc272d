import Addresses
public import CNI
import IPAM
import JSON
import Linux
import Netlink
public import PluginKit

/// Attaches pods with macvlan links, compatible with the reference plugin's configuration.
///
/// What differs from it: a failed ADD leaves nothing; an interface that exists is found first and left untouched; a
/// link carries its owner's mark, and DEL takes no other; GC gives leases back; UPDATE changes MTU, mode and hardware
/// address; the key `dad` can skip the wait for duplicate address detection.
public final class MacvlanPlugin: NetworkPlugin {
  /// Every effect on the outside, in the order of ADD, then DEL, GC and UPDATE.
  public enum Step: String, PluginStep {
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
  public init() {}

  /// `macvlan`.
  public var name: String { "macvlan" }

  /// Keeps the host.
  public func initialize(_ settings: PluginSettings) throws(CNIError) {
    host.withLock { $0 = settings.host }
  }

  /// Whether address management would serve an ADD with this configuration.
  public func status(_ call: PluginCall<Step>) throws(CNIError) {
    _ = try MacvlanConfiguration(call.request.configuration, call.request.arguments)
    try addressManagement(for: call.request)?.status()
  }

  /// Gives back the addresses of attachments that are not listed.
  public func garbageCollect(
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
    let host = try requireHost()
    return IPAMDriver(
      for: IPAMCall(
        containerID: request.sandboxID, ifName: request.ifName, arguments: request.arguments,
        knownArguments: MacvlanConfiguration.knownArguments, configuration: request.configuration,
        environment: request.environment.sorted { $0.key < $1.key }.map { ($0.key, $0.value) },
        searchPath: request.searchPath, dataDirectory: host.dataDirectory,
        deadline: request.deadline))
  }
}

extension PodRequest {
  /// The mark of this request's attachment.
  var mark: OwnerMark { OwnerMark(containerID: sandboxID, ifName: ifName) }

  /// Whether the caller insists on the node's own namespace (`CNI_NETNS_OVERRIDE`).
  var allowsOwnNamespace: Bool {
    let value = environment["CNI_NETNS_OVERRIDE", default: ""].lowercased()
    return value == "1" || value == "true"
  }

  /// Opens the request's namespace, which must be there.
  ///
  /// - Throws: code 4 `failed to open netns …`.
  func openNamespace() throws(CNIError) -> NetworkNamespace {
    do throws(SystemError) {
      return try NetworkNamespace(path: netns)
    } catch {
      throw CNIError(
        .invalidEnvironment, "failed to open netns \(goQuoted(netns)): \(error.errno)",
        details: "\(error)")
    }
  }
}

/// Runs a body that speaks to the kernel, with its error as a CNI error.
///
/// - Parameters:
///   - message: what failed, in the error; nil: the kernel's refusal is all of it.
///   - body: what to run.
/// - Returns: what the body returns.
/// - Throws: code 100, or 105 when a wait was over.
func netlink<T: ~Copyable>(
  _ message: @autoclosure () -> String? = nil, _ body: () throws(NetlinkError) -> T
) throws(CNIError) -> T {
  do throws(NetlinkError) {
    return try body()
  } catch {
    throw CNIError(error, doing: message())
  }
}
