import Addresses
import CNI
import JSON

/// What `host-local` reads of a network configuration and of CNI_ARGS.
struct HostLocalConfiguration: Equatable, Sendable {
  /// The keys of CNI_ARGS that `host-local` knows.
  static let knownArguments = ["IP"]
  /// The keys of `ipam` that `host-local` knows.
  static let keys = keysOfLists.joined(RangeEntry.keys)
  /// The same where no range stands in `ipam` itself: without `subnet` its other keys say nothing.
  static let keysOfLists = KeyTable(
    ["subnet"], inside: [("ranges", RangeEntry.keys)]
  ).joined(keysOfNode)
  /// The same where the node's pod network is the range.
  static let keysOfNode = KeyTable(
    ["type", "name", "resolvConf", "dataDir"], inside: [("routes", CNIResult.Route.keys)])

  /// Where ranges come from, beside those that the runtime gives.
  enum Source: Sendable {
    /// `subnet` and `ranges`.
    case configuration
    /// The node's pod network; nil while it is not known.
    case node(IPNetwork?)
  }

  /// One address comes out of each of these.
  let sets: [RangeSet]
  /// Addresses that are wanted, each once, in the order of their sources.
  let requests: [IPAddress]
  let routes: [CNIResult.Route]
  /// The file that the result's name servers come from.
  let resolvConf: String?

  /// Reads and checks everything that ADD needs.
  ///
  /// - Parameters:
  ///   - configuration: the network configuration.
  ///   - arguments: CNI_ARGS.
  ///   - known: keys of CNI_ARGS that somebody else knows.
  ///   - source: where ranges come from.
  /// - Throws: code 4 for CNI_ARGS, 6 for a wrong type, 7 with the reference's texts for the rest;
  ///   11 while the node's network is not known.
  init(
    _ configuration: NetworkConfiguration, arguments: CNIArguments, known: [String] = [],
    source: Source = .configuration
  ) throws(CNIError) {
    let ipam = try MemberReader.ipam(of: configuration, keys: Self.keys)
    try arguments.checkKnown(known + HostLocalConfiguration.knownArguments)
    requests = try HostLocalConfiguration.requests(configuration, arguments)
    sets = try HostLocalConfiguration.sets(configuration, ipam, source)
    routes = try ipam.routes()
    resolvConf = try ipam.absolutePath("resolvConf")
  }

  /// The directory of a network's leases.
  ///
  /// - Parameters:
  ///   - configuration: the network configuration; its name is one component that leads nowhere
  ///     else.
  ///   - dataDirectory: the place if `dataDir` is absent.
  /// - Returns: `<data directory>/<network name>`.
  /// - Throws: code 7 for a `dataDir` that is no absolute path.
  static func directory(
    _ configuration: NetworkConfiguration, in dataDirectory: String
  ) throws(CNIError) -> String {
    try CNIValidation.networkName(configuration.name)
    let ipam = try MemberReader.ipam(of: configuration, keys: keys)
    let base = try ipam.absolutePath("dataDir") ?? dataDirectory
    return base.hasSuffix("/") ? base + configuration.name : "\(base)/\(configuration.name)"
  }
}

extension HostLocalConfiguration {
  /// CNI_ARGS' `IP`, then `args.cni.ips`, then `runtimeConfig.ips`; prefix lengths are dropped.
  private static func requests(
    _ configuration: NetworkConfiguration, _ arguments: CNIArguments
  ) throws(CNIError) -> [IPAddress] {
    var texts: [String] = []
    if let pair = arguments.pairs.last(where: { $0.key == "IP" }), !pair.value.isEmpty {
      guard address(pair.value) != nil else {
        throw CNIError(
          .invalidEnvironment,
          "ARGS: error parsing value of pair \(goQuoted(pair.text)): invalid IP address "
            + pair.value)
      }
      texts.append(pair.value)
    }
    for (object, path) in [
      (configuration.cniArgs, "args.cni"), (configuration.runtimeConfig, "runtimeConfig"),
    ] {
      guard let object else { continue }
      texts += try MemberReader(object, path: path).strings("ips")
    }
    try MemberReader.checkCount(texts.count, "requested addresses")
    var requests: [IPAddress] = []
    for text in texts {
      guard let address = address(text) else {
        throw CNIError(.invalidConfiguration, "invalid IP address \(text)")
      }
      if !requests.contains(address) { requests.append(address) }
    }
    return requests
  }

  /// The address in `10.1.2.3` or `10.1.2.3/24`.
  private static func address(_ text: String) -> IPAddress? {
    text.utf8.contains(0x2F) ? IPNetwork(text)?.address : IPAddress(text)
  }

