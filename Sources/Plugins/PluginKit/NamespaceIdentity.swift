public import CNI
import JSON
public import Linux
public import Netlink

/// How the kernel names the namespace of an attachment, whatever becomes of its path.
public struct NamespaceIdentity: Hashable, Sendable {
  /// SO_NETNS_COOKIE: never used twice while the machine runs.
  public let cookie: UInt64
  /// The id by which the daemon's own namespace knows it, `RTM_NEWNSID`; nil for the daemon's own
  /// and in old records.
  ///
  /// It leads to the namespace without a path, but once that has ended it may lead to another one:
  /// what is found by it must carry the attachment's mark.
  public let id: Int32?

  /// Creates an identity.
  public init(cookie: UInt64, id: Int32? = nil) {
    self.cookie = cookie
    self.id = id
  }

  /// Names a namespace for an ADD's record, giving it an id in the daemon's own if it has none.
  ///
  /// One netlink message for a new pod, two for a further interface. Nothing has to be undone: the
  /// kernel forgets the id with the namespace.
  ///
  /// - Parameters:
  ///   - namespace: the pod's.
  ///   - cookie: its cookie, as a socket in it has it.
  ///   - node: a socket of the daemon's namespace.
  ///   - deadline: when to give up.
  /// - Throws: code 100 or 105.
  public init(
    of namespace: borrowing NetworkNamespace, cookie: UInt64, _ node: inout NetlinkSocket,
    deadline: Deadline
  ) throws(CNIError) {
    do throws(NetlinkError) {
      // The daemon's own namespace never ends before the daemon, so nobody has to look for it.
      let isOwn = try node.namespaceCookie() == cookie
      let id = isOwn ? nil : try node.ensureNamespaceID(of: namespace, deadline: deadline)
      self.init(cookie: cookie, id: id)
    } catch {
      throw CNIError(error)
    }
  }

  init?(_ object: JSONObject) {
    guard let cookie = object["cookie"]?.uint64 else { return nil }
    self.cookie = cookie
    guard let value = object["id"] else {
      id = nil
      return
    }
    guard let number = value.int, let id = Int32(exactly: number), id >= 0 else { return nil }
    self.id = id
  }

  var json: JSONObject {
    var object = JSONObject([("cookie", .number(JSONNumber(cookie)))])
    if let id { object["id"] = .number(JSONNumber(Int(id))) }
    return object
  }
}
