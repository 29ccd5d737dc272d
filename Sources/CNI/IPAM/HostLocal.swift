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

  /// Creates one for a call; nothing is read yet.
  package init(_ call: IPAMCall) { self.call = call }

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
    let dns = try configuration.resolvConf.map(ResolverConfiguration.read) ?? CNIResult.DNS()
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
  /// - Throws: code 7 for a configuration that does not lead to a directory, 5 for the disk, 105.
  package func delete(_ permit: borrowing Permit) throws(CNIError) {
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
    _ = try readConfiguration()
    guard var store = try open(create: false) else { throw missing }
    let isThere: Bool
    do throws(SystemError) {
      isThere = try !leases(in: &store).isEmpty
    } catch {
      throw CNIError(error)
    }
    store.close()
    if !isThere { throw missing }
  }

  /// Checks that ADD would accept the configuration.
  ///
  /// - Throws: code 4, 6 or 7.
  package func status() throws(CNIError) {
    _ = try readConfiguration()
    _ = try directory()
  }

  /// Gives back the addresses of every attachment of this network that is not listed.
  ///
  /// Only files that are named like an address are looked at. A file of an old plugin, which names
  /// the container alone, stays while any attachment of that container is listed; an empty one
  /// goes.
  ///
  /// - Parameters:
  ///   - valid: the attachments that keep theirs.
  ///   - permit: the proof that this is wanted.
  /// - Throws: code 5, after everything else was removed; 7, 105.
  package func collectGarbage(
    valid: [NetworkConfiguration.Attachment], _ permit: borrowing Permit
  ) throws(CNIError) {
    guard var store = try open(create: false) else { return }
    var kept: Set<[UInt8]> = []
    for attachment in valid {
      let owner = LeaseOwner(containerID: attachment.containerID, ifName: attachment.ifName)
      kept.formUnion([owner.content, owner.idOnly])
    }
    var failure: SystemError?
    do throws(SystemError) {
      for (address, content) in try store.everything() where !kept.contains(content) {
        do throws(SystemError) {
          try store.remove(address, content, permit)
        } catch {
          failure = error
        }
      }
    } catch {
      failure = error
    }
    store.close()
    if let failure { throw CNIError(failure) }
  }
}

extension HostLocal {
  private func readConfiguration() throws(CNIError) -> HostLocalConfiguration {
    try HostLocalConfiguration(
      call.configuration, arguments: call.arguments, known: call.knownArguments)
  }

  private func directory() throws(CNIError) -> String {
    try HostLocalConfiguration.directory(call.configuration, in: call.dataDirectory)
  }

  private func open(create: Bool) throws(CNIError) -> LeaseStore? {
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