  /// The sets of all sources, checked one by one and then together.
  private static func sets(
    _ configuration: NetworkConfiguration, _ ipam: MemberReader, _ source: Source
  ) throws(CNIError) -> [RangeSet] {
    let lists = try entries(configuration, ipam, source)
    guard !lists.isEmpty else {
      throw CNIError(
        .invalidConfiguration, "no IP ranges specified: ipam has no subnet, in ranges or by itself")
    }
    var sets: [RangeSet] = []
    for (index, entries) in lists.enumerated() {
      do throws(RangeError) {
        sets.append(try RangeSet(try RangeEntry.ranges(entries)))
      } catch {
        throw CNIError(.invalidConfiguration, "invalid range set \(index): \(error)")
      }
    }
    try checkFamilies(sets.map(\.family), configuration.cniVersion)
    if let (one, other) = RangeSet.overlap(among: sets) {
      throw CNIError(.invalidConfiguration, "range set \(one) overlaps with \(other)")
    }
    return sets
  }

  /// `runtimeConfig.ipRanges`, then the node's network, or else the old flat form and `ranges`.
  private static func entries(
    _ configuration: NetworkConfiguration, _ ipam: MemberReader, _ source: Source
  ) throws(CNIError) -> [[RangeEntry]] {
    var lists: [[MemberReader]] = []
    if let runtimeConfig = configuration.runtimeConfig {
      lists += try MemberReader(runtimeConfig, path: "runtimeConfig").lists("ipRanges")
    }
    if case .configuration = source {
      let hasOnlyFlat = lists.isEmpty && ipam.member("ranges") == nil
      let isFlat = RangeEntry.keys.names.contains { ipam.member($0) != nil }
      if try ipam.string("subnet") != nil || hasOnlyFlat && isFlat { lists.append([ipam]) }
      lists += try ipam.lists("ranges")
    }
    try MemberReader.checkCount(lists.count, "range sets")
    try MemberReader.checkCount(lists.map(\.count).max() ?? 0, "ranges in a set")
    var sets: [[RangeEntry]] = []
    for list in lists {
      var entries: [RangeEntry] = []
      for reader in list { entries.append(try RangeEntry(reader)) }
      sets.append(entries)
    }
    guard case .node(let network) = source else { return sets }
    guard let network else {
      throw CNIError(
        .tryAgainLater,
        "cnid does not know the node's pod network that ipam.type \"pod-cidr\" leases from: set "
          + "podCIDR in cnid.json")
    }
    return sets + [[RangeEntry(network)]]
  }
}

/// One entry of `ranges` as it is written.
private struct RangeEntry {
  let subnet: IPNetwork
  let start: IPAddress?
  let end: IPAddress?
  let gateway: IPAddress?

  static let keys = KeyTable(["subnet", "rangeStart", "rangeEnd", "gateway"])

  init(_ reader: MemberReader) throws(CNIError) {
    subnet = try reader.network("subnet")
    start = try reader.ip("rangeStart")
    end = try reader.ip("rangeEnd")
    gateway = try reader.ip("gateway")
  }

  /// The whole of a network.
  init(_ network: IPNetwork) {
    subnet = network
    (start, end, gateway) = (nil, nil, nil)
  }

  static func ranges(_ entries: [RangeEntry]) throws(RangeError) -> [AddressRange] {
    var ranges: [AddressRange] = []
    for entry in entries {
      ranges.append(
        try AddressRange(
          subnet: entry.subnet, start: entry.start, end: entry.end, gateway: entry.gateway))
    }
    return ranges
  }
}

/// Versions before 0.3.0 have room for one address of each family.
///
/// - Parameters:
///   - families: the family of each address that there will be.
///   - cniVersion: the configuration's version.
/// - Throws: code 7 with the reference's text.
func checkFamilies(_ families: [IPAddress.Family], _ cniVersion: String) throws(CNIError) {
  guard let version = CNIVersion(cniVersion), version < .v030 else { return }
  let isCrowded = [IPAddress.Family.v4, .v6].contains { family in
    families.count { $0 == family } > 1
  }
  if isCrowded {
    throw CNIError(
      .invalidConfiguration,
      "CNI version \(cniVersion) does not support more than 1 address per family")
  }
}

extension HostLocalConfiguration {
  /// The subnets that a network's own configuration names, whatever the runtime adds; nil if they
  /// cannot be read.
  static func subnets(of configuration: NetworkConfiguration) -> String? {
    do throws(CNIError) {
      let ipam = try MemberReader.ipam(of: configuration, keys: keys)
      var subnets = try [ipam.string("subnet")].compactMap { $0 }
      for list in try ipam.lists("ranges") {
        for range in list { subnets.append("\(try range.network("subnet"))") }
      }
      return subnets.isEmpty ? nil : subnets.joined(separator: ", ")
    } catch {
      return nil
    }
  }
}
