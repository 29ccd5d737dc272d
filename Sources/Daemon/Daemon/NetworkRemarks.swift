import CNI
import IPAM
import JSON
import Linux
import PluginKit
import Records

/// Warns, once for each network, of what its author can hardly have meant and no call fails for.
final class NetworkRemarks: Sendable {
  private struct State {
    /// What was said, so that it is said once.
    var said: Set<String> = []
    /// The subnets for which a directory of leases was used first.
    var subnets: [String: String] = [:]
    /// The first network that leases from the node's pod network.
    var podNetwork: String?
  }

  /// Beyond so many, what was said is forgotten and may be said again.
  private static let limit = 4096
  /// Longer lists of subnets are not remembered; an author decides how long they are.
  private static let longestText = 1024

  private let dataDirectory: String
  private let log: any LogWriting
  private let state = Mutex(State())

  init(dataDirectory: String, log: any LogWriting) {
    self.dataDirectory = dataDirectory
    self.log = log
  }

  /// Looks at a network that a plugin is to attach a pod to.
  func look(at network: NetworkConfiguration, of plugin: any NetworkPlugin) {
    for key in NetworkRemarks.unknownKeys(of: network, plugin) {
      warn("network \(goQuoted(network.name)): \(key.description) is ignored")
    }
    if let text = sharedLeases(of: network) ?? sharedRange(of: network) { warn(text) }
  }

  /// The words for a second network that leases from the node's pod network: leases are kept by
  /// the network's name, so neither knows of the other's.
  private func sharedRange(of network: NetworkConfiguration) -> String? {
    guard network.ipamType == "pod-cidr" else { return nil }
    let first = state.withLock { state in
      let first = state.podNetwork ?? network.name
      state.podNetwork = first
      return first
    }
    if first == network.name { return nil }
    return "network \(goQuoted(network.name)): it leases from the node's pod network as "
      + "network \(goQuoted(first)) does, and gives the same addresses: "
      + "only one may have ipam.type pod-cidr"
  }

  /// The keys of a configuration that neither its plugin nor anybody else reads.
  static func unknownKeys(
    of network: NetworkConfiguration, _ plugin: any NetworkPlugin
  ) -> [UnknownKey] {
    guard let keys = plugin.keys else { return [] }
    return network.unknownKeys(plugin: keys, ipam: IPAMDriver.keys(for: network))
  }

  /// The words for two networks whose names are the same and whose subnets are not: each takes the
  /// other's leases for its own.
  private func sharedLeases(of network: NetworkConfiguration) -> String? {
    guard let pool = IPAMDriver.leasePool(of: network, in: dataDirectory),
      pool.subnets.utf8.count <= Self.longestText
    else { return nil }
    let first = state.withLock { state -> String in
      if state.subnets.count >= NetworkRemarks.limit { state.subnets = [:] }
      if let known = state.subnets[pool.directory] { return known }
      state.subnets[pool.directory] = pool.subnets
      return pool.subnets
    }
    if first == pool.subnets { return nil }
    return "network \(goQuoted(network.name)): two configurations of this name share the leases in "
      + "\(pool.directory), one for \(first) and one for \(pool.subnets): "
      + "give each network a name of its own"
  }

  private func warn(_ text: String) {
    let isNew = state.withLock { state in
      if state.said.count >= NetworkRemarks.limit { state.said = [] }
      return state.said.insert(text).inserted
    }
    if isNew { log.write(.warning, text, []) }
  }
}
