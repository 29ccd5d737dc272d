public import CNI
public import Linux
public import Netlink

/// Finds an attachment's namespace and link when no path leads there any more.
///
/// Nothing here enters or holds a namespace longer than the question takes.
public enum AttachmentNamespace {
  /// A link that carries an attachment's mark.
  public struct MarkedLink: Sendable {
    /// The link.
    public let link: Link
    /// The id of the namespace in which it is.
    public let namespaceID: Int32
  }

  /// Looks for an attachment's link in the namespaces that the daemon's own knows by an id.
  ///
  /// By its name first, which is quick; then by its mark alone, as its owner may have renamed it.
  ///
  /// - Parameters:
  ///   - name: the link's name.
  ///   - mark: the attachment's mark; a link without it is nobody's business here.
  ///   - likely: the id that the record names, where it is looked first.
  ///   - node: a socket of the daemon's namespace.
  ///   - deadline: when to give up.
  ///   - passingOver: told the id of a namespace that cannot be read in half a second, because its
  ///     owner changes links all the time; never the likely one.
  /// - Returns: nil if no namespace with an id has it that could be read.
  /// - Throws: what kept us from looking.
  public static func link(
    named name: String, mark: OwnerMark, likely: Int32?, _ node: inout NetlinkSocket,
    deadline: Deadline, passingOver: (Int32) -> Void = { _ in }
  ) throws(NetlinkError) -> MarkedLink? {
    if let likely, let found = try link(name, mark, likely, &node, deadline) { return found }
    let ids = try node.namespaceIDs(deadline: deadline)
    for id in ids where id != likely {
      if let found = try link(name, mark, id, &node, deadline) { return found }
    }
    for id in ids {
      do throws(NetlinkError) {
        let limit = id == likely ? deadline : deadline.capped(milliseconds: patience)
        let found = try node.link(inNamespace: id, deadline: limit) {
          mark.matches(alias: $0.alias)
        }
        if let found { return MarkedLink(link: found, namespaceID: id) }
      } catch {
        guard error.errno == .timedOut, id != likely, !deadline.isOver else { throw error }
        passingOver(id)
      }
    }
    return nil
  }

  /// How long the links of one namespace are looked through: their number is its owner's matter.
  private static let patience = 500

  private static func link(
    _ name: String, _ mark: OwnerMark, _ id: Int32, _ node: inout NetlinkSocket,
    _ deadline: Deadline
  ) throws(NetlinkError) -> MarkedLink? {
    guard let link = try node.link(named: name, inNamespace: id, deadline: deadline),
      mark.matches(alias: link.alias)
    else { return nil }
    return MarkedLink(link: link, namespaceID: id)
  }

  /// Whether a path opens the namespace with this cookie now.
  ///
  /// - Throws: when it could not be found out, such as for lack of descriptors.
  public static func leads(_ path: String, to cookie: UInt64) throws(CNIError) -> Bool {
    guard let namespace = try opened(path) else { return false }
    return try mapped { () throws(NetlinkError) in try namespace.cookie() } == cookie
  }

  /// Whether a path opens a namespace.
  ///
  /// - Throws: when it could not be found out.
  package static func isThere(_ path: String) throws(CNIError) -> Bool {
    guard let namespace = try opened(path) else { return false }
    _ = consume namespace
    return true
  }

  /// Opens the namespace behind a path; nil if there is none any more.
  ///
  /// - Throws: when it could not be found out, such as for lack of descriptors.
  public static func opened(_ path: String) throws(CNIError) -> NetworkNamespace? {
    if path.isEmpty { return nil }
    do throws(SystemError) {
      return try NetworkNamespace(path: path)
    } catch {
      if error.isGoneNamespace { return nil }
      throw CNIError(error, doing: "failed to open netns \(goQuoted(path))")
    }
  }

  /// What leads to the namespace of an attachment.
  package struct Trace: Sendable {
    package let key: AttachmentKey
    package let namespace: NamespaceIdentity
    /// CNI_NETNS of its ADD; may be empty.
    package let path: String

    /// Nil for an attachment that has no namespace.
    package init?(_ record: AttachmentRecord) {
      guard let namespace = record.namespace else { return nil }
      key = record.key
      self.namespace = namespace
      path = record.environment["CNI_NETNS"] ?? ""
    }
  }

  /// Whether the namespace of an attachment is still there.
  ///
  /// It is if its path opens it, if it is the daemon's own, or if some namespace has the
  /// attachment's link.
  ///
  /// - Parameters:
  ///   - trace: what leads there.
  ///   - node: a socket of the daemon's namespace.
  ///   - deadline: when to give up.
  /// - Returns: whether it is.
  /// - Throws: when it could not be found out.
  package static func isAlive(
    _ trace: Trace, _ node: inout NetlinkSocket, deadline: Deadline
  ) throws(CNIError) -> Bool {
    let (key, namespace, path) = (trace.key, trace.namespace, trace.path)
    if try leads(path, to: namespace.cookie) { return true }
    return try mapped { () throws(NetlinkError) in
      if try node.namespaceCookie() == namespace.cookie { return true }
      let mark = OwnerMark(containerID: key.containerID, ifName: key.ifName)
      return try link(
        named: key.ifName, mark: mark, likely: namespace.id, &node, deadline: deadline)
        != nil
    }
  }
}
