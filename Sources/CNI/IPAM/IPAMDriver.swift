import Addresses
package import CNI
package import JSON
package import Linux

/// Address management for one call of a network plugin, whichever way its configuration names.
///
/// `host-local`, `pod-cidr` (the same with the node's pod network for a range) and `static` run
/// inside this process. Every other `ipam.type` is a plugin on disk.
package enum IPAMDriver: Sendable {
  /// Leases out of ranges of this node.
  case hostLocal(HostLocal)
  /// Addresses that the configuration or the runtime names.
  case fixed(StaticIPAM)
  /// An IPAM plugin on disk.
  case executed(ExecutedIPAM)

  /// The types that need no program.
  static let builtIn = ["host-local", "static", "pod-cidr"]

  /// Chooses by `ipam.type`; nil if the configuration names none, so that there are no addresses
  /// (L2).
  ///
  /// - Parameter call: the call.
  package init?(for call: IPAMCall) {
    switch call.configuration.ipamType {
    case nil: return nil
    case "host-local"?: self = .hostLocal(HostLocal(call))
    case "pod-cidr"?: self = .hostLocal(HostLocal(call, .node(call.podCIDR)))
    case "static"?: self = .fixed(StaticIPAM(call))
    case let type?: self = .executed(ExecutedIPAM(type, call))
    }
  }

  /// The keys of `ipam` that are read: nil for a program's, which are its own matter.
  package static func keys(for configuration: NetworkConfiguration) -> KeyTable? {
    switch configuration.ipamType {
    case nil: KeyTable(["type"])
    case "host-local"? where configuration.ipam?.value(inAnyCase: "subnet") == nil:
      HostLocalConfiguration.keysOfLists
    case "host-local"?: HostLocalConfiguration.keys
    case "pod-cidr"?: HostLocalConfiguration.keysOfNode
    case "static"?: StaticConfiguration.keys
    default: nil
    }
  }

  /// Checks what a network's configuration says to address management in this process.
  ///
  /// - Throws: what an ADD would.
  package static func inspect(_ configuration: NetworkConfiguration) throws(CNIError) {
    switch configuration.ipamType {
    case "host-local"?:
      _ = try HostLocalConfiguration(configuration, arguments: CNIArguments())
      _ = try HostLocalConfiguration.directory(configuration, in: "")
    case "pod-cidr"?:
      // Any network does: what is checked does not depend on it. Nobody has this one (RFC 5737).
      let example = IPNetwork("198.51.100.0/24")
      _ = try HostLocalConfiguration(
        configuration, arguments: CNIArguments(), source: .node(example))
      _ = try HostLocalConfiguration.directory(configuration, in: "")
    case "static"?: _ = try StaticConfiguration(configuration, arguments: CNIArguments())
    default: return
    }
  }

  /// The directory in which `host-local` keeps a network's leases, and the subnets that it leases
  /// from; nil for other address management, and where that cannot be read.
  package static func leasePool(
    of configuration: NetworkConfiguration, in dataDirectory: String
  ) -> (directory: String, subnets: String)? {
    guard configuration.ipamType == "host-local",
      let subnets = HostLocalConfiguration.subnets(of: configuration),
      let directory = try? HostLocalConfiguration.directory(configuration, in: dataDirectory)
    else { return nil }
    return (directory, subnets)
  }

  /// When addresses are taken; they are given back in mirror order.
  package enum Order: Sendable {
    /// Before there is a link, and given back when it is known to be gone.
    case beforeLink
    /// For a link that is there, and given back while it is.
    case afterLink
  }

  /// When addresses are taken: executed plugins may look at the link, as the reference lets them.
  package var order: Order {
    switch self {
    case .hostLocal, .fixed: .beforeLink
    case .executed: .afterLink
    }
  }

  /// Checks, before anything is recorded, what can be checked without running a program.
  ///
  /// An ADD that fails here has nothing to undo, so that no later DEL stumbles over the same fault.
  ///
  /// - Throws: as ``status()``; code 103 if a plugin on disk is not there.
  package func prepare() throws(CNIError) {
    switch self {
    case .hostLocal(let driver): try driver.checkConfiguration()
    case .fixed(let driver): try driver.status()
    case .executed(let driver): try driver.checkInstalled()
    }
  }

  /// Takes the addresses of an attachment.
  ///
  /// - Parameters:
  ///   - permit: the proof that giving them back was recorded.
  ///   - whenUndone: see ``ExecutedIPAM/add(_:whenUndone:)``.
  /// - Returns: addresses without interface indexes, routes and name servers; no interfaces.
  /// - Throws: an executed plugin's own error; else code 103 if no address can be given, 4, 6 and 7
  ///   for bad input, 5 for the disk, 105 for the deadline.
  package func add(
    _ permit: borrowing Permit, whenUndone: (String?) -> Void = { _ in }
  ) throws(CNIError) -> CNIResult {
    switch self {
    case .hostLocal(let driver): try driver.add(permit)
    case .fixed(let driver): try driver.add()
    case .executed(let driver): try driver.add(permit, whenUndone: whenUndone)
    }
  }

  /// Gives the addresses of an attachment back; without any it succeeds, too.
  ///
  /// - Parameters:
  ///   - permit: the proof that this is wanted.
  ///   - excuse: see ``ExecutedIPAM/delete(_:excuse:)``.
  /// - Throws: as ``add(_:whenUndone:)``.
  package func delete(
    _ permit: borrowing Permit, excuse: (String) -> Bool = { _ in false }
  ) throws(CNIError) {
    switch self {
    case .hostLocal(let driver): try driver.delete(permit)
    case .fixed: return
    case .executed(let driver): try driver.delete(permit, excuse: excuse)
    }
  }

  /// Checks that the attachment still has its addresses, as far as address management knows.
  ///
  /// - Throws: as ``add(_:whenUndone:)``.
  package func check() throws(CNIError) {
    switch self {
    case .hostLocal(let driver): try driver.check()
    case .fixed(let driver): try driver.check()
    case .executed(let driver): try driver.check()
    }
  }

  /// Checks that ADD would be served.
  ///
  /// - Throws: as ``add(_:whenUndone:)``.
  package func status() throws(CNIError) {
    switch self {
    case .hostLocal(let driver): try driver.status()
    case .fixed(let driver): try driver.status()
    case .executed(let driver): try driver.status()
    }
  }

  /// Gives back the addresses of this network's attachments that are not listed.
  ///
  /// - Parameters:
  ///   - valid: the attachments that keep theirs, which may be more than the configuration lists.
  ///   - use: says which addresses are in use; nil: what is not listed goes in any case.
  ///   - permit: the proof that this is wanted.
  /// - Returns: what was kept because it is in use; a plugin on disk does not say.
  /// - Throws: as ``add(_:whenUndone:)``.
  @discardableResult
  package func collectGarbage(
    valid: [NetworkConfiguration.Attachment], use: HostLocal.Use? = nil, _ permit: borrowing Permit
  ) throws(CNIError) -> [String] {
    switch self {
    case .hostLocal(let driver): return try driver.collectGarbage(valid: valid, use: use, permit)
    case .fixed: return []
    case .executed(let driver):
      try driver.collectGarbage(valid: valid, permit)
      return []
    }
  }
}
