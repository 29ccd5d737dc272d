extension DirectoryWatch {
  /// Directories, and what of each is of interest.
  public struct Places: Sendable {
    private var interests: [String: Interest] = [:]
    /// Whether there were more than anybody can want.
    public private(set) var isCut = false

    private static let limit = 4096
    /// As many symbolic links does the kernel follow.
    private static let longestChain = 40

    /// None.
    public init() {}

    /// The paths and interests, in the order of the paths.
    var list: [(path: String, interest: Interest)] {
      interests.sorted { $0.key < $1.key }.map { (path: $0.key, interest: $0.value) }
    }

    /// Adds a directory; no part of its path should be a symbolic link.
    public mutating func add(_ path: String, _ interest: Interest) {
      if let other = interests[path] {
        interests[path] = other.union(interest)
      } else if interests.count < Self.limit {
        interests[path] = interest
      } else {
        isCut = true
      }
    }

    /// Whether there is none.
    public var isEmpty: Bool { interests.isEmpty }

    /// Adds others.
    public mutating func add(_ others: Places) {
      for (path, interest) in others.list { add(path, interest) }
      isCut = isCut || others.isCut
    }

    /// Adds what can make a path lead elsewhere than now: each directory on its way, the names of
    /// symbolic links in theirs, and the name that is missing where the way ends too early.
    ///
    /// - Parameters:
    ///   - path: the path.
    ///   - start: a directory without symbolic links in its path, for a path that is relative.
    /// - Returns: the directory that it leads to, without symbolic links; nil if it leads to
    ///   nothing or to something else.
    public mutating func follow(_ path: String, from start: String = "/") -> String? {
      var here = path.utf8.first == 0x2F ? "/" : start
      var rest = Self.parts(of: path)
      var links = 0
      while let name = rest.popLast() {
        if name == ".." {
          here = Self.parent(of: here)
          continue
        }
        let next = here == "/" ? "/\(name)" : "\(here)/\(name)"
        switch (try? Files.linkStatus(next))?.kind {
        case .directory:
          add(next, .names([]))
          here = next
        case .symbolicLink:
          add(here, .names([name]))
          links += 1
          guard links <= Self.longestChain, let target = try? Files.linkTarget(next) else {
            return nil
          }
          if target.utf8.first == 0x2F { here = "/" }
          rest += Self.parts(of: target)
        default:
          add(here, .names([name]))
          return nil
        }
      }
      return here
    }

    /// The names in a path, the last one first.
    private static func parts(of path: String) -> [String] {
      path.utf8.split(separator: 0x2F).map { String(decoding: $0, as: UTF8.self) }
        .filter { $0 != "." }.reversed()
    }

    private static func parent(of path: String) -> String {
      guard let slash = path.utf8.lastIndex(of: 0x2F), slash > path.startIndex else { return "/" }
      return String(path[..<slash])
    }
  }
}
