import CNI
import DaemonAPI
import JSON

extension NetworkConfiguration {
  /// What a plugin gets of a `/delegate` request's configuration.
  ///
  /// A list of one plugin becomes that plugin's configuration, as libcni makes it. The attributes
  /// reach the plugin as a runtime would pass them: `mac` and `ips` in `runtimeConfig` if the
  /// configuration declares those capabilities, else as `MAC` and `IP` in CNI_ARGS, as with Multus;
  /// `cni-args` merged into `args.cni`.
  ///
  /// - Parameter attributes: `interfaceAttributes` of the request.
  /// - Returns: the plugin's configuration, and what an ADD has in CNI_ARGS besides.
  /// - Throws: code 7 for a list of several plugins, or of none.
  func asDelegate(
    with attributes: DelegateInterfaceAttributes?
  ) throws(CNIError) -> (configuration: NetworkConfiguration, arguments: [String]) {
    let single = try onlyPlugin()
    var changes: [(key: String, value: JSONValue?)] = []
    var asked = JSONObject()
    var arguments: [String] = []
    if let mac = attributes?.mac, !mac.isEmpty {
      if single.declares(capability: "mac") {
        asked["mac"] = .string(mac)
      } else {
        arguments.append("MAC=\(mac)")
      }
    }
    if let ips = attributes?.ips, !ips.isEmpty {
      if single.declares(capability: "ips") {
        asked["ips"] = .array(ips.map { JSONValue.string($0) })
      } else {
        arguments.append("IP=\(ips.joined(separator: ","))")
      }
    }
    if !asked.isEmpty {
      let runtime = (single.runtimeConfig ?? JSONObject()).merged(asked)
      changes.append(("runtimeConfig", .object(runtime)))
    }
    if let extra = attributes?.cniArgs, !extra.isEmpty {
      var args = single.object.value(inAnyCase: "args")?.object ?? JSONObject()
      let given = (single.cniArgs ?? JSONObject()).merged(extra)
      args.set(inAnyCase: "cni", to: .object(given))
      changes.append(("args", .object(args)))
    }
    if single.object.value(inAnyCase: "capabilities") != nil {
      changes.append(("capabilities", nil))
    }
    return (try single.replacing(changes), arguments)
  }

  private func onlyPlugin() throws(CNIError) -> NetworkConfiguration {
    guard let list = object.value(inAnyCase: "plugins") else { return self }
    guard let plugins = list.array, plugins.count == 1, var plugin = plugins.first?.object else {
      throw CNIError(
        .invalidConfiguration, "plugins: a delegated network must have exactly one plugin here")
    }
    plugin.set(inAnyCase: "name", to: .string(name))
    plugin.set(inAnyCase: "cniVersion", to: .string(cniVersion))
    return try NetworkConfiguration(plugin)
  }
}

extension JSONObject {
  /// This object with the members of another one over it.
  fileprivate func merged(_ other: JSONObject) -> JSONObject {
    var result = self
    for member in other.members { result.set(inAnyCase: member.key, to: member.value) }
    return result
  }
}
