public import Linux

/// A directory of a test's own, removed with everything in it when nobody has it any more.
public final class TemporaryDirectory: Sendable {
  /// Its path: short, so that socket paths in it fit.
  public let path: String

  /// Where they are: `$CNI_TEST_DIRECTORY` or `/tmp`.
  public static var parent: String { Program.environment["CNI_TEST_DIRECTORY"] ?? "/tmp" }

  /// Creates one, 0700, in the place of all.
  ///
  /// - Parameter parent: where; nil for the place of all.
  /// - Throws: when it cannot be made.
  public init(in parent: String? = nil) throws(SystemError) {
    let name = try Random.bytes(6).map { byte in
      (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }
    path = "\(parent ?? Self.parent)/cnid-\(name.joined())"
    try Files.makeDirectory(path)
  }

  deinit { Self.removeTree(path) }

  /// The path of something in it.
  public func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

  /// Every file below a directory with its path relative to it, sorted; empty if there
  /// is no directory.
  public static func files(below directory: String) -> [String] {
    var found: [String] = []
    for name in (try? Files.list(directory)) ?? [] {
      let path = "\(directory)/\(name)"
      if (try? Files.linkStatus(path))?.kind == .directory {
        found += files(below: path).map { "\(name)/\($0)" }
      } else {
        found.append(name)
      }
    }
    return found.sorted()
  }

  /// Removes a directory and everything in it; what cannot be removed stays.
  public static func removeTree(_ directory: String) {
    for name in (try? Files.list(directory)) ?? [] {
      let path = "\(directory)/\(name)"
      if (try? Files.linkStatus(path))?.kind == .directory {
        removeTree(path)
      } else {
        try? Files.remove(path)
      }
    }
    try? Files.removeDirectory(directory)
  }
}
