import PluginKit

/// Whether a call is for one network of a pod, because a meta-plugin makes one for each.
enum MetaMode {
  /// The kernel keeps so many bytes of a program's name.
  private static let longestName = 15

  /// What is known before the agent is asked: the key `meta-mode`, the caller, and
  /// the network's name.
  static func isOn(_ request: PodRequest, _ cni: ContrailCni) -> Bool {
    guard isPossible(cni) else { return cni.isMeta == true && cni.mode != .mesos }
    let (caller, plugin) = (request.callerName, cni.metaPlugin)
    if !plugin.isEmpty {
      let own = String(decoding: plugin.utf8.prefix(longestName), as: UTF8.self)
      if caller == own || caller.utf8.starts(with: "\(plugin)-".utf8) { return true }
    }
    guard let known = cni.defaultNetworkName, !known.isEmpty else { return false }
    return cni.networkName != known
  }

  /// Whether it has to be found out.
  private static func isPossible(_ cni: ContrailCni) -> Bool {
    cni.isMeta == nil && cni.mode != .mesos
  }

  /// Whether it is likely by the interface's name, where nothing else tells: a
  /// runtime's own is eth0.
  static func isLikely(_ request: PodRequest, _ cni: ContrailCni) -> Bool {
    isPossible(cni) && request.ifName != "eth0"
  }

  /// Whether the configuration's network is the one that every pod has.
  static func isDefaultNetwork(_ cni: ContrailCni) -> Bool {
    cni.networkName.isEmpty || cni.networkName == ContrailCni.pluginName
      || cni.networkName == cni.defaultNetworkName
  }
}
