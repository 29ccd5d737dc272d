package import CNI
import JSON

/// A network as a container runtime has it: plugins that serve it one after the other.
///
/// It is read as libcni reads it (`libcni/conf.go`), with three differences: keys count in any case
/// of their letters, as everywhere here; a name is checked when the list is read; and `cniVersions`
/// counts in one plugin's configuration too.
package struct NetworkList: Sendable, Equatable {
  /// The network's name, valid by `CNIValidation.networkName`.
  package let name: String
  /// The version that every plugin of the list gets: the highest of `cniVersions` and `cniVersion`
  /// that is supported; `0.1.0` if neither is there.
  package let version: String
  /// Whether nobody may ask for a CHECK.
  package let disablesCheck: Bool
  /// Whether nobody may ask for a GC.
  package let disablesGC: Bool
  /// Whether plugins come from the list alone, and not also from files beside it.
  package let takesOnlyInlined: Bool
  /// In the order of an ADD.
  package let plugins: [ListedPlugin]
  /// The list as it was read: what the result cache keeps.
  package let bytes: [UInt8]

  /// Reads a list, or one plugin's configuration as a list of one.
  ///
  /// A list may be without plugins if they come from files beside it: see ``withPlugins(_:)``.
  ///
  /// - Parameter bytes: a `.conflist`, `.conf` or `.json` file, or a configuration on stdin.
  /// - Throws: code 6 for what is not JSON or has a wrong type, 7 for a value that cannot be.
  package init(parsing bytes: [UInt8]) throws(CNIError) {
    let reader = try MemberReader(parsing: bytes, CNIMembers.list)
    if reader.member("plugins") == nil, reader.member("type") != nil {
      try self.init(onePlugin: reader)
    } else {
      try self.init(reader, bytes)
    }
  }

  private init(_ reader: MemberReader, _ bytes: [UInt8]) throws(CNIError) {
    name = try reader.networkName()
    version = try reader.chosenVersion()
    disablesCheck = try reader.switched("disableCheck")
    disablesGC = try reader.switched("disableGC")
    takesOnlyInlined = try reader.switched("loadOnlyInlinedPlugins")
    plugins = try reader.plugins(mayBeMissing: !takesOnlyInlined)
    self.bytes = bytes
  }

  /// As libcni makes a list of a configuration: its bytes are those of the list.
  private init(onePlugin reader: MemberReader) throws(CNIError) {
    name = try reader.networkName()
    version = try reader.chosenVersion()
    (disablesCheck, disablesGC, takesOnlyInlined) = (false, false, true)
    plugins = [try ListedPlugin(reader)]
    let list: JSONValue = [
      "cniVersion": .string(version), "name": .string(name),
      "plugins": .array([.object(reader.object)]),
    ]
    bytes = list.encoded()
  }

  /// The list with plugins of files behind its own.
  package func withPlugins(_ more: [ListedPlugin]) -> NetworkList {
    NetworkList(self, plugins + more)
  }

  private init(_ other: NetworkList, _ plugins: [ListedPlugin]) {
    (name, version, bytes) = (other.name, other.version, other.bytes)
    (disablesCheck, disablesGC) = (other.disablesCheck, other.disablesGC)
    takesOnlyInlined = other.takesOnlyInlined
    self.plugins = plugins
  }

  /// Whether the list's version, supported or not, is at least this one.
  package func isAtLeast(_ minimum: CNIVersion) -> Bool {
    CNIVersion.isVersion(version, atLeast: minimum)
  }

  /// All that its plugins declare, each once.
  package var capabilities: [String] {
    var all: [String] = []
    for plugin in plugins {
      for capability in plugin.capabilities where !all.contains(capability) {
        all.append(capability)
      }
    }
    return all
  }
}

extension CNIMembers {
  /// The words of libcni before what is wrong with a list.
  static var list: CNIMembers {
    CNIMembers("error parsing configuration list: ", invalid: .invalidConfiguration)
  }

  /// The words of libcni before what is wrong with one plugin's configuration.
  static var plugin: CNIMembers {
    CNIMembers("error parsing configuration: ", invalid: .invalidConfiguration)
  }
}

extension MemberReader {
  fileprivate func networkName() throws(CNIError) -> String {
    guard let name = try string("name"), !name.isEmpty else {
      throw CNIError(.invalidConfiguration, "\(dialect.failure)no name")
    }
    try CNIValidation.networkName(name)
    return name
  }

  fileprivate func chosenVersion() throws(CNIError) -> String {
    let own = try string("cniVersion") ?? ""
    let others = try strings("cniVersions")
    if !others.isEmpty {
      let all = own.isEmpty ? others : others + [own]
      if let best = try CNIVersion.newestSupported(all) { return best.description }
    }
    return own.isEmpty ? CNIVersion.v010.description : own
  }

  /// True or false, which may stand in quotes.
  fileprivate func switched(_ key: String) throws(CNIError) -> Bool {
    guard let member = member(key) else { return false }
    guard let text = member.value.string else { return try member.flag() }
    switch text.lowercased() {
    case "true": return true
    case "false": return false
    default: throw invalid(key, "must be true or false, not \(goQuoted(text))")
    }
  }

  fileprivate func plugins(mayBeMissing: Bool) throws(CNIError) -> [ListedPlugin] {
    guard let member = member("plugins") else {
      if mayBeMissing { return [] }
      throw CNIError(
        .invalidConfiguration,
        "\(dialect.failure)loadOnlyInlinedPlugins is true, and there is no \"plugins\"")
    }
    var plugins: [ListedPlugin] = []
    for plugin in try member.readers() { plugins.append(try ListedPlugin(plugin)) }
    if plugins.isEmpty {
      throw CNIError(.invalidConfiguration, "\(dialect.failure)no plugins in list")
    }
    return plugins
  }
}
