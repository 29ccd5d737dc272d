public import CNI
import JSON

/// The plugins that a daemon has, by name.
public struct PluginRegistry: Sendable {
  /// The plugins in the order of registration.
  public private(set) var plugins: [any NetworkPlugin] = []
  /// What the daemon offers them with each call.
  public let host: PluginHost

  /// Puts plugins together by the rules of kubelet's `InitNetworkPlugin`.
  ///
  /// - Parameters:
  ///   - plugins: a name that is not a qualified name, and a name that is taken, is refused;
  ///     the first keeps it.
  ///   - host: what the daemon offers them.
  /// - Returns: the registry, and a text for each refusal.
  public static func assemble(
    _ plugins: [any NetworkPlugin], host: PluginHost
  ) -> (registry: PluginRegistry, refusals: [String]) {
    var registry = PluginRegistry(host: host)
    var refusals: [String] = []
    for plugin in plugins {
      if let fault = QualifiedName.fault(in: plugin.name) {
        refusals.append("network plugin has invalid name: \"\(plugin.name)\": \(fault)")
      } else if registry.plugin(named: plugin.name) != nil {
        refusals.append("network plugin \"\(plugin.name)\" was registered more than once")
      } else {
        registry.plugins.append(plugin)
      }
    }
    return (registry, refusals)
  }

  /// The plugin with exactly this name.
  public func plugin(named name: String) -> (any NetworkPlugin)? {
    plugins.first { $0.name == name }
  }

  /// The plugin that serves a configuration's `type`: by name, else by alias.
  public func plugin(forType type: String) -> (any NetworkPlugin)? {
    plugin(named: type) ?? plugins.first { $0.aliases.contains(type) }
  }

  /// Chooses the plugin for an ADD; the first rule that applies decides.
  ///
  /// 1. the configuration's `plugin` key; 2. its `type`; 3. `delegate` if it has a `delegates` or
  ///    `delegate` object;
  /// 4. the daemon's default; else code 7, naming the plugins that there are. A key that is
  ///    null is not there.
  ///
  /// - Parameters:
  ///   - configuration: the request's configuration.
  ///   - defaultPlugin: `defaultPlugin` of the daemon's configuration.
  /// - Returns: the plugin.
  /// - Throws: code 7.
  public func choose(
    for configuration: NetworkConfiguration, defaultPlugin: String?
  ) throws(CNIError) -> any NetworkPlugin {
    func given(_ key: String) -> JSONValue? {
      guard let value = configuration.object.value(inAnyCase: key), !value.isNull else {
        return nil
      }
      return value
    }
    if let value = given("plugin") {
      guard let name = value.string else {
        throw CNIError(.invalidConfiguration, "plugin: must be a string")
      }
      return try known(plugin(forType: name), "plugin \"\(name)\"")
    }
    if let type = configuration.type, let plugin = plugin(forType: type) { return plugin }
    let isList = configuration.type == nil && given("plugins")?.array != nil
    if isList {
      if let plugin = plugin(named: "delegate") { return plugin }
      throw CNIError(
        .invalidConfiguration,
        "this is a configuration list; a plugin gets one entry of \"plugins\"")
    }
    let isDelegating = given("delegates") != nil || given("delegate") != nil
    if isDelegating, let plugin = plugin(named: "delegate") { return plugin }
    if !isDelegating, let defaultPlugin {
      return try known(plugin(forType: defaultPlugin), "plugin \"\(defaultPlugin)\"")
    }
    if isDelegating || ["multus", "multus-shim"].contains(configuration.type) {
      throw CNIError(
        .invalidConfiguration,
        "this is a configuration of Multus, which this cnid does not replace: keep Multus, and "
          + "install cni-shim under the type of each of its networks")
    }
    throw CNIError(
      .invalidConfiguration,
      "no plugin for type \"\(configuration.type ?? "")\"; "
        + "the network must name one as \"plugin\": \(names)")
  }

  private var names: String { plugins.map(\.name).joined(separator: ", ") }

  private func known(
    _ plugin: (any NetworkPlugin)?, _ wanted: String
  ) throws(CNIError) -> any NetworkPlugin {
    if let plugin { return plugin }
    throw CNIError(.invalidConfiguration, "no \(wanted); this cnid has: \(names)")
  }

  /// Counterpart of kubelet's `InitNetworkPlugin`: chooses by name and initialises.
  ///
  /// - Parameters:
  ///   - plugins: the plugins there are.
  ///   - name: the wanted one; empty: the no-op plugin.
  ///   - settings: what it is told.
  /// - Returns: the plugin, nil if there is none of that name, together with all errors: a plugin
  ///   that was found and initialised may come with errors about others.
  public static func initNetworkPlugin(
    _ plugins: [any NetworkPlugin], name: String, settings: PluginSettings
  ) -> (plugin: (any NetworkPlugin)?, errors: [String]) {
    if name.isEmpty {
      return initNetworkPlugin([NoopPlugin()], name: NoopPlugin.pluginName, settings: settings)
    }
    var (registry, errors) = assemble(plugins, host: settings.host)
    guard let chosen = registry.plugin(named: name) else {
      errors.append("Network plugin \"\(name)\" not found.")
      return (nil, errors)
    }
    do throws(CNIError) {
      try chosen.initialize(settings)
    } catch {
      errors.append("network plugin \"\(name)\" failed init: \(error)")
    }
    return (chosen, errors)
  }

  /// Counterpart of kubelet's `UnescapePluginName`: file names cannot hold `/`, so
  /// `~` stands for it.
  public static func unescapePluginName(_ name: String) -> String {
    String(name.map { $0 == "~" ? "/" : $0 })
  }
}

/// Kubernetes' qualified names: an optional DNS subdomain and `/`, then a name of at
/// most 63 characters.
enum QualifiedName {
  static func fault(in text: String) -> String? {
    let parts = text.utf8.split(separator: 0x2F, omittingEmptySubsequences: false)
    switch parts.count {
    case 1: return isName(parts[0]) ? nil : nameRule
    case 2:
      if !isSubdomain(parts[0]) { return "the part before / must be a DNS subdomain" }
      return isName(parts[1]) ? nil : nameRule
    default: return "at most one / is allowed"
    }
  }

  private static let nameRule =
    "must be 1 to 63 letters, digits, '-', '_' or '.', with a letter or digit at each end"

  private static func isName(_ name: Substring.UTF8View) -> Bool {
    guard (1...63).contains(name.count), let first = name.first, let last = name.last else {
      return false
    }
    return isAlphanumeric(first) && isAlphanumeric(last)
      && name.allSatisfy { isAlphanumeric($0) || $0 == 0x2D || $0 == 0x5F || $0 == 0x2E }
  }

  private static func isSubdomain(_ name: Substring.UTF8View) -> Bool {
    guard (1...253).contains(name.count) else { return false }
    return name.split(separator: 0x2E, omittingEmptySubsequences: false).allSatisfy { label in
      guard let first = label.first, let last = label.last else { return false }
      return isLowerAlphanumeric(first) && isLowerAlphanumeric(last)
        && label.allSatisfy { isLowerAlphanumeric($0) || $0 == 0x2D }
    }
  }

  private static func isLowerAlphanumeric(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte)
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    isLowerAlphanumeric(byte) || (0x41...0x5A).contains(byte)
  }
}
