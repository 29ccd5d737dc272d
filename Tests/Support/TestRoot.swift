public import Linux

/// A root directory of a test's own, with a few of the machine's programs in it.
public final class TestRoot: Sendable {
  /// Where it is.
  public let directory: TemporaryDirectory
  /// The directory as a root.
  public let root: RootDirectory

  /// Copies programs and their libraries; blocks.
  ///
  /// `/bin` is an absolute link, as hosts have them.
  ///
  /// - Parameter programs: their names; the shell is there in any case.
  /// - Throws: when something cannot be copied.
  public init(_ programs: [String] = []) throws {
    directory = try TemporaryDirectory()
    root = try RootDirectory(directory.path)
    var files: Set<String> = []
    for path in (["sh"] + programs).map(Program.find) {
      files.insert(path)
      let words = try Program.runBlocking(["ldd", path]).text.split { " \t\n".contains($0) }
      for word in words where word.hasPrefix("/") { files.insert(String(word)) }
    }
    // Not by this process: a program that another test starts meanwhile would hold the files open
    // for writing.
    let copied = try Program.runBlocking(
      ["cp", "-L", "--parents"] + files.sorted() + [directory.path])
    let linked = try Program.runBlocking(["ln", "-s", "/usr/bin", directory("bin")])
    guard copied.succeeded, linked.succeeded else { throw TestError("\(copied) \(linked)") }
  }

  /// Writes a file of it; its directory is made.
  public func write(_ path: String, _ text: String, permissions: UInt32 = 0o644) throws {
    if let slash = path.lastIndex(of: "/"), slash > path.startIndex {
      try Files.makeDirectories(directory.path + path[..<slash], permissions: 0o755)
    }
    try Files.write(
      directory.path + path, Array(text.utf8), mode: [.write, .create, .truncate],
      permissions: permissions)
  }
}
