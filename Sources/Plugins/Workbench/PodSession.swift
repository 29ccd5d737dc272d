package import CNI
package import Linux
package import Netlink
package import PluginKit

/// One call's work on a pod's links: the node's namespace and the pod's, open until the call ends.
package struct PodSession: ~Copyable {
  /// On which side a link is.
  package enum Side: Sendable {
    /// In the daemon's own namespace.
    case node
    /// In the pod's.
    case pod
  }

  /// What is asked for.
  package let request: PodRequest
  /// The daemon's own namespace.
  package var node: LinkAccess
  /// The pod's.
  package var pod: LinkAccess
  private let namespace: NetworkNamespace

  /// Opens the namespaces of a call on an attachment that is there.
  ///
  /// - Throws: code 4 `failed to open netns …`.
  package init(_ request: PodRequest) throws(CNIError) {
    try self.init(request, LinkAccess(deadline: request.deadline), listeningTo: [])
  }

  private init(
    _ request: PodRequest, _ node: consuming LinkAccess, listeningTo groups: [NotificationGroup]
  ) throws(CNIError) {
    let namespace = try Self.namespace(of: request)
    pod = try LinkAccess(in: namespace, listeningTo: groups, deadline: request.deadline)
    self.namespace = namespace
    self.node = node
    self.request = request
  }

  private static func namespace(of request: PodRequest) throws(CNIError) -> NetworkNamespace {
    do throws(SystemError) {
      return try NetworkNamespace(path: request.netns)
    } catch {
      let isOther = error.errno == .invalid
      var told = CNIError(error, code: .invalidEnvironment)
      told.message =
        "failed to open netns \(goQuoted(request.netns)): "
        + (isOther ? "it is no network namespace (mountPropagation?)" : "\(error.errno)")
      throw told
    }
  }

  /// Opens the namespaces for an ADD, with the daemon's own that the plugin may have asked already.
  ///
  /// - Throws: code 8 for the node's own namespace, where a link is never a pod's, unless the
  ///   caller insists; code 4 for an interface that is there already, which stays untouched.
  package static func attaching(
    _ request: PodRequest, _ node: consuming LinkAccess
  ) throws(CNIError) -> PodSession {
    var session = try PodSession(request, node, listeningTo: [.ipv6Addresses])
    if try session.node.cookie() == session.pod.cookie(), !request.allowsOwnNamespace {
      throw CNIError(
        .invalidNamespace, "plugin's netns and netns from CNI_NETNS should not be the same")
    }
    try session.refuseExisting(request.ifName)
    return session
  }

  /// Opens the namespaces for an ADD of a plugin that has asked the node nothing yet.
  package static func attaching(_ request: PodRequest) throws(CNIError) -> PodSession {
    try attaching(request, LinkAccess(deadline: request.deadline))
  }

  /// Refuses a name that a link of the pod has.
  ///
  /// - Throws: code 4.
  package mutating func refuseExisting(_ ifName: String) throws(CNIError) {
    if try pod.link(named: ifName) != nil { throw request.linkExists(ifName) }
  }

  /// How the kernel names the pod's namespace, for the record.
  package mutating func identity() throws(CNIError) -> NamespaceIdentity {
    try NamespaceIdentity(
      of: namespace, cookie: pod.cookie(), &node.sockets.socket, deadline: request.deadline)
  }

  /// The descriptor of the pod's namespace, for links that appear there.
  package var podDescriptor: Int32 { namespace.descriptor.rawValue }

  // MARK: Links

  /// Creates a link through the socket of one side; it, or its other end, is `ifName` in the pod.
  ///
  /// `hint` is what the kernel means where it finds the message invalid.
  ///
  /// - Throws: code 4 if the pod has a link of that name by now; else code 100.
  package mutating func create(
    _ link: NewLink, on side: Side = .node, as ifName: String, doing message: String,
    hint: String = "", _ permit: borrowing Permit
  ) throws(CNIError) {
    let deadline = request.deadline
    do throws(NetlinkError) {
      switch side {
      case .node: try node.sockets.socket.apply([.createLink(link)], permit, deadline: deadline)
      case .pod: try pod.sockets.socket.apply([.createLink(link)], permit, deadline: deadline)
      }
    } catch {
      // Which of a pair's names was taken the kernel does not say.
      if error.errno == .exists, (try? pod.link(named: ifName)) != nil {
        throw request.linkExists(ifName)
      }
      let isHinted = error.errno == .invalid && !hint.isEmpty
      throw CNIError(error, doing: isHinted ? "\(message): \(hint)" : message)
    }
  }

  /// Marks a link as the attachment's; the kernel takes no mark in the message that makes it.
  ///
  /// One of the node gets no IPv6 address of its own. With `isUp` it is brought up afterwards.
  package mutating func mark(
    _ link: Link, on side: Side, isUp: Bool = false, _ permit: borrowing Permit
  ) throws(CNIError) {
    var changes = [NetlinkChange.change(link, marked)]
    if side == .node { changes.append(.withoutIPv6Address(index: link.index, name: link.name)) }
    if isUp { changes.append(.change(link, LinkSettings(isUp: true))) }
    try apply(changes, on: side, permit, doing: "failed to mark \(goQuoted(link.name))")
  }

  /// Settings that hold the attachment's mark, for a link whose first change is its mark.
  package var marked: LinkSettings { LinkSettings(alias: request.mark.text) }

  /// Makes changes in one of the namespaces.
  package mutating func apply(
    _ changes: [NetlinkChange], on side: Side, _ permit: borrowing Permit,
    doing message: @autoclosure () -> String? = nil
  ) throws(CNIError) {
    switch side {
    case .node: try node.apply(changes, permit, doing: message())
    case .pod: try pod.apply(changes, permit, doing: message())
    }
  }

  /// A link of the pod that must be the attachment's; code 4 if it is not there or another's.
  package mutating func ownLink(
    named name: String, where isOwn: LinkRemover.Condition
  ) throws(CNIError) -> Link {
    let cookie = try pod.cookie()
    if let link = try pod.link(named: name), isOwn(link, cookie) { return link }
    throw request.notAttached(name)
  }
}
