import CNI
import JSON
import Libcni
import PluginKit

/// The networks that a configuration names, each with its interface.
///
/// Three forms: `delegates`, a list of configurations or lists, of which the first is the pod's
/// primary network; `delegate`, one of these; and a whole list, with `plugins`, as one network. A
/// member without a name or a version has those of the configuration.
struct DelegateSet: Sendable {
  /// One network of the set.
  struct Member: Sendable {
    /// From 0; the first is the primary one.
    let index: Int
    let list: NetworkList
    /// The interface in the pod.
    let ifName: String
  }

  /// The keys that are read.
  static let keys = KeyTable([
    "delegates", "delegate", "plugins", "executed", "cacheDir", "disableCheck", "disableGC",
    "loadOnlyInlinedPlugins", "cniVersions",
  ])

  /// In the order of an ADD.
  let members: [Member]
  /// Types that are executed although this daemon has them.
  let executed: Set<String>
  /// Where runtimes of libcni keep what they remember: `cacheDir`, as with Multus.
  let cacheDirectory: String

  /// Where a network may have it without being asked.
  private static let cacheDirectories = ["/var/lib/cni", "/run/cni"]

  /// The names of all of them.
  var networks: Set<String> { Set(members.map(\.list.name)) }

  /// - Throws: code 7 if the network's author has no say there.
  func checkCacheDirectory(_ paths: AllowedPaths) throws(CNIError) {
    try paths.check(cacheDirectory, "cacheDir", own: Self.cacheDirectories)
  }

  /// What is remembered there.
  var cache: ResultCache { ResultCache(directory: cacheDirectory) }

  /// The most networks of one pod, and the most plugins of all of them.
  private static let most = 64
  /// Keys by which Multus finds more networks than the configuration names.
  private static let keysOfMultus = ["kubeconfig", "clusterNetwork", "defaultNetworks"]

  /// Reads what is there of a configuration.
  static func inspect(_ configuration: NetworkConfiguration) throws(CNIError) {
    let reader = MemberReader(configuration.object, .configuration)
    if ["delegates", "delegate", "plugins"].contains(where: { reader.member($0) != nil }) {
      _ = try DelegateSet(configuration, ifName: "eth0")
    } else {
      _ = try settings(reader)
    }
  }

  private static func settings(
    _ reader: MemberReader
  ) throws(CNIError) -> (executed: Set<String>, cacheDirectory: String) {
    let directory = try reader.string("cacheDir") ?? "/var/lib/cni"
    guard directory.utf8.first == 0x2F else {
      throw CNIError(.invalidConfiguration, "cacheDir must be an absolute path")
    }
    return (Set(try reader.strings("executed")), directory)
  }

  /// Reads a configuration.
  ///
  /// - Parameters:
  ///   - configuration: the network configuration.
  ///   - ifName: the interface of the primary network; others are `net1` and so on.
  /// - Throws: code 6 for a wrong type, 7 for what cannot be.
  init(_ configuration: NetworkConfiguration, ifName: String) throws(CNIError) {
    let reader = MemberReader(configuration.object, .configuration)
    (executed, cacheDirectory) = try Self.settings(reader)
    try Self.refuse(reader)
    var lists: [NetworkList] = []
    if reader.member("plugins") != nil {
      lists.append(try NetworkList(parsing: configuration.bytes))
    } else {
      var entries = try reader.readers("delegates")
      if entries.isEmpty, let one = try reader.reader("delegate") { entries = [one] }
      for entry in entries { lists.append(try Self.list(entry, configuration)) }
    }
    if lists.isEmpty {
      throw CNIError(
        .invalidConfiguration,
        "delegates is empty: it names the pod's networks; for those of pods' annotations keep "
          + "Multus, and install cni-shim under the type of each network")
    }
    if lists.count > Self.most {
      throw CNIError(
        .invalidConfiguration, "\(lists.count) delegates: a pod has at most \(Self.most)")
    }
    let plugins = lists.flatMap(\.plugins)
    if plugins.count > Self.most {
      throw CNIError(
        .invalidConfiguration, "\(plugins.count) plugins: a set has at most \(Self.most)")
    }
    for type in executed.sorted() where !plugins.contains(where: { $0.type == type }) {
      throw CNIError(
        .invalidConfiguration, "executed: \(goQuoted(type)) is no type of this set")
    }
    var members: [Member] = []
    for (index, list) in lists.enumerated() {
      if list.plugins.isEmpty {
        throw CNIError(.invalidConfiguration, "network \(goQuoted(list.name)) has no plugins")
      }
      members.append(
        Member(index: index, list: list, ifName: index == 0 ? ifName : "net\(index)"))
    }
    for member in members.dropFirst() where member.ifName == ifName {
      throw CNIError(
        .invalidConfiguration,
        "\(ifName) would be the interface of two networks: the others have net1 and so on")
    }
    self.members = members
  }

  /// - Throws: code 7 for keys that exclude each other, or that mean what is not served.
  private static func refuse(_ reader: MemberReader) throws(CNIError) {
    for key in keysOfMultus where reader.member(key) != nil {
      throw CNIError(
        .invalidConfiguration,
        "\(key): cnid serves the networks that the configuration itself names; keep Multus for "
          + "those of pods' annotations, or remove the key")
    }
    let given = ["plugins", "delegates", "delegate"].filter { reader.member($0) != nil }
    if given.count > 1 {
      throw CNIError(
        .invalidConfiguration, "\(given.joined(separator: " and ")) exclude each other")
    }
  }

  private static func list(
    _ entry: MemberReader, _ configuration: NetworkConfiguration
  ) throws(CNIError) -> NetworkList {
    var object = entry.object
    if try entry.string("name")?.isEmpty ?? true {
      object.set(inAnyCase: "name", to: .string(configuration.name))
    }
    if entry.member("cniVersion") == nil, entry.member("cniVersions") == nil {
      object.set(inAnyCase: "cniVersion", to: .string(configuration.cniVersion))
    }
    do throws(CNIError) {
      return try NetworkList(parsing: JSONValue.object(object).encoded())
    } catch {
      throw error.prefixed(by: "\(entry.path): ")
    }
  }
}
