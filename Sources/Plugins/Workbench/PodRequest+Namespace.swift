package import CNI
package import Linux
package import Netlink
package import PluginKit

/// What the plugins that work in a pod's namespace ask of a request.
extension PodRequest {
  /// The mark of this request's attachment.
  package var mark: OwnerMark { OwnerMark(containerID: sandboxID, ifName: ifName) }

  /// Whether the caller insists on the node's own namespace (`CNI_NETNS_OVERRIDE`).
  package var allowsOwnNamespace: Bool {
    let value = environment["CNI_NETNS_OVERRIDE", default: ""].lowercased()
    return value == "1" || value == "true"
  }

  /// Opens the request's namespace, which must be there.
  ///
  /// - Throws: code 4 `failed to open netns …`.
  package func openNamespace() throws(CNIError) -> NetworkNamespace {
    do throws(SystemError) {
      return try NetworkNamespace(path: netns)
    } catch {
      throw CNIError(
        .invalidEnvironment, "failed to open netns \(goQuoted(netns)): \(error.errno)",
        details: "\(error)")
    }
  }

  /// Refuses an ADD in the node's own namespace, unless the caller insists: a link there is never a pod's.
  ///
  /// - Parameters:
  ///   - node: a socket of the daemon's namespace.
  ///   - pod: one of the request's.
  /// - Throws: code 8.
  package func refuseOwnNamespace(
    _ node: borrowing NetlinkSocket, _ pod: borrowing NetlinkSocket
  ) throws(CNIError) {
    let isSame: Bool
    do throws(NetlinkError) {
      isSame = try node.namespaceCookie() == pod.namespaceCookie()
    } catch {
      throw CNIError(error)
    }
    if isSame, !allowsOwnNamespace {
      throw CNIError(
        .invalidNamespace, "plugin's netns and netns from CNI_NETNS should not be the same")
    }
  }

  /// Refuses an ADD of an interface that is there already, which stays untouched.
  ///
  /// - Throws: ``linkExists``.
  package func refuseExistingLink(_ pod: inout NetlinkSocket) throws(CNIError) {
    let existing: Link?
    do throws(NetlinkError) {
      existing = try pod.link(named: ifName, deadline: deadline)
    } catch {
      throw CNIError(error)
    }
    if existing != nil { throw linkExists }
  }

  /// Code 4: the interface is there already.
  package var linkExists: CNIError {
    CNIError(
      .invalidEnvironment, "interface \(goQuoted(ifName)) already exists in \(netns)")
  }
}

extension NamespaceIdentity {
  /// Names the namespace of an ADD, whose number a socket in it knows already.
  ///
  /// - Parameters:
  ///   - namespace: the pod's.
  ///   - pod: a socket in it.
  ///   - node: a socket of the daemon's namespace.
  ///   - deadline: when to give up.
  /// - Throws: code 100 or 105.
  package init(
    of namespace: borrowing NetworkNamespace, _ pod: borrowing NetlinkSocket,
    _ node: inout NetlinkSocket, deadline: Deadline
  ) throws(CNIError) {
    let cookie: UInt64
    do throws(NetlinkError) {
      cookie = try pod.namespaceCookie()
    } catch {
      throw CNIError(error)
    }
    try self.init(of: namespace, cookie: cookie, &node, deadline: deadline)
  }
}
