import Addresses
package import CNI
package import Linux

/// Addresses out of ranges that only this node uses, with leases as files: the reference's
/// `host-local`.
///
/// Both can be used in turn on the same directory, also at the same time. What differs:
///
/// - A lease is complete, or it does not exist, whenever a process dies. Empty files left by a
///   reference plugin are taken over when such an address is asked for, when a range has nothing
///   else left, and by GC.
/// - A requested address is refused, too, if the container has one of that range set already.
/// - All addresses of an ADD are taken under one lock. If one cannot be had, those just taken are
///   given back, and no others.
/// - DEL needs neither valid ranges nor valid CNI_ARGS; DEL and CHECK make no directory.
/// - GC is implemented.
package struct HostLocal: Sendable {
  private let call: IPAMCall
  private let source: HostLocalConfiguration.Source

  /// Creates one for a call; nothing is read yet.
  package init(_ call: IPAMCall) { self.init(call, .configuration) }

  init(_ call: IPAMCall, _ source: HostLocalConfiguration.Source) {
    self.call = call
    self.source = source
  }

  /// Takes an address out of each range set.
  ///
  /// - Parameter permit: the proof that the release was recorded.
  /// - Returns: addresses with gateways, the configuration's routes, the name servers of
  ///   `resolvConf`.
  /// - Throws: code 103 with the reference's texts if no address can be given, 4, 6 and 7 for bad
  ///   input, 5 for the disk, 105 for the deadline. Then nothing is left that this call took.
  package func add(_ permit: borrowing Permit) throws(CNIError) -> CNIResult {
    try CNIValidation.containerID(call.containerID)
    try CNIValidation.interfaceName(call.ifName)
    let configuration = try readConfiguration()
    let dns = try readResolver(configuration)
    guard var store = try open(create: true) else {
      throw CNIError(.ioFailure, "cannot make the directory of leases")
    }
    var allocation = Allocation(
      containerID: call.containerID, ifName: call.ifName, deadline: call.deadline)
    do throws(CNIError) {
      let ips = try allocation.run(configuration, in: &store, permit)
      store.close()
      return CNIResult(ips: ips, routes: configuration.routes, dns: dns)
    } catch {
      store.close()
      throw error
    }
  }

  /// Gives back every address of the attachment, whichever configuration it was taken with.
  ///
  /// If no file names container and interface, files of old plugins that name the container alone
  /// count. An attachment without addresses is no error, and so it can be repeated.
  ///
  /// - Parameter permit: the proof that this is wanted.
  /// - Throws: code 7 for a recorded configuration that does not lead to a directory, 5 for the
  ///   disk, 105.
  package func delete(_ permit: borrowing Permit) throws(CNIError) {
    do throws(CNIError) {
      _ = try directory()
    } catch {
      // Where no ADD may lease, none has; a record's ADD was allowed to.
      if call.allowedPaths != nil { return }
      throw error
    }
    guard var store = try open(create: false) else { return }
    do throws(SystemError) {
      for (address, content) in try leases(in: &store) {
        try store.remove(address, content, permit)
      }
    } catch {
      throw CNIError(error)
    }
    store.close()
  }

  /// Checks that the attachment has an address.
  ///
  /// - Throws: code 103 with the reference's text, 4, 6 and 7 for bad input, 5 for the disk, 105.
  package func check() throws(CNIError) {
    // A network that is not known any more says nothing against a lease of it.
    if !isWithoutNetwork { _ = try readConfiguration() }
    let isThere: Bool
    do throws(CNIError) {
      isThere = try hasLease()
    } catch {
      // A lock that others hold says nothing about the lease.
      throw error.code == .deadline ? CNIError(.tryAgainLater, error.message) : error
    }
    if !isThere { throw missing }
  }

  private func hasLease() throws(CNIError) -> Bool {
    guard var store = try open(create: false) else { return false }
    do throws(SystemError) {
      let isThere = try !leases(in: &store).isEmpty
      store.close()
      return isThere
    } catch {
      throw CNIError(error)
    }
  }

  /// Checks that ADD would accept the configuration.
  ///
  /// - Throws: code 4, 6 or 7.
  package func checkConfiguration() throws(CNIError) {
    _ = try readConfiguration()
    _ = try directory()
  }

  /// Checks that ADD would accept the configuration and that each range set has an address left.
  ///
  /// It takes no lock, so it may be wrong for a moment.
  ///
  /// - Throws: code 4, 6 or 7; 103 with ADD's text for a set without a free address; 50 while the
  ///   node's network is not known.
  package func status() throws(CNIError) {
    let configuration: HostLocalConfiguration
    do throws(CNIError) {
      configuration = try readConfiguration()
    } catch {
      throw isWithoutNetwork ? CNIError(.notAvailable, error.message) : error
    }
    let directory = try directory()
    // Nothing was ever leased.
    guard let stamp = try? Files.stamp(directory) else { return }
    let taken = call.leases.peek(directory, stamp) ?? LeaseStore.names(in: directory)
    for (index, set) in configuration.sets.enumerated() {
      if set.walk(after: nil).contains(where: { !taken.contains($0.address) }) { continue }
      // ADD takes over empty files too.
      if try isLeft(in: set, directory) { continue }
      let text = Self.exhausted(set, leases: taken.count, in: directory)
      throw CNIError(.ipam, "failed to allocate for range \(index): \(text)")
    }
  }
}

