package import CNI
package import JSON

/// One plugin of a list: its own configuration, without what it shares with the others.
package struct ListedPlugin: Sendable, Equatable {
  /// The configuration as it stands in the list or in its file.
  package let object: JSONObject
  /// The plugin's type, a name without path separators.
  package let type: String
  /// The capabilities that it declares as true.
  package let capabilities: [String]

  /// Reads one plugin's configuration, as it lies in a file beside a list.
  ///
  /// - Throws: code 6 for what is not JSON or has a wrong type, 7 for a missing or invalid type.
  package init(parsing bytes: [UInt8]) throws(CNIError) {
    try self.init(MemberReader(parsing: bytes, CNIMembers.plugin))
  }

  init(_ reader: MemberReader) throws(CNIError) {
    object = reader.object
    type = try reader.required("type").string()
    try CNIValidation.pluginName(type)
    var declared: [String] = []
    let capabilities = try reader.reader("capabilities")
    for key in capabilities?.object.keys ?? []
    where try capabilities?.flag(key) == true && !declared.contains(key) { declared.append(key) }
    self.capabilities = declared
  }

  /// What libcni calls it in an error: its type, and its own name if it has one.
  package var description: String {
    let name = object.value(inAnyCase: "name")?.string ?? ""
    return "type=\(goQuoted(type))" + (name.isEmpty ? "" : " name=\(goQuoted(name))")
  }

  /// What the plugin gets on stdin (CNI specification, section 3).
  ///
  /// The network's name and version, the result of the plugins before it, and of what the runtime
  /// offers only what it declares. `capabilities` stays, as with libcni: plugins read it. Keys that
  /// begin with `cni.dev/` go: only the runtime may write those.
  ///
  /// - Parameters:
  ///   - list: the list that it stands in.
  ///   - previous: the result of the plugins before it, or that of the whole ADD.
  ///   - offered: the runtime's arguments by capability.
  /// - Returns: its configuration.
  /// - Throws: as `NetworkConfiguration.init(_:)`; code 1 or 999 if the result cannot be said in
  ///   the list's version.
  package func configuration(
    in list: NetworkList, previous: CNIResult? = nil, offered: JSONObject = JSONObject()
  ) throws(CNIError) -> NetworkConfiguration {
    var own = object
    own.members.removeAll { $0.key.utf8.starts(with: "cni.dev/".utf8) }
    own.set(inAnyCase: "cniVersion", to: .string(list.version))
    own.set(inAnyCase: "name", to: .string(list.name))
    if let previous {
      let version = try CNIVersion.check(list.version, for: .add)
      own.set(inAnyCase: "prevResult", to: try previous.json(as: version))
    }
    var wanted = JSONObject()
    for capability in capabilities {
      if let value = offered[capability] { wanted[capability] = value }
    }
    if !wanted.isEmpty { own.set(inAnyCase: "runtimeConfig", to: .object(wanted)) }
    return try NetworkConfiguration(own)
  }
}
