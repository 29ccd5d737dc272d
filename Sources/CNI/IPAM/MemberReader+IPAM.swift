import Addresses
import CNI
import JSON

/// Reading the parts of a configuration that concern address management.
extension MemberReader {
  /// A reader of a part of the configuration.
  ///
  /// - Parameters:
  ///   - object: the part.
  ///   - path: where it stands, for errors.
  init(_ object: JSONObject, path: String) {
    self.init(object, path: path, .configuration)
  }

  /// A reader of the member `ipam`.
  ///
  /// - Parameter configuration: the network configuration.
  /// - Returns: the reader.
  /// - Throws: code 7 if there is no such member.
  static func ipam(of configuration: NetworkConfiguration) throws(CNIError) -> MemberReader {
    guard let ipam = configuration.ipam else {
      throw CNIError(.invalidConfiguration, "IPAM config missing 'ipam' key")
    }
    return MemberReader(ipam, path: "ipam")
  }

  /// The most range sets, addresses or requests of one network.
  static let mostEntries = 256

  /// Refuses more than anybody needs before work is done for each.
  ///
  /// - Throws: code 7.
  static func checkCount(_ count: Int, _ what: String) throws(CNIError) {
    guard count > mostEntries else { return }
    throw CNIError(
      .invalidConfiguration, "\(count) \(what): at most \(mostEntries) can be used in one network")
  }

  /// The routes in the member `routes`, with all of their members whatever the version.
  ///
  /// - Returns: none if absent.
  /// - Throws: code 6.
  func routes() throws(CNIError) -> [CNIResult.Route] {
    var routes: [CNIResult.Route] = []
    for reader in try readers("routes") { routes.append(try reader.route(extended: true)) }
    return routes
  }

  /// The objects in an array of arrays.
  ///
  /// - Parameter key: the member; none if absent.
  /// - Returns: a reader for each object.
  /// - Throws: code 6.
  func lists(_ key: String) throws(CNIError) -> [[MemberReader]] {
    var lists: [[MemberReader]] = []
    for inner in try member(key)?.elements() ?? [] { lists.append(try inner.readers()) }
    return lists
  }

  /// A path: absolute, without a zero byte that would cut it short.
  ///
  /// - Parameter key: the member.
  /// - Returns: nil if absent or empty.
  /// - Throws: code 7, or 6 for no text.
  func absolutePath(_ key: String) throws(CNIError) -> String? {
    guard let text = try string(key), !text.isEmpty else { return nil }
    guard text.utf8.first == 0x2F, !text.utf8.contains(0) else {
      throw CNIError(.invalidConfiguration, "\(path).\(key) must be an absolute path")
    }
    return text
  }
}
