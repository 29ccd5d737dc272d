import Addresses
import CNI
package import IPAM
import Linux
package import PluginKit

extension PodRequest {
  /// Address management by the request's configuration; nil means no addresses (L2).
  ///
  /// - Parameters:
  ///   - host: says where leases are.
  ///   - knownArguments: the keys of CNI_ARGS that the plugin itself knows.
  /// - Returns: what answers for addresses.
  package func addressManagement(
    _ host: PluginHost, knownArguments: [String]
  ) -> IPAMDriver? {
    IPAMDriver(
      for: IPAMCall(
        containerID: sandboxID, ifName: ifName, arguments: arguments,
        knownArguments: knownArguments, configuration: configuration,
        environment: environment.sorted { $0.key < $1.key }.map { ($0.key, $0.value) },
        searchPath: searchPath, dataDirectory: host.dataDirectory, deadline: deadline))
  }
}
