import Addresses
import CNI
import JSON
import PluginKit
import Records

extension PluginRegistry {
  /// Finds out whether there are the plugins that a configuration names.
  func check(_ configuration: Configuration) throws(StartError) {
    if let fault = missing(for: configuration).first { throw StartError(fault.description) }
  }

  /// The plugins that a configuration names and that there are not.
  func missing(for configuration: Configuration) -> [ConfigurationError] {
    var named: [(key: String, name: String)] = []
    if let name = configuration.defaultPlugin, plugin(forType: name) == nil {
      named.append(("defaultPlugin", name))
    }
    for name in configuration.plugins.keys.sorted() where plugin(named: name) == nil {
      named.append(("plugins.\(name)", name))
    }
    if let name = configuration.overrides.value(inAnyCase: "plugin")?.string,
      plugin(forType: name) == nil
    {
      named.append(("overrides.plugin", name))
    }
    return named.map { entry in
      let others = choices(plugins.map(\.name), near: entry.name)
      return ConfigurationError(entry.key, "no plugin \(goQuoted(entry.name)); \(others)")
    }
  }

  /// Tells the plugins the node's pod network; nothing without one.
  ///
  /// Of what they share the first one counts: pods have addresses of it.
  func announce(podCIDR: IPNetwork?) {
    guard let podCIDR else { return }
    let first = host.podCIDR.learn(podCIDR)
    if first != podCIDR {
      host.nodeLog(
        .warning,
        "podCIDR \(podCIDR) is ignored until the next start: addresses come from \(first)")
      return
    }
    let event = PluginEvent(
      name: PluginEvent.podCIDRChange,
      details: JSONObject([(PluginEvent.podCIDRDetail, .string("\(podCIDR)"))]))
    for plugin in plugins { plugin.event(event) }
  }
}
