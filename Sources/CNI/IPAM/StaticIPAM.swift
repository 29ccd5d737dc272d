import Addresses
package import CNI
import JSON

/// Addresses that the configuration or the runtime names, nothing kept: the reference's `static`.
package struct StaticIPAM: Sendable {
  private let call: IPAMCall

  /// Creates one for a call; nothing is read yet.
  package init(_ call: IPAMCall) { self.call = call }

  /// The addresses, routes and name servers that were named; nothing is changed.
  ///
  /// - Returns: the result.
  /// - Throws: code 4, 6 or 7 with the reference's texts; 103 if nobody names an address.
  package func add() throws(CNIError) -> CNIResult {
    let configuration = try readConfiguration()
    if configuration.ips.isEmpty {
      throw CNIError(
        .ipam,
        "IPAM plugin returned missing IP config: neither ipam.addresses nor the pod's request "
          + "names an address")
    }
    return CNIResult(
      ips: configuration.ips, routes: configuration.routes, dns: configuration.dns)
  }

  /// Checks that the result of ADD has every address, with its gateway.
  ///
  /// The reference lets an address pass that the result lacks altogether.
  ///
  /// - Throws: code 103 with the reference's text, 4, 6 or 7 for bad input.
  package func check() throws(CNIError) {
    let configuration = try readConfiguration()
    guard let result = try call.configuration.prevResult() else {
      throw CNIError(.invalidConfiguration, "Required prevResult missing")
    }
    for ip in configuration.ips {
      let isThere = result.ips.contains {
        $0.address.address == ip.address.address && $0.gateway == ip.gateway
      }
      if !isThere {
        throw CNIError(
          .ipam,
          "static: Failed to match addr \(ip.address.address) on interface \(call.ifName)")
      }
    }
  }

  /// Checks that ADD would accept the configuration.
  ///
  /// - Throws: code 4, 6 or 7.
  package func status() throws(CNIError) { _ = try readConfiguration() }

  private func readConfiguration() throws(CNIError) -> StaticConfiguration {
    try StaticConfiguration(
      call.configuration, arguments: call.arguments, known: call.knownArguments)
  }
}

/// What `static` reads of a network configuration and of CNI_ARGS.
struct StaticConfiguration: Equatable, Sendable {
  /// The keys of CNI_ARGS that `static` knows.
  static let knownArguments = ["IP", "GATEWAY"]
  /// The keys of `ipam` that `static` knows.
  static let keys = KeyTable(
    ["type"],
    inside: [
      ("addresses", KeyTable(["address", "gateway"])), ("routes", CNIResult.Route.keys),
      ("dns", CNIResult.DNS.keys),
    ])

  /// The addresses that count in the end.
  let ips: [CNIResult.IP]
  let routes: [CNIResult.Route]
  let dns: CNIResult.DNS

  /// Reads and checks everything.
  ///
  /// `runtimeConfig.ips` replaces all other sources, `args.cni.ips` all but that one; CNI_ARGS'
  /// `IP` is added to the configuration's addresses.
  ///
  /// - Parameters:
  ///   - configuration: the network configuration.
  ///   - arguments: CNI_ARGS.
  ///   - known: keys of CNI_ARGS that somebody else knows.
  /// - Throws: code 4 for CNI_ARGS, 6 for a wrong type, 7 with the reference's texts for the rest.
  init(
    _ configuration: NetworkConfiguration, arguments: CNIArguments, known: [String] = []
  ) throws(CNIError) {
    let ipam = try MemberReader.ipam(of: configuration, keys: Self.keys)
    try arguments.checkKnown(known + StaticConfiguration.knownArguments)
    let argued = try StaticConfiguration.ips(of: arguments)
    let structured = try StaticConfiguration.ips(in: configuration.cniArgs, "args.cni")
    let atRuntime = try StaticConfiguration.ips(in: configuration.runtimeConfig, "runtimeConfig")
    if let replaced = atRuntime ?? structured {
      ips = replaced
    } else {
      ips = try StaticConfiguration.addresses(ipam) + argued
    }
    try MemberReader.checkCount(ips.count, "addresses")
    for ip in ips { try ip.checkFit(.invalidConfiguration) }
    try checkFamilies(ips.map(\.address.family), configuration.cniVersion)
    routes = try ipam.routes()
    dns = try ipam.dns()
  }

  /// The configuration's own addresses.
  private static func addresses(_ ipam: MemberReader) throws(CNIError) -> [CNIResult.IP] {
    var ips: [CNIResult.IP] = []
    for reader in try ipam.readers("addresses") {
      let text = try reader.string("address") ?? ""
      guard let network = IPNetwork(text) else {
        throw CNIError(
          .invalidConfiguration,
          "the 'address' field is expected to be in CIDR notation, got: '\(text)'")
      }
      ips.append(CNIResult.IP(address: network, gateway: try reader.ip("gateway")))
    }
    return ips
  }

  /// CNI_ARGS' addresses, each with the last of CNI_ARGS' gateways that lies in its network.
  private static func ips(of arguments: CNIArguments) throws(CNIError) -> [CNIResult.IP] {
    var ips: [CNIResult.IP] = []
    let (addresses, gateways) = (items(arguments["IP"]), items(arguments["GATEWAY"]))
    try MemberReader.checkCount(max(addresses.count, gateways.count), "addresses in CNI_ARGS")
    for text in addresses {
      let text = trimmed(text)
      guard let network = IPNetwork(text) else {
        throw CNIError(
          .invalidEnvironment, "the 'ip' field is expected to be in CIDR notation, got: '\(text)'")
      }
      ips.append(CNIResult.IP(address: network))
    }
    for text in gateways {
      guard let gateway = IPAddress(trimmed(text)) else {
        throw CNIError(.invalidEnvironment, "invalid gateway address: \(text)")
      }
      let owners = ips.indices.filter { ips[$0].address.contains(gateway) }
      guard !owners.isEmpty else {
        throw CNIError(
          .invalidEnvironment, "GATEWAY \(gateway) of CNI_ARGS is in no network of its IP")
      }
      for index in owners { ips[index].gateway = gateway }
    }
    return ips
  }

  /// The member `ips` of a part of the configuration; nil if it is absent or empty.
  private static func ips(
    in object: JSONObject?, _ path: String
  ) throws(CNIError) -> [CNIResult.IP]? {
    guard let object else { return nil }
    var ips: [CNIResult.IP] = []
    for text in try MemberReader(object, path: path).strings("ips") {
      guard let network = IPNetwork(text) else {
        throw CNIError(
          .invalidConfiguration,
          "an entry in the 'ips' field is NOT in CIDR notation, got: '\(text)'")
      }
      ips.append(CNIResult.IP(address: network))
    }
    return ips.isEmpty ? nil : ips
  }

  /// The items of a comma list; none for an absent or empty text.
  private static func items(_ text: String?) -> [String] {
    guard let text, !text.isEmpty else { return [] }
    return text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
  }

  private static func trimmed(_ text: String) -> String {
    String(decoding: LeaseOwner.trimmed(Array(text.utf8)), as: UTF8.self)
  }
}
