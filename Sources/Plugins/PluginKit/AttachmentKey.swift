import JSON

/// What names an attachment: one interface of one container in one network, made by one plugin.
public struct AttachmentKey: Hashable, Sendable, CustomStringConvertible {
  /// The network's name.
  public let network: String
  /// CNI_CONTAINERID.
  public let containerID: String
  /// CNI_IFNAME.
  public let ifName: String
  /// The plugin's own name, not an alias.
  public let plugin: String
  /// Where it stands in a set of attachments; empty for what a call made itself.
  public let place: String

  /// Creates a key from its parts.
  public init(
    network: String, containerID: String, ifName: String, plugin: String, place: String = ""
  ) {
    self.network = network
    self.containerID = containerID
    self.ifName = ifName
    self.plugin = plugin
    self.place = place
  }

  /// `container/ifname (network, plugin)`, and `, place` where there is one.
  public var description: String {
    "\(containerID)/\(ifName) (\(network), \(plugin)\(place.isEmpty ? "" : ", \(place)"))"
  }
}

extension AttachmentKey {
  /// The members of a record, or of its `parent`, that are the key; no `place` if that is empty.
  var members: [(String, JSONValue)] {
    let members: [(String, JSONValue)] = [
      ("network", .string(network)), ("containerID", .string(containerID)),
      ("ifName", .string(ifName)), ("plugin", .string(plugin)),
    ]
    return place.isEmpty ? members : members + [("place", .string(place))]
  }
}
