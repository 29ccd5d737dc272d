package import JSON

/// The keys that have a meaning in every plugin's configuration.
extension NetworkConfiguration {
  /// What this library reads, and what the specification has for others to read.
  package static let keys = KeyTable(
    [
      "cniVersion", "cniVersions", "name", "type", "args", "runtimeConfig", "capabilities",
      "prevResult", "ipam", "ipMasq", "disableCheck", "disableGC", "loadOnlyInlinedPlugins",
      "delegate", "delegates", "plugin", "plugins", "gcLiving",
    ] + callKeys, inside: [("dns", CNIResult.DNS.keys)])

  /// What the program that the runtime starts reads for itself.
  package static let callKeys = [
    "daemonSocketDir", "daemonTimeout", "unreachableTimeout", "logFile", "logLevel", "logToStderr",
  ]

  /// What plugins read that are chained to another one, and what meta plugins write into a
  /// configuration: such a key beside ours is somebody else's.
  private static let keysOfOthers = KeyTable([
    // tuning, bandwidth, portmap, firewall, sbr, vrf
    "sysctl", "promisc", "allmulti", "txQLen", "mac", "mtu", "ingressRate", "ingressBurst",
    "egressRate", "egressBurst", "shapedSubnets", "unshapedSubnets", "snat", "masqAll",
    "markMasqBit", "externalSetMarkChain", "conditionsV4", "conditionsV6", "backend",
    "iptablesAdminChainName", "firewalldZone", "ingressPolicy", "table", "vrfname",
    // Multus, for a network with a device of its own
    "deviceID", "pciBusID", "resourceName",
  ])

  /// The keys that neither the plugin nor address management nor anybody else known here reads.
  ///
  /// - Parameters:
  ///   - plugin: the plugin's own keys.
  ///   - ipam: those of `ipam`; nil where they are a program's, which may read any.
  /// - Returns: at most 16.
  package func unknownKeys(plugin: KeyTable, ipam: KeyTable?) -> [UnknownKey] {
    var known = NetworkConfiguration.keysOfOthers.joined(NetworkConfiguration.keys).joined(plugin)
    if let ipam { known = known.joined(KeyTable([], inside: [("ipam", ipam)])) }
    return known.unknownKeys(in: object)
  }
}

extension CNIResult.DNS {
  /// The keys of the object `dns`.
  package static let keys = KeyTable(["nameservers", "domain", "search", "options"])
}

extension CNIResult.Route {
  /// The keys of a route.
  package static let keys = KeyTable([
    "dst", "gw", "mtu", "advmss", "priority", "table", "scope",
  ])
}
