package import Addresses
package import CNI
package import Linux
import Netlink

// What has an address is found out by looking wherever a pod can be: in the daemon's own namespace,
// in those that it knows by an id, in those that are mounted, and in those of processes.

extension AttachmentNamespace {
  /// Which of some addresses a link of any namespace has that can be found.
  ///
  /// - Parameters:
  ///   - addresses: those that are looked for.
  ///   - deadline: when to give up.
  /// - Returns: those that are in use.
  /// - Throws: when it could not be found out.
  package static func inUse(
    _ addresses: Set<IPAddress>, deadline: Deadline
  ) throws(CNIError) -> Set<IPAddress> {
    var missing = addresses
    try mapped { () throws(NetlinkError) in
      var node = try NetlinkSocket()
      missing.subtract(try node.addresses(among: missing, deadline: deadline))
      for id in try node.namespaceIDs(deadline: deadline) where !missing.isEmpty {
        missing.subtract(
          try node.addresses(among: missing, inNamespace: id, deadline: deadline))
      }
    }
    var seen: Set<UInt64> = []
    for path in paths where !missing.isEmpty {
      // Of processes come and go; many share one namespace.
      guard let status = try? Files.status(path), seen.insert(status.inode).inserted,
        let namespace = try readable(path)
      else { continue }
      missing.subtract(
        try mapped { () throws(NetlinkError) in
          var sockets = try NamespaceSockets.open(in: namespace, listeningTo: [])
          return try sockets.socket.addresses(among: missing, deadline: deadline)
        })
    }
    return addresses.subtracting(missing)
  }

  private static var paths: [String] {
    let mounted = ["/run/netns", "/run/docker/netns"].flatMap { directory in
      ((try? Files.list(directory)) ?? []).map { "\(directory)/\($0)" }
    }
    let processes = ((try? Files.list("/proc")) ?? []).filter {
      $0.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
    return mounted + processes.map { "/proc/\($0)/ns/net" }
  }

  /// Opens a namespace; nil for one that nobody lets us see.
  private static func readable(_ path: String) throws(CNIError) -> NetworkNamespace? {
    do throws(SystemError) {
      return try NetworkNamespace(path: path)
    } catch {
      switch error.errno {
      case .accessDenied, .notPermitted: return nil
      default: if error.isGoneNamespace { return nil }
      }
      throw CNIError(error)
    }
  }
}
