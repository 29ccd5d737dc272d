import CLinux

/// A log file below `/var/log` whose name comes from somebody who need not be root.
///
/// Only a regular file of root's, with one name, is written to. No symbolic link is followed below
/// `/var/log`, and no directory is made.
public struct LogFile: ~Copyable, Sendable {
  /// Where log files may be.
  public static let root = "/var/log"

  private let directory: FileDescriptor
  private let file: FileDescriptor
  private let name: String
  private let path: String

  /// Opens a file, made if missing, to be written at its end; never waits.
  ///
  /// - Parameter path: its path.
  /// - Throws: `accessDenied` for a path outside of `/var/log`, and for what is no regular file of
  ///   root's; else the error of open(2).
  public init(_ path: String) throws(SystemError) {
    guard let names = Self.names(path), let name = names.last else {
      throw SystemError("use", "\(path), which is not below \(Self.root)", .accessDenied)
    }
    let folder = try Self.folder(names.dropLast(), path)
    let opened = try Self.file(name, in: folder, path)
    directory = folder
    file = opened
    self.name = name
    self.path = path
  }

  /// The names that lead from the root to a file; nil if they do not stay below it.
  private static func names(_ path: String) -> [String]? {
    let parts = path.utf8.split(separator: 0x2F)
    guard path.utf8.first == 0x2F, path.utf8.last != 0x2F, !path.utf8.contains(0), parts.count > 2,
      parts[0].elementsEqual("var".utf8), parts[1].elementsEqual("log".utf8)
    else { return nil }
    var names: [String] = []
    for part in parts.dropFirst(2) {
      if part.elementsEqual("..".utf8) || part.elementsEqual(".".utf8) { return nil }
      names.append(String(Substring(part)))
    }
    return names
  }

  /// Opens a file's directory step by step, so that no link leads out.
  private static func folder(
    _ names: ArraySlice<String>, _ path: String
  ) throws(SystemError) -> FileDescriptor {
    do throws(SystemError) {
      var directory = try Files.open(root, [.read, .directory])
      for name in names {
        directory = try Files.open(name, in: directory, [.read, .directory, .noFollow])
      }
      return directory
    } catch {
      throw SystemError("open", path, error.errno)
    }
  }

  private static func file(
    _ name: String, in directory: borrowing FileDescriptor, _ path: String
  ) throws(SystemError) -> FileDescriptor {
    do throws(SystemError) {
      let file = try Files.open(
        name, in: directory, [.write, .create, .append, .noFollow, .nonBlocking])
      let status = try Files.status(file)
      guard status.kind == .regular, status.owner == 0, status.links == 1 else {
        throw SystemError("", "", .accessDenied)
      }
      return file
    } catch {
      throw SystemError("open", path, error.errno)
    }
  }

  /// Its size in bytes.
  public func size() throws(SystemError) -> Int { try Files.status(file).size }

  /// Appends bytes.
  public func append(_ bytes: [UInt8]) throws(SystemError) {
    do throws(SystemError) {
      try Descriptor.writeFile(file.rawValue, bytes)
    } catch {
      throw SystemError("write", path, error.errno)
    }
  }

  /// Gives the file the name `<name>.1`, and each older one the next number.
  ///
  /// - Parameter count: how many older files stay.
  public func putAside(keeping count: Int) {
    for number in stride(from: count - 1, through: 1, by: -1) {
      rename("\(name).\(number)", "\(name).\(number + 1)")
    }
    rename(name, "\(name).1")
  }

  private func rename(_ old: String, _ new: String) {
    let number = directory.rawValue
    _ = unsafe renameat(number, old, number, new)
  }
}
