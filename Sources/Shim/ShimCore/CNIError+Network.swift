import CNI

extension CNIError {
  /// With the network's name at the end of its details, unless the text has it already.
  ///
  /// A runtime's own words do not name a network that is a list (libcni's `pluginDescription`), and
  /// a node may have several with the same fault.
  func naming(network: String) -> CNIError {
    let name = goQuoted(network)
    if network.utf8.isEmpty || holds(message, name) || holds(details, name) { return self }
    let words = "network " + name
    return CNIError(code, message, details: details.utf8.isEmpty ? words : details + "; " + words)
  }
}

private func holds(_ text: String, _ words: String) -> Bool {
  var rest = text.utf8[...]
  while !rest.isEmpty {
    if rest.starts(with: words.utf8) { return true }
    rest = rest.dropFirst()
  }
  return false
}
