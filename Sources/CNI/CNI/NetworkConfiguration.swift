public import JSON

/// A network configuration as a plugin gets it on stdin: the exact bytes and what they say.
///
/// Making one is the skeleton's check of stdin: an object with a valid `name`. The members that the
/// specification knows must have their types, so that nothing is mistaken for absent; `null` counts
/// as absent, all other members are passed through unread. A key counts in any case of its letters,
/// exactly before otherwise; if it is given twice, the last one counts. Counterpart of Go's
/// `types.NetConf`.
public struct NetworkConfiguration: Sendable {
  /// The bytes as they came, or as they were rebuilt by ``replacing(_:)``.
  public let bytes: [UInt8]

  /// The parsed bytes; the members' ranges lie in ``bytes``.
  public let object: JSONObject

  /// The version's text as given, which may be no version at all; `0.1.0` if it is absent or empty.
  public let cniVersion: String

  /// The network's name, valid by ``CNIValidation/networkName(_:)``.
  public let name: String

  /// The plugin, a name without path separators; nil if it is absent or empty.
  public let type: String?

  /// The address management's part.
  public let ipam: JSONObject?

  /// The address management plugin, a name without path separators; nil means no addresses (L2).
  public let ipamType: String?

  /// What the runtime gives for the declared capabilities.
  public let runtimeConfig: JSONObject?

  /// `args.cni`, the structured successor of CNI_ARGS, which wins where both give the same item.
  public let cniArgs: JSONObject?

  /// The name servers that the configuration gives.
  public let dns: CNIResult.DNS

  /// The capabilities that the configuration declares, by name, with true or false.
  public let capabilities: JSONObject?

  /// The result of the plugins before this one, or of ADD; ``prevResult()`` reads it.
  public let previous: JSONObject?

  /// Checks and reads a configuration.
  ///
  /// - Throws: code 6 `error unmarshall network config: …` for what is not JSON, no object, or has
  ///   a well-known member of a wrong type; code 7 for a missing or invalid `name` and for a `type`
  ///   or `ipam.type` that is no file name. The name is checked first.
  public init(_ bytes: [UInt8]) throws(CNIError) {
    let reader = try MemberReader(
      parsing: bytes, .configuration, keys: NetworkConfiguration.keys)
    self.bytes = bytes
    object = reader.object
    name = try reader.string("name") ?? ""
    try CNIValidation.networkName(name)
    let version = try reader.string("cniVersion") ?? ""
    cniVersion = version.isEmpty ? CNIVersion.v010.description : version
    type = try reader.pluginName("type")
    ipam = try reader.object("ipam")
    ipamType = try reader.reader("ipam")?.pluginName("type")
    runtimeConfig = try reader.object("runtimeConfig")
    cniArgs = try reader.reader("args")?.object("cni")
    dns = try reader.dns()
    capabilities = try reader.object("capabilities")
    previous = try reader.object("prevResult")
  }

  /// Prints a configuration that was built and reads it back.
  ///
  /// - Throws: as `init(_:)`.
  public init(_ object: JSONObject) throws(CNIError) {
    try self.init(JSONValue.object(object).encoded())
  }
}

extension NetworkConfiguration {
  /// What names a network, a version and a plugin in a configuration with faults elsewhere.
  ///
  /// Nil if not even the name can be read.
  package init?(namesIn bytes: [UInt8]) {
    guard let object = (try? JSONValue.parse(bytes))?.object else { return nil }
    func read(_ keys: [String]) -> NetworkConfiguration? {
      let names = keys.compactMap { key in
        object.value(inAnyCase: key)?.string.map { (key, JSONValue.string($0)) }
      }
      return try? NetworkConfiguration(JSONObject(names))
    }
    // The fault may be in one of these.
    guard
      let configuration = read(["cniVersion", "name", "type", "plugin"])
        ?? read(["cniVersion", "name"])
    else { return nil }
    self = configuration
  }
}

extension NetworkConfiguration: Equatable {
  /// Compares the bytes.
  public static func == (left: NetworkConfiguration, right: NetworkConfiguration) -> Bool {
    left.bytes == right.bytes
  }
}

extension NetworkConfiguration {
  /// The version, which must be exactly one of the supported ones.
  ///
  /// - Throws: code 1 `incompatible CNI versions`.
  public func version() throws(CNIError) -> CNIVersion {
    try CNIVersion.check(cniVersion, for: .add)
  }

  /// Checks that the version is supported and has the verb (see `CNIVersion`).
  ///
  /// - Throws: code 1, or code 6 if CHECK, GC or STATUS come with a text that is no version.
  public func checkVersion(for command: CNICommand) throws(CNIError) {
    try CNIVersion.check(cniVersion, for: command)
  }

  /// The result of the plugins before this one, or of ADD; nil if there is none.
  ///
  /// - Throws: code 6 or 1, `could not parse prevResult: …`.
  public func prevResult() throws(CNIError) -> CNIResult? {
    guard let previous else { return nil }
    let version = try version()
    do throws(CNIError) {
      return try CNIResult(.object(previous), defaultVersion: version)
    } catch {
      throw error.prefixed(by: "could not parse prevResult: ")
    }
  }

  /// Whether the configuration declares a capability, such as `mac`, as true.
  public func declares(capability: String) -> Bool {
    capabilities?[capability]?.bool == true
  }
}

extension MemberReader {
  /// A plugin's name, checked; absent, null and empty are all nil.
  fileprivate func pluginName(_ key: String) throws(CNIError) -> String? {
    guard let name = try string(key), !name.isEmpty else { return nil }
    try CNIValidation.pluginName(name)
    return name
  }
}
