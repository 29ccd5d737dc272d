import JSON
public import Linux

/// The links by which the agent goes on knowing interfaces that were detached while
/// their pod stays.
///
/// There is no request that ends one interface's port: until the whole pod is withdrawn the agent
/// keeps the first link that it heard of for an interface, and passes over another one. So whoever
/// attaches the interface again has to use that name.
extension PortFiles {
  /// Remembers the link of an interface that is detached.
  public func remember(
    _ link: String, of interface: VRouterUUID, _ uuid: VRouterUUID, _ permit: borrowing Permit
  ) throws(VRouterError) {
    let content: JSONValue = ["vm-uuid": .string(uuid.text), "host-ifname": .string(link)]
    try system { () throws(SystemError) in
      do throws(SystemError) {
        try put(
          content.encoded(), at: Self.known(interface, in: workArea),
          by: Self.temporary(interface, in: workArea))
      } catch {
        guard Self.needsInnerArea(error.errno) else { throw error }
        try put(
          content.encoded(), at: Self.known(interface, in: innerWorkArea),
          by: Self.temporary(interface, in: innerWorkArea))
      }
    }
  }

  /// The remembered links of a pod.
  public func knownLinks(of uuid: VRouterUUID) throws(VRouterError) -> [VRouterUUID: String] {
    try system { () throws(SystemError) in
      var links: [VRouterUUID: String] = [:]
      for entry in try known() where entry.uuid == uuid { links[entry.interface] = entry.link }
      return links
    }
  }

  /// Forgets the remembered links of a pod, as the agent has.
  func forgetLinks(of uuid: VRouterUUID) throws(VRouterError) {
    try system { () throws(SystemError) in
      // One that cannot be read is nobody's.
      for entry in try known() where entry.uuid == uuid || entry.uuid == nil {
        try Files.removeIfPresent(entry.path)
      }
    }
  }

  private struct Known {
    let path: String
    let interface: VRouterUUID
    var uuid: VRouterUUID?
    var link = ""
  }

  private static let prefix = "known-"

  private static func known(_ interface: VRouterUUID, in area: String) -> String {
    "\(area)/\(prefix)\(interface)"
  }

  private func known() throws(SystemError) -> [Known] {
    var found: [Known] = []
    for area in [workArea, innerWorkArea] {
      for name in try Self.entries(area) where name.utf8.starts(with: Self.prefix.utf8) {
        guard let interface = VRouterUUID(String(name.dropFirst(Self.prefix.count))) else {
          continue
        }
        var entry = Known(path: "\(area)/\(name)", interface: interface)
        let value = (try? Files.read(entry.path, limit: 4096)).flatMap {
          try? JSONValue.parse($0)
        }
        entry.uuid = value?["vm-uuid"]?.string.flatMap { VRouterUUID($0) }
        entry.link = value?["host-ifname"]?.string ?? ""
        found.append(entry)
      }
    }
    return found
  }
}
