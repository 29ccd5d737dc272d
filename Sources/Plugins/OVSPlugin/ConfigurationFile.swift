import CNI
import JSON
import Linux
import PluginKit

/// ovs-cni's flat file of defaults, whose keys count where a network configuration has none.
enum ConfigurationFile {
  /// Where it is looked for after `configuration_path`; the first that exists is read.
  private static let places = [
    "/etc/kubernetes/cni/net.d/ovs.d/ovs.conf", "/etc/cni/net.d/ovs.d/ovs.conf",
  ]

  /// The most that is read of a file, in bytes.
  private static let limit = 1 << 20

  /// What the file has and a configuration lacks.
  ///
  /// - Throws: code 5 if the file that the configuration names cannot be read, 6 if it
  ///   is no JSON object.
  static func defaults(for configuration: NetworkConfiguration) throws(CNIError) -> JSONObject {
    let named = configuration.object["configuration_path"]?.string ?? ""
    for path in (named.isEmpty ? [] : [named]) + places {
      guard let bytes = try read(path, isNamed: path == named) else { continue }
      guard let object = (try? JSONValue.parse(bytes))?.object else {
        throw CNIError(.decodingFailure, "\(path): not a JSON object")
      }
      return JSONObject(
        object.members.filter { configuration.object[$0.key] == nil }.map { ($0.key, $0.value) })
    }
    return JSONObject()
  }

  private static func read(_ path: String, isNamed: Bool) throws(CNIError) -> [UInt8]? {
    do throws(SystemError) {
      return try Files.read(path, limit: limit)
    } catch {
      if error.errno == .noEntry || error.errno == .notDirectory, !isNamed { return nil }
      throw CNIError(error, doing: "failed to read \(path): \(error.errno)")
    }
  }
}
