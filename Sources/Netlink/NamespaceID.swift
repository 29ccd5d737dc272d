import CLinux
public import Linux

extension NetlinkSocket {
  /// The id by which the socket's namespace knows another one (`RTM_GETNSID`).
  ///
  /// Ids are per namespace and stay as long as the other namespace lives, even when no path leads to it any more.
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
    let id = try get(request, "look up namespace id", "", deadline: deadline) {
      message throws(WireError) -> Int32? in
      guard message.type == Int(RTM_NEWNSID) else { return nil }
      var reader = ByteReader(message.payload)
      _ = try reader.read(rtgenmsg.self)
      // The header of one byte is padded to four.
      var attributes = AttributeReader(reader.rest.dropFirst(3))
      while let attribute = try attributes.next() {
        if attribute.type == Int(NETNSA_NSID) { return try attribute.read(Int32.self) }
      }
      return nil
    }
    return id.flatMap { $0 >= 0 ? $0 : nil }
  }
}

extension NetlinkChange {
  /// Gives another namespace an id in the socket's own (`RTM_NEWNSID`); fails with `EEXIST` if it has one.
  ///
  /// - Parameters:
  ///   - namespace: the other namespace; its descriptor must be open when the change is sent.
  ///   - id: the id; -1 lets the kernel choose.
  /// - Returns: the change.
  public static func assignNamespaceID(
    to namespace: borrowing NetworkNamespace, id: Int32 = -1
  ) -> NetlinkChange {
    var message = MessageBuilder(type: Int(RTM_NEWNSID))
    message.append(rtgenmsg())
    message.attribute(Int(NETNSA_NSID), id)
    message.attribute(Int(NETNSA_FD), namespace.descriptor.rawValue)
    return NetlinkChange("assign namespace id", "", message)
  }
}
