import CNI
import DaemonAPI
import JSON

extension NetworkConfiguration {
  /// What a plugin gets of a `/delegate` request's configuration.
  ///
  /// A list of one plugin becomes that plugin's configuration, as libcni makes it; a longer one
  /// stays a list, which is attached as a set. The attributes reach the plugins as with Multus:
  /// `mac` and `ips` in `runtimeConfig` for those that declare these capabilities, and in any case
  /// as `MAC` and `IP` in CNI_ARGS; `cni-args` merged into every plugin's `args.cni`.
  ///
  /// - Parameter attributes: `interfaceAttributes` of the request.
  /// - Returns: the configuration, and what an ADD has in CNI_ARGS besides.
  /// - Throws: code 7 for a list of no plugin, 6 for what is no list of objects.
  func asDelegate(
    with attributes: DelegateInterfaceAttributes?
  ) throws(CNIError) -> (configuration: NetworkConfiguration, arguments: [String]) {
    let network = try withoutListOfOne()
    let plugins = try network.listed()
    var asked = JSONObject()
    var arguments: [String] = []
    func declares(_ capability: String) -> Bool {
      plugins.contains {
        $0.value(inAnyCase: "capabilities")?[capability]?.bool == true
      }
    }
    if let mac = attributes?.mac, !mac.isEmpty {
      if declares("mac") { asked["mac"] = .string(mac) }
      arguments.append("MAC=\(mac)")
    }
    if let ips = attributes?.ips, !ips.isEmpty {
      if declares("ips") { asked["ips"] = .array(ips.map { JSONValue.string($0) }) }
      arguments.append("IP=\(ips.joined(separator: ","))")
    }
    var changes: [(key: String, value: JSONValue?)] = []
    if !asked.isEmpty {
      let runtime = (network.runtimeConfig ?? JSONObject()).merged(asked)
      changes.append(("runtimeConfig", .object(runtime)))
    }
    let isList = network.object.value(inAnyCase: "plugins") != nil
    if let extra = attributes?.cniArgs, !extra.isEmpty {
      if isList {
        let all = plugins.map { JSONValue.object($0.withArguments(extra)) }
        changes.append(("plugins", .array(all)))
      } else {
        let own = network.object.withArguments(extra)
        changes.append(("args", own.value(inAnyCase: "args")))
      }
    }
    if !isList, network.object.value(inAnyCase: "capabilities") != nil {
      changes.append(("capabilities", nil))
    }
    return (try network.replacing(changes), arguments)
  }

  private func withoutListOfOne() throws(CNIError) -> NetworkConfiguration {
    guard object.value(inAnyCase: "plugins") != nil else { return self }
    let plugins = try listed()
    guard var plugin = plugins.first else {
      throw CNIError(.invalidConfiguration, "plugins: a delegated network has no plugin")
    }
    if plugins.count > 1 { return self }
    plugin.set(inAnyCase: "name", to: .string(name))
    plugin.set(inAnyCase: "cniVersion", to: .string(cniVersion))
    return try NetworkConfiguration(plugin)
  }

  /// The objects of `plugins`, or the configuration's own where it is no list.
  private func listed() throws(CNIError) -> [JSONObject] {
    guard object.value(inAnyCase: "plugins") != nil else { return [object] }
    return try MemberReader(object, .configuration).readers("plugins").map(\.object)
  }
}

extension JSONObject {
  /// This object with the members of another one over it.
  fileprivate func merged(_ other: JSONObject) -> JSONObject {
    var result = self
    for member in other.members { result.set(inAnyCase: member.key, to: member.value) }
    return result
  }

  /// A plugin's configuration with more in `args.cni`.
  fileprivate func withArguments(_ extra: JSONObject) -> JSONObject {
    var args = value(inAnyCase: "args")?.object ?? JSONObject()
    let given = (args.value(inAnyCase: "cni")?.object ?? JSONObject()).merged(extra)
    args.set(inAnyCase: "cni", to: .object(given))
    var result = self
    result.set(inAnyCase: "args", to: .object(args))
    return result
  }
}
