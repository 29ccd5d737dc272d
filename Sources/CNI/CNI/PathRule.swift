/// Where the paths of a network configuration may lead.
///
/// Whoever writes a network need not be root, and root opens what it names. So a path counts only
/// below directories that root has chosen.
public struct PathRule: Equatable, Sendable {
  /// What is chosen.
  public let directories: [String]

  /// Allows what is below some directories.
  public init(_ directories: [String]) { self.directories = directories }

  /// Checks a path by its words: links below the directories are root's own.
  ///
  /// - Parameters:
  ///   - path: the path.
  ///   - key: where it stands in the configuration, for the error.
  /// - Throws: code 7 if the path is not absolute, goes up, or leads elsewhere.
  public func check(_ path: String, _ key: String) throws(CNIError) {
    if allows(path) { return }
    throw CNIError(
      .invalidConfiguration,
      "\(key): \(goQuoted(path)) is outside of \(directories.joined(separator: ", "))",
      details: "root allows more directories by \"allowedPaths\" of cnid.json")
  }

  /// Whether a path is one of the directories, or below one.
  public func allows(_ path: String) -> Bool {
    guard let names = Self.names(path) else { return false }
    return directories.contains { directory in
      guard let root = Self.names(directory), root.count <= names.count else { return false }
      return zip(root, names).allSatisfy { sameBytes($0, $1) }
    }
  }

  /// The names in an absolute path, `/var/run` taken for `/run`; nil for any other path.
  private static func names(_ path: String) -> [String]? {
    guard path.utf8.first == 0x2F, !path.utf8.contains(0) else { return nil }
    var names: [String] = []
    for part in split(path, at: 0x2F) where !part.utf8.isEmpty && !sameBytes(part, ".") {
      if sameBytes(part, "..") { return nil }
      names.append(part)
    }
    if names.count > 1, sameBytes(names[0], "var"), sameBytes(names[1], "run") {
      names.removeFirst()
    }
    return names
  }
}
