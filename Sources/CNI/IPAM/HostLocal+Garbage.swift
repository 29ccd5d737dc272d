package import Addresses
package import CNI
package import Linux

extension HostLocal {
  /// Says which of some addresses links have that are there.
  package typealias Use = (Set<IPAddress>) throws(CNIError) -> Set<IPAddress>

  /// Gives back the addresses of attachments of this network that are not listed.
  ///
  /// Only files that are named like an address are looked at. A file of an old plugin, which names
  /// the container alone, stays while any attachment of that container is listed; an empty one
  /// goes. Of what is not listed, a lease goes only if no link has its address; and nothing of a
  /// container goes of which any interface is listed.
  ///
  /// - Parameters:
  ///   - valid: the attachments that keep theirs.
  ///   - use: asked while the directory is not locked; nil: what is not listed goes in any case,
  ///     whatever else its container has.
  ///   - permit: the proof that this is wanted.
  /// - Returns: the leases that are not listed and were kept because their addresses are in use.
  /// - Throws: code 5, after everything else was removed; 7, 105.
  @discardableResult
  package func collectGarbage(
    valid: [NetworkConfiguration.Attachment], use: Use? = nil, _ permit: borrowing Permit
  ) throws(CNIError) -> [String] {
    let kept = Kept(valid, wholeContainers: use != nil)
    var living: Set<IPAddress> = []
    var asked: [IPAddress: [UInt8]] = [:]
    if let use {
      asked = try unlisted(kept)
      if !asked.isEmpty { living = try use(Set(asked.keys)) }
    }
    guard var store = try open(create: false) else { return [] }
    var spared: [String] = []
    var failure: SystemError?
    do throws(SystemError) {
      for (address, content) in try store.everything() where !kept.has(content) {
        if use != nil, !content.isEmpty {
          // What was taken meanwhile is nobody's garbage.
          if asked[address] != content { continue }
          if living.contains(address) {
            spared.append("lease \(address) of container \(LeaseOwner.container(content))")
            continue
          }
        }
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
    return spared
  }

  /// The leases that are not listed, with what their files hold.
  private func unlisted(_ kept: Kept) throws(CNIError) -> [IPAddress: [UInt8]] {
    guard var store = try open(create: false) else { return [:] }
    var leases: [IPAddress: [UInt8]] = [:]
    do throws(SystemError) {
      for (address, content) in try store.everything() where !kept.has(content) {
        if !content.isEmpty { leases[address] = content }
      }
    } catch {
      throw CNIError(error)
    }
    store.close()
    return leases
  }
}

/// Whose leases stay.
private struct Kept {
  private var contents: Set<[UInt8]> = []
  private let wholeContainers: Bool

  init(_ valid: [NetworkConfiguration.Attachment], wholeContainers: Bool) {
    self.wholeContainers = wholeContainers
    for attachment in valid {
      let owner = LeaseOwner(containerID: attachment.containerID, ifName: attachment.ifName)
      contents.formUnion([owner.content, owner.idOnly])
    }
  }

  func has(_ content: [UInt8]) -> Bool {
    if contents.contains(content) { return true }
    return wholeContainers && contents.contains(Array(content.prefix { $0 != 0x0D }))
  }
}

extension LeaseOwner {
  /// The container that a file's content names, for people.
  fileprivate static func container(_ content: [UInt8]) -> String {
    String(decoding: content.prefix { $0 != 0x0D && $0 != 0x0A }, as: UTF8.self)
  }
}
