import CNI
import Linux

/// How much of a directory is read, so that nobody fills the memory with it.
struct ReadingBudget {
  /// Bytes of one file.
  static let fileLimit = 1 << 20
  private var files = 1024
  private var bytes = 16 << 20

  /// What a file has in it.
  enum Content {
    case bytes([UInt8])
    /// There is no file, or a directory.
    case nothing
    /// It can be no configuration, whatever is in it.
    case damaged(String)
    /// It may be read later: something else was at fault.
    case later(String)
  }

  /// Reads a file, through symbolic links; never waits for a pipe or a device.
  mutating func read(_ path: String) -> Content {
    guard files > 0, bytes > 0 else {
      return .damaged("there are too many files, or they are too long together")
    }
    do throws(SystemError) {
      // Looked at before it is opened: opening some files does something.
      let status = try Files.status(path)
      if status.kind == .directory { return .nothing }
      files -= 1
      if let fault = Self.fault(status) { return .damaged(fault) }
      let file = try Files.open(path, [.read, .nonBlocking])
      if let fault = Self.fault(try Files.status(file)) { return .damaged(fault) }
      var content: [UInt8] = []
      while try Descriptor.read(file.rawValue, into: &content) > 0 {
        if content.count > Self.fileLimit { return .damaged(Self.tooLong) }
      }
      bytes -= content.count
      return .bytes(content)
    } catch {
      if error.errno == .noEntry || error.errno == .notDirectory { return .nothing }
      return error.isTransient ? .later("\(error)") : .damaged("\(error)")
    }
  }

  private static func fault(_ status: FileStatus) -> String? {
    guard status.kind == .regular else { return "it is not a regular file" }
    return status.size > fileLimit ? tooLong : nil
  }

  private static var tooLong: String { "it has more than \(fileLimit) bytes" }
}

extension Files {
  /// The names in a directory that end with one of some suffixes, in the order of their bytes.
  static func list(_ path: String, _ suffixes: [String]) throws(SystemError) -> [String] {
    try list(path)
      .filter { name in suffixes.contains { name.hasSuffix($0) } }
      .sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }
}
