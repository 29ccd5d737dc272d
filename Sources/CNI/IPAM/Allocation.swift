import Addresses
import CNI
import Linux

/// Takes one address out of each range set for one attachment: all of them or none.
struct Allocation {
  /// An address that was taken.
  private struct Lease {
    let address: IPAddress
    let range: AddressRange
  }

  private enum Outcome {
    case taken(Lease)
    /// Nothing, for the reason that the reference's text tells.
    case refused(String)
  }

  private let containerID: String
  private let owner: LeaseOwner
  private let deadline: Deadline
  private var leases: [Lease] = []

  init(containerID: String, ifName: String, deadline: Deadline) {
    self.containerID = containerID
    owner = LeaseOwner(containerID: containerID, ifName: ifName)
    self.deadline = deadline
  }

  /// Takes the addresses.
  ///
  /// - Parameters:
  ///   - configuration: range sets and requests; a set takes the first request that lies in it.
  ///   - store: the directory, locked.
  ///   - permit: the proof that the release was recorded.
  /// - Returns: an address for each set.
  /// - Throws: code 103, 5 or 105; what was taken is given back then.
  mutating func run(
    _ configuration: HostLocalConfiguration, in store: inout LeaseStore,
    _ permit: borrowing Permit
  ) throws(CNIError) -> [CNIResult.IP] {
    var requests = configuration.requests
    for (index, set) in configuration.sets.enumerated() {
      let request = requests.firstIndex { set.range(holding: $0) != nil }
        .map { requests.remove(at: $0) }
      let failure: CNIError
      do throws(SystemError) {
        switch try take(from: set, index, request, in: &store, permit) {
        case .taken(let lease):
          leases.append(lease)
          continue
        case .refused(let text): failure = CNIError(.ipam, text)
        }
      } catch {
        failure = CNIError(error)
      }
      giveBack(in: &store, permit)
      throw failure.prefixed(by: "failed to allocate for range \(index): ")
    }
    guard requests.isEmpty else {
      giveBack(in: &store, permit)
      let rest = requests.map(\.description).joined(separator: " ")
      throw CNIError(.ipam, "failed to allocate all requested IPs: \(rest)")
    }
    for (index, lease) in leases.enumerated() { store.noteLast(lease.address, of: index, permit) }
    return leases.compactMap { lease in
      IPNetwork(address: lease.address, prefixLength: lease.range.subnet.prefixLength).map {
        CNIResult.IP(address: $0, gateway: lease.range.gateway)
      }
    }
  }

  private func take(
    from set: RangeSet, _ index: Int, _ request: IPAddress?, in store: inout LeaseStore,
    _ permit: borrowing Permit
  ) throws(SystemError) -> Outcome {
    if let request, let range = set.range(holding: request) {
      return try take(Lease(address: request, range: range), of: set, in: &store, permit)
    }
    if let text = try duplicate(in: set, &store) { return .refused(text) }
    var passed = 0
    for (address, range) in set.walk(after: store.lastReserved(index)) {
      passed &+= 1
      let isFree = store.isFree(address)
      if isFree || passed % 1024 == 0 { try deadline.check("allocate", store.directory) }
      guard isFree else { continue }
      if try store.claim(address, for: owner, permit) {
        return .taken(Lease(address: address, range: range))
      }
    }
    // Nothing else is left: addresses that a dead plugin has lost are better than none.
    for address in store.abandoned {
      guard let range = set.range(holding: address), address != range.gateway else { continue }
      try deadline.check("allocate", store.directory)
      guard try store.reclaim(address, permit) else { continue }
      if try store.claim(address, for: owner, permit) {
        return .taken(Lease(address: address, range: range))
      }
    }
    return .refused(
      HostLocal.exhausted(set, leases: store.count - leases.count, in: store.directory))
  }

  /// Takes the address that was asked for.
  private func take(
    _ lease: Lease, of set: RangeSet, in store: inout LeaseStore, _ permit: borrowing Permit
  ) throws(SystemError) -> Outcome {
    let address = lease.address
    if address == lease.range.gateway {
      return .refused("requested ip \(address) is subnet's gateway")
    }
    if !store.isFree(address) {
      guard store.abandoned.contains(address), try store.reclaim(address, permit) else {
        return try notAvailable(address, in: set, store)
      }
    }
    // The reference asks this only where no address was requested, and so gives a container two.
    if let text = try duplicate(in: set, &store) { return .refused(text) }
    if try store.claim(address, for: owner, permit) { return .taken(lease) }
    return try notAvailable(address, in: set, store)
  }

  /// The reference's text, with who holds the address.
  private func notAvailable(
    _ address: IPAddress, in set: RangeSet, _ store: borrowing LeaseStore
  ) throws(SystemError) -> Outcome {
    let holder = try store.content(of: address).map(LeaseOwner.words) ?? "somebody"
    return .refused(
      "requested IP address \(address) is not available in range set \(set): held by \(holder)")
  }

  /// The text for an attachment, or a container of an old plugin, that has an address of this set.
  private func duplicate(
    in set: RangeSet, _ store: inout LeaseStore
  ) throws(SystemError) -> String? {
    let held = try store.addresses(with: owner.content) + store.addresses(with: owner.idOnly)
    guard let address = held.first(where: { set.range(holding: $0) != nil }) else { return nil }
    return "\(address) has been allocated to \(containerID), duplicate allocation is not allowed"
  }

  /// Gives back what was taken so far, and nothing that the container had before.
  private mutating func giveBack(in store: inout LeaseStore, _ permit: borrowing Permit) {
    for lease in leases {
      // What cannot be removed now is removed by the DEL that follows a failed ADD.
      try? store.remove(lease.address, owner.content, permit)
    }
    leases = []
  }
}
