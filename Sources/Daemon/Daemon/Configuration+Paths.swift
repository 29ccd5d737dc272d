import JSON

extension Configuration {
  /// Where the paths of networks may lead: what `allowedPaths` lists, and what this file itself
  /// gives to networks by `plugins` and `overrides`.
  package var trustedPaths: [String] {
    var paths = allowedPaths
    for defaults in [overrides] + plugins.keys.sorted().compactMap({ plugins[$0] }) {
      Self.collect(.object(defaults), &paths)
    }
    return paths
  }

  private static func collect(_ value: JSONValue, _ paths: inout [String]) {
    if let object = value.object {
      for member in object.members { collect(member.value, &paths) }
    } else if let list = value.array {
      for element in list { collect(element, &paths) }
    } else if let text = value.string {
      let socket = "unix:"
      let path = text.hasPrefix(socket) ? String(text.dropFirst(socket.count)) : text
      if path.utf8.first == 0x2F { paths.append(path) }
    }
  }
}
