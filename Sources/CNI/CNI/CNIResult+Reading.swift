import Addresses
public import JSON

extension CNIResult {
  /// Reads a result of any of the seven versions.
  ///
  /// Results before 0.3.0 have no interfaces; their routes, those of `ip4` first, are joined.
  /// Unknown members are dropped, and members that a version does not have count as unknown.
  ///
  /// - Parameters:
  ///   - json: the result object.
  ///   - defaultVersion: the version if the result has no `cniVersion`: the configuration's.
  /// - Throws: code 1 for a version that is not supported, code 6 for anything that cannot be read.
  public init(_ json: JSONValue, defaultVersion: CNIVersion) throws(CNIError) {
    let reader = try Member(json, path: "", CNIMembers("error unmarshall result: ")).reader()
    let text = try reader.string("cniVersion") ?? ""
    guard let version = text.isEmpty ? defaultVersion : CNIVersion(text) else {
      throw CNIError(
        .incompatibleVersion, "unsupported CNI result version \(goQuoted(text))")
    }
    self.init(dns: try reader.dns())
    if version < .v030 {
      try readFamilies(reader)
    } else {
      try readLists(reader, extended: version >= .v100)
    }
  }

  /// Reads the text of a result, such as a plugin's output.
  ///
  /// - Throws: as ``init(_:defaultVersion:)``, and code 6 if the text is not JSON.
  public init(bytes: [UInt8], defaultVersion: CNIVersion) throws(CNIError) {
    let json: JSONValue
    do throws(JSONError) {
      json = try JSONValue.parse(bytes)
    } catch {
      throw CNIError(.decodingFailure, "error unmarshall result: no JSON: \(error.description)")
    }
    try self.init(json, defaultVersion: defaultVersion)
  }

  /// 0.1.0 and 0.2.0: one address of each family.
  private mutating func readFamilies(_ reader: MemberReader) throws(CNIError) {
    for key in ["ip4", "ip6"] {
      guard let family = try reader.reader(key) else { continue }
      ips.append(IP(address: try family.network("ip"), gateway: try family.ip("gateway")))
      for route in try family.readers("routes") {
        routes.append(try route.route(extended: false))
      }
    }
  }

  private mutating func readLists(_ reader: MemberReader, extended: Bool) throws(CNIError) {
    for item in try reader.readers("interfaces") {
      interfaces.append(try item.interface(extended: extended))
    }
    for item in try reader.readers("ips") {
      let index = try item.number("interface", maximum: UInt64(Int32.max))
      ips.append(
        IP(
          interface: index.map { Int(truncatingIfNeeded: $0) },
          address: try item.network("address"), gateway: try item.ip("gateway")))
    }
    for item in try reader.readers("routes") {
      routes.append(try item.route(extended: extended))
    }
  }
}

extension MemberReader {
  /// Reads the member `dns`, absent or not.
  package func dns() throws(CNIError) -> CNIResult.DNS {
    guard let reader = try reader("dns") else { return CNIResult.DNS() }
    return CNIResult.DNS(
      nameservers: try reader.strings("nameservers"), domain: try reader.string("domain") ?? "",
      search: try reader.strings("search"), options: try reader.strings("options"))
  }

  fileprivate func interface(extended: Bool) throws(CNIError) -> CNIResult.Interface {
    var interface = CNIResult.Interface(
      name: try string("name") ?? "", mac: try string("mac") ?? "",
      sandbox: try string("sandbox") ?? "")
    guard extended else { return interface }
    interface.mtu = try positive("mtu")
    interface.socketPath = try string("socketPath") ?? ""
    interface.pciID = try string("pciID") ?? ""
    return interface
  }

  /// Reads a route; without `extended` only destination and gateway.
  package func route(extended: Bool) throws(CNIError) -> CNIResult.Route {
    var route = CNIResult.Route(dst: try network("dst"), gw: try ip("gw"))
    guard extended else { return route }
    route.mtu = try positive("mtu")
    route.advmss = try positive("advmss")
    route.priority = try positive("priority")
    route.table = try number("table", maximum: UInt64(UInt32.max)).map { UInt32($0) }
    route.scope = try number("scope", maximum: UInt64(UInt8.max)).map { UInt8($0) }
    return route
  }

  /// A 32-bit number of which 0 means that it was not given.
  private func positive(_ key: String) throws(CNIError) -> UInt32? {
    guard let number = try number(key, maximum: UInt64(UInt32.max)), number > 0 else { return nil }
    return UInt32(number)
  }
}
