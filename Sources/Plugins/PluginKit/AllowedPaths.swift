public import CNI
import Linux

/// The directories that networks may name beside those that a key is made for.
public final class AllowedPaths: Sendable {
  private let directories: Mutex<[String]>

  /// Begins with what root has allowed.
  public init(_ directories: [String] = []) { self.directories = Mutex(directories) }

  /// What is allowed now.
  public var current: [String] { directories.withLock { $0 } }

  /// Allows other directories from now on.
  package func replace(with new: [String]) { directories.withLock { $0 = new } }

  /// Checks a path of a network configuration.
  ///
  /// - Parameters:
  ///   - path: the path.
  ///   - key: where it stands, for the error.
  ///   - own: the directories that the key is made for.
  /// - Throws: code 7 if it leads elsewhere.
  public func check(_ path: String, _ key: String, own: [String]) throws(CNIError) {
    try PathRule(own + current).check(path, key)
  }
}
