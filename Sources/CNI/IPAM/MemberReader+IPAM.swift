import Addresses
package import CNI
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
  /// - Parameters:
  ///   - configuration: the network configuration.
  ///   - keys: what is read of it.
  /// - Returns: the reader.
  /// - Throws: code 7 if there is no such member.
  static func ipam(
    of configuration: NetworkConfiguration, keys: KeyTable
  ) throws(CNIError) -> MemberReader {
    guard let ipam = configuration.ipam else {
      throw CNIError(.invalidConfiguration, "IPAM config missing 'ipam' key")
    }
    return MemberReader(ipam, path: "ipam", .configuration, keys: keys)
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
    for inner in try member(key)?.elements() ?? [] {
      if inner.value.object != nil {
        throw CNIError(
          .decodingFailure, "\(dialect.failure)\(at(key)) is a list of lists: [[{…}]]")
      }
      lists.append(try inner.readers())
    }
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

extension CNIResult.IP {
  /// Checks that a link can have the address, and that the gateway is of its family.
  ///
  /// The kernel would drop such an address without a word, and a route would go without such a
  /// gateway.
  ///
  /// - Parameter code: the code of who named the address.
  /// - Throws: that code.
  package func checkFit(_ code: CNIErrorCode) throws(CNIError) {
    if address.address.isUnspecified || address.address.isMulticast {
      throw CNIError(code, "\(address) is no address that a link can have")
    }
    if let gateway, gateway.family != address.address.family {
      throw CNIError(code, gateway.isOfOtherFamily(than: address))
    }
  }
}
