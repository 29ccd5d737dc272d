import Addresses
public import JSON

extension CNIResult {
  /// The result as an object of a version, `cniVersion` included.
  ///
  /// * 1.x: every member that is set; empty ones are left out.
  /// * 0.3.0, 0.3.1, 0.4.0: addresses have `version`; interfaces only name, mac and sandbox, routes
  ///   only dst and gw; `dns` is there even if empty.
  /// * 0.1.0, 0.2.0: the first address of each family with the routes of that
  ///   family; no interfaces.
  ///
  /// - Returns: an object whose members are in the order of the Go library's structures, which
  ///   is the order in which results before 1.0.0 are printed.
  /// - Throws: code 999 `cannot convert: no valid IP addresses`, the library's own, when a version
  ///   before 0.3.0 is asked for and there is no address.
  public func json(as version: CNIVersion) throws(CNIError) -> JSONValue {
    var object = JSONObject([("cniVersion", .string(version.description))])
    if version < .v030 {
      try addFamilies(to: &object)
    } else {
      addLists(to: &object, extended: version >= .v100)
    }
    if version < .v100 || !dns.isEmpty { object["dns"] = dns.json }
    return .object(object)
  }

  /// The text of a result as a plugin prints it, without a newline at its end.
  ///
  /// Four spaces of indent; members sorted by key from 1.0.0 on, in the order of ``json(as:)``
  /// before, as the Go library prints them.
  ///
  /// - Throws: as ``json(as:)``.
  public func printed(as version: CNIVersion) throws(CNIError) -> [UInt8] {
    try json(as: version).encoded(.indented(4, sorted: version >= .v100))
  }

  private func addFamilies(to object: inout JSONObject) throws(CNIError) {
    for (key, family) in [("ip4", IPAddress.Family.v4), ("ip6", .v6)] {
      guard let ip = ips.first(where: { $0.address.family == family }) else { continue }
      var member = JSONObject([("ip", .string(ip.address.description))])
      if let gateway = ip.gateway { member["gateway"] = .string(gateway.description) }
      let routes = routes.filter { $0.dst.family == family }
      if !routes.isEmpty { member["routes"] = .array(routes.map { $0.json(extended: false) }) }
      object[key] = .object(member)
    }
    guard object["ip4"] != nil || object["ip6"] != nil else {
      throw CNIError(.internal, "cannot convert: no valid IP addresses")
    }
  }

  private func addLists(to object: inout JSONObject, extended: Bool) {
    if !interfaces.isEmpty {
      object["interfaces"] = .array(interfaces.map { $0.json(extended: extended) })
    }
    if !ips.isEmpty { object["ips"] = .array(ips.map { $0.json(extended: extended) }) }
    if !routes.isEmpty { object["routes"] = .array(routes.map { $0.json(extended: extended) }) }
  }
}

extension CNIResult.Interface {
  fileprivate func json(extended: Bool) -> JSONValue {
    var object = JSONObject([("name", .string(name))])
    object.set("mac", mac)
    if extended { object.set("mtu", mtu) }
    object.set("sandbox", sandbox)
    if extended {
      object.set("socketPath", socketPath)
      object.set("pciID", pciID)
    }
    return .object(object)
  }
}

extension CNIResult.IP {
  fileprivate func json(extended: Bool) -> JSONValue {
    var object = JSONObject()
    if !extended { object["version"] = .string(address.family == .v4 ? "4" : "6") }
    if let interface { object["interface"] = .number(JSONNumber(interface)) }
    object["address"] = .string(address.description)
    if let gateway { object["gateway"] = .string(gateway.description) }
    return .object(object)
  }
}

extension CNIResult.Route {
  fileprivate func json(extended: Bool) -> JSONValue {
    var object = JSONObject([("dst", .string(dst.description))])
    if let gw { object["gw"] = .string(gw.description) }
    guard extended else { return .object(object) }
    object.set("mtu", mtu)
    object.set("advmss", advmss)
    object.set("priority", priority)
    if let table { object["table"] = .number(JSONNumber(UInt64(table))) }
    if let scope { object["scope"] = .number(JSONNumber(UInt64(scope))) }
    return .object(object)
  }
}

extension CNIResult.DNS {
  fileprivate var json: JSONValue {
    var object = JSONObject()
    object.set("nameservers", nameservers)
    object.set("domain", domain)
    object.set("search", search)
    object.set("options", options)
    return .object(object)
  }
}

// Members that are empty or zero are left out.
extension JSONObject {
  fileprivate mutating func set(_ key: String, _ text: String) {
    if !text.isEmpty { self[key] = .string(text) }
  }

  fileprivate mutating func set(_ key: String, _ list: [String]) {
    if !list.isEmpty { self[key] = .array(list.map { .string($0) }) }
  }

  fileprivate mutating func set(_ key: String, _ number: UInt32?) {
    if let number, number > 0 { self[key] = .number(JSONNumber(UInt64(number))) }
  }
}
