import CLinux
public import Linux

// Ids are per namespace: the socket's namespace knows another one by a small number as long as that
// lives, even when no path leads to it any more. The kernel forgets a number with its namespace and
// may give it to a later one.

extension NetlinkSocket {
  /// The id by which the socket's namespace knows another one (`RTM_GETNSID`).
  ///
  /// - Parameters:
  ///   - namespace: the other namespace.
  ///   - deadline: when to give up.
  /// - Returns: nil if it has none.
  /// - Throws: as `get`.
  public mutating func namespaceID(
    of namespace: borrowing NetworkNamespace, deadline: Deadline
  ) throws(NetlinkError) -> Int32? {
    var request = MessageBuilder(type: Int(RTM_GETNSID))
    request.append(rtgenmsg())
    request.attribute(Int(NETNSA_FD), namespace.descriptor.rawValue)
    return try get(
      request, "look up namespace id", "", deadline: deadline, parse: NamespaceID.parse)
  }

  /// The ids of all namespaces that the socket's own knows by one.
  public mutating func namespaceIDs(deadline: Deadline) throws(NetlinkError) -> [Int32] {
    var request = MessageBuilder(type: Int(RTM_GETNSID))
    request.append(rtgenmsg())
    return try dump(request, "list namespace ids", "", deadline: deadline, parse: NamespaceID.parse)
  }

  /// The id by which the socket's namespace knows another one, which gets one if it has none
  /// (`RTM_NEWNSID`).
  ///
  /// It needs no permit: nobody has to take the id back. One message if there was
  /// none yet, else two.
  ///
  /// - Parameters:
  ///   - namespace: the other namespace.
  ///   - deadline: when to give up.
  /// - Returns: the id.
  /// - Throws: as `get`.
  public mutating func ensureNamespaceID(
    of namespace: borrowing NetworkNamespace, deadline: Deadline
  ) throws(NetlinkError) -> Int32 {
    // Echoed, the kernel's announcement of the new id is the answer.
    let request = NamespaceID.assignment(to: namespace, flags: NLM_F_ECHO)
    let operation = "assign namespace id"
    do throws(NetlinkError) {
      if let id = try get(request, operation, "", deadline: deadline, parse: NamespaceID.parse) {
        return id
      }
    } catch {
      if error.errno != .exists { throw error }
    }
    if let id = try namespaceID(of: namespace, deadline: deadline) { return id }
    throw NetlinkError(operation, "", .noEntry, kernelMessage: "the namespace has no id")
  }
}

extension NetlinkChange {
  /// Gives another namespace an id in the socket's own (`RTM_NEWNSID`); fails with
  /// `EEXIST` if it has one.
  ///
  /// - Parameters:
  ///   - namespace: the other namespace; its descriptor must be open when the change is sent.
  ///   - id: the id; -1 lets the kernel choose.
  /// - Returns: the change.
  public static func assignNamespaceID(
    to namespace: borrowing NetworkNamespace, id: Int32 = -1
  ) -> NetlinkChange {
    NetlinkChange("assign namespace id", "", NamespaceID.assignment(to: namespace, id: id))
  }
}

/// The messages about namespace ids.
enum NamespaceID {
  static func assignment(
    to namespace: borrowing NetworkNamespace, id: Int32 = -1, flags: Int32 = 0
  ) -> MessageBuilder {
    var message = MessageBuilder(type: Int(RTM_NEWNSID), flags: flags)
    message.append(rtgenmsg())
    message.attribute(Int(NETNSA_NSID), id)
    message.attribute(Int(NETNSA_FD), namespace.descriptor.rawValue)
    return message
  }

  static func parse(_ message: NetlinkMessage) throws(WireError) -> Int32? {
    message.type == Int(RTM_NEWNSID) ? try id(message) : nil
  }

  /// The id that a message speaks of; nil for "none", which the kernel says as -1.
  static func id(_ message: NetlinkMessage) throws(WireError) -> Int32? {
    var reader = ByteReader(message.payload)
    _ = try reader.read(rtgenmsg.self)
    // The header of one byte is padded to four.
    var attributes = AttributeReader(reader.rest.dropFirst(3))
    while let attribute = try attributes.next() {
      guard attribute.type == Int(NETNSA_NSID) else { continue }
      let id = try attribute.read(Int32.self)
      return id >= 0 ? id : nil
    }
    return nil
  }
}
