package import CNI
package import JSON
import PluginKit

/// Attaches a pod to several networks, or to one network by a list of plugins.
///
/// Successor of what Multus does with `delegates`. A type that this daemon has is done in the
/// process, as an attachment with a record of its own; every other type is executed as libcni
/// would. <doc:ConfiguringSets> has what a configuration may say.
package final class DelegatePlugin: NetworkPlugin {
  /// Its effects beyond those of its parts' own plugins.
  package enum Step: String, PluginStep {
    /// A program adds its part.
    case runDelegate
    /// A program deletes its part.
    case runDelegateDelete
    /// What libcni remembers of a network is written.
    case writeCache
    /// It is removed.
    case removeCache
    /// Plugins collect what belongs to no valid attachment.
    case collectDelegates
  }

  package init() {}

  package var name: String { "delegate" }

  package var aliases: [String] { ["multus", "multus-shim"] }

  package var servesSets: Bool { true }

  package var keys: KeyTable? { DelegateSet.keys }

  package func otherNetworks(of configuration: NetworkConfiguration) -> Set<String> {
    (try? DelegateSet(configuration, ifName: "eth0"))?.networks ?? []
  }

  package func inspect(_ configuration: NetworkConfiguration) throws(CNIError) {
    try DelegateSet.inspect(configuration)
  }
}

extension AddCall {
  /// The parts, which the daemon always gives to this plugin.
  func partsOfSet() throws(CNIError) -> Parts { try required(parts) }
}

extension PluginCall {
  func partsOfSet() throws(CNIError) -> Parts { try required(parts) }
}

private func required(_ parts: Parts?) throws(CNIError) -> Parts {
  if let parts { return parts }
  throw CNIError(.internal, "nobody serves the parts of a set")
}
