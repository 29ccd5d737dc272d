import JSON

extension NetworkConfiguration {
  /// An attachment that GC must not touch.
  public struct Attachment: Hashable, Sendable {
    /// The container's id, CNI_CONTAINERID.
    public let containerID: String
    /// The link's name in the container, CNI_IFNAME.
    public let ifName: String

    /// Creates an attachment.
    public init(containerID: String, ifName: String) {
      self.containerID = containerID
      self.ifName = ifName
    }
  }

  /// The attachments that are still valid, for GC.
  ///
  /// They are under `cni.dev/valid-attachments`, or else under the older `cni.dev/attachments`.
  /// `null` is what runtimes in Go send for an empty list. A missing list is not an empty one; and
  /// an entry that cannot be read is never skipped.
  ///
  /// - Throws: code 7 if neither key is there or an entry lacks something, code 6 for a wrong type.
  public func validAttachments() throws(CNIError) -> [Attachment] {
    let reader = MemberReader(object, .configuration)
    let keys = ["cni.dev/valid-attachments", "cni.dev/attachments"]
    guard let key = keys.first(where: { reader.member($0) != nil }) else {
      if keys.contains(where: { object[$0] != nil }) { return [] }
      throw CNIError(
        .invalidConfiguration,
        "missing cni.dev/valid-attachments: container runtimes send it, cnitool does not",
        details: "GC needs the list of valid attachments, which may be empty")
    }
    var attachments: [Attachment] = []
    for entry in try reader.readers(key) {
      guard let containerID = try entry.string("containerID"), !containerID.isEmpty,
        let ifName = try entry.string("ifname"), !ifName.isEmpty
      else {
        throw CNIError(
          .invalidConfiguration, "\(entry.path) lacks containerID or ifname")
      }
      attachments.append(Attachment(containerID: containerID, ifName: ifName))
    }
    return attachments
  }

  /// Whether a GC takes what its list does not name also from pods that live (`gcLiving`), as the
  /// letter of the specification has it.
  ///
  /// - Throws: code 6 for what is no truth value.
  public func collectsLiving() throws(CNIError) -> Bool {
    try MemberReader(object, .configuration).flag("gcLiving") ?? false
  }

  /// The configuration of a GC with a list of valid attachments, under both keys.
  ///
  /// The bytes stay as they are where it has that list already.
  ///
  /// - Throws: as `init(_:)`.
  public func listing(_ valid: [Attachment]) throws(CNIError) -> NetworkConfiguration {
    let isList = ["cni.dev/valid-attachments", "cni.dev/attachments"].contains {
      object[$0]?.array != nil
    }
    if isList, let given = try? validAttachments(), given == valid { return self }
    let list = JSONValue.array(
      valid.map { entry in
        ["containerID": .string(entry.containerID), "ifname": .string(entry.ifName)]
      })
    return try replacing([("cni.dev/valid-attachments", list), ("cni.dev/attachments", list)])
  }
}