extension HostLocal {
  /// Whether a plugin that died has left an empty file for an address of a set.
  private func isLeft(in set: RangeSet, _ directory: String) throws(CNIError) -> Bool {
    var passed = 0
    for (address, _) in set.walk(after: nil) {
      passed &+= 1
      if passed % 1024 == 0 {
        do throws(SystemError) {
          try call.deadline.check("look into", directory)
        } catch {
          throw CNIError(error)
        }
      }
      if LeaseStore.isEmpty(address, in: directory) { return true }
    }
    return false
  }

  /// The reference's text for a full range set, with where to look.
  static func exhausted(_ set: RangeSet, leases count: Int, in directory: String) -> String {
    "no IP addresses available in range set: \(set) (\(count) leases in \(directory))"
  }

  private var isWithoutNetwork: Bool {
    if case .node(nil) = source { true } else { false }
  }

  private func readConfiguration() throws(CNIError) -> HostLocalConfiguration {
    let configuration = try HostLocalConfiguration(
      call.configuration, arguments: call.arguments, known: call.knownArguments, source: source)
    if let path = configuration.resolvConf {
      try call.check(path, "ipam.resolvConf", own: Self.resolverDirectories)
    }
    return configuration
  }

  private func readResolver(
    _ configuration: HostLocalConfiguration
  ) throws(CNIError) -> CNIResult.DNS {
    guard let path = configuration.resolvConf else { return CNIResult.DNS() }
    return try ResolverConfiguration.read(path, below: call.hostRoot)
  }

  private func directory() throws(CNIError) -> String {
    let path = try HostLocalConfiguration.directory(call.configuration, in: call.dataDirectory)
    try call.check(path, "ipam.dataDir", own: [call.dataDirectory] + Self.leaseDirectories)
    return path
  }

  /// Where a network may keep leases beside the daemon's own directory.
  private static let leaseDirectories = ["/var/lib/cni", "/run/cni"]
  /// Where a network may have a resolv.conf read.
  private static let resolverDirectories = [
    "/etc", "/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf",
  ]

  func open(create: Bool) throws(CNIError) -> LeaseStore? {
    let directory = try directory()
    do throws(SystemError) {
      return try LeaseStore.open(
        directory, create: create, cache: call.leases, deadline: call.deadline)
    } catch {
      throw CNIError(error)
    }
  }

  private var missing: CNIError {
    CNIError(
      .ipam, "host-local: Failed to find address added by container \(call.containerID)")
  }

  /// The attachment's address files; before it reports that there are none, it reads every file.
  private func leases(
    in store: inout LeaseStore
  ) throws(SystemError) -> [(address: IPAddress, content: [UInt8])] {
    let owner = LeaseOwner(containerID: call.containerID, ifName: call.ifName)
    for _ in 0..<2 {
      for content in [owner.content, owner.idOnly] {
        let found = try store.addresses(with: content)
        if !found.isEmpty { return found.map { (address: $0, content: content) } }
      }
      try store.refresh()
    }
    return []
  }
}

extension CNIError {
  /// What a failing system call of address management means: 105 for the deadline, 11 for a lack
  /// of descriptors, else 5.
  init(_ error: SystemError) {
    switch error.errno {
    case .timedOut, .cancelled:
      self.init(
        .deadline, "IPAM: \(error.operation) \(error.object) took too long", details: "\(error)")
    case let errno where errno.isExhaustion: self.init(.tryAgainLater, "\(error)")
    default: self.init(.ioFailure, "\(error)")
    }
  }
}
