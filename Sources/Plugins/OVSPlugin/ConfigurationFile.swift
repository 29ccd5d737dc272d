import CNI
import JSON
import Linux
import PluginKit
import Workbench

/// ovs-cni's flat file of defaults, whose keys count where a network configuration has none.
enum ConfigurationFile {
  /// Where it is looked for after `configuration_path`; the first that exists is read.
  private static let places = [
    "/etc/kubernetes/cni/net.d/ovs.d/ovs.conf", "/etc/cni/net.d/ovs.d/ovs.conf",
  ]

  /// What a network may name instead.
  private static let directories = ["/etc/cni", "/etc/kubernetes/cni", "/etc/cnid"]

  /// What the file has and a configuration lacks.
  ///
  /// - Throws: code 5 if the file that the configuration names cannot be read, 6 if it
  ///   is no JSON object, 7 if a network must not name it.
  static func defaults(
    for configuration: NetworkConfiguration, _ paths: AllowedPaths
  ) throws(CNIError) -> JSONObject {
    let named = configuration.object.value(inAnyCase: "configuration_path")?.string ?? ""
    if !named.isEmpty { try paths.check(named, "configuration_path", own: directories) }
    for path in (named.isEmpty ? [] : [named]) + places {
      guard let object = try JSONObject.inFile(path, mayBeMissing: path != named) else { continue }
      return JSONObject(
        object.members.filter { configuration.object.value(inAnyCase: $0.key) == nil }
          .map { ($0.key, $0.value) })
    }
    return JSONObject()
  }
}
