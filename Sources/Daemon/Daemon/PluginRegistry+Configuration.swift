import Addresses
import JSON
import PluginKit
import Records

extension PluginRegistry {
  /// Finds out whether there are the plugins that a configuration names.
  func check(_ configuration: Configuration) throws(StartError) {
    if let name = configuration.defaultPlugin, plugin(forType: name) == nil {
      throw StartError("defaultPlugin: no plugin \"\(name)\"")
    }
    for name in configuration.plugins.keys.sorted() where plugin(named: name) == nil {
      throw StartError("plugins.\(name): no plugin \"\(name)\"")
    }
  }

  /// Tells the plugins the node's pod network; nothing without one.
  func announce(podCIDR: IPNetwork?) {
    guard let podCIDR else { return }
    let event = PluginEvent(
      name: PluginEvent.podCIDRChange,
      details: JSONObject([(PluginEvent.podCIDRDetail, .string("\(podCIDR)"))]))
    for plugin in plugins { plugin.event(event) }
  }
}
