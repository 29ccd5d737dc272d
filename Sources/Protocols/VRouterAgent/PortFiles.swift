import JSON
public import Linux

/// The directory in which the agent finds its ports again when it starts:
/// `<config-dir>/<pod's name>/<interface>`.
///
/// Layout and content are the original's, so that either program can remove what the other wrote. A
/// file is put in place whole: the agent passes over a torn one without a word and the pod would
/// have no network.
public struct PortFiles: Sendable, Equatable {
  /// The plugin's `config-dir`.
  public let directory: String

  /// Names the directory; nothing is read or made yet.
  public init(directory: String) { self.directory = directory }

  /// Writes a port's file and waits until it is on the disk; missing directories are created.
  public func write(
    _ port: VRouter.Port, _ permit: borrowing Permit
  ) throws(VRouterError) {
    try write(port, port.encoded)
  }

  /// Writes a port's file with the bytes that the agent gets as well.
  func write(_ port: VRouter.Port, _ bytes: [UInt8]) throws(VRouterError) {
    let pod = try path(port.name)
    try system { () throws(SystemError) in
      let isNew = try Files.makeDirectories(pod, permissions: 0o755)
      let place = "\(pod)/\(port.interface)"
      do throws(SystemError) {
        try put(bytes, at: place, by: Self.temporary(port.interface, in: workArea))
      } catch {
        // The port files have a file system of their own, or nothing beside them can be written.
        guard Self.needsInnerArea(error.errno) else { throw error }
        try put(bytes, at: place, by: Self.temporary(port.interface, in: innerWorkArea))
      }
      try Files.synchronize(pod)
      if isNew { try Files.synchronize(directory) }
    }
  }

  /// Whether the work area beside the agent's directory cannot be used, and the one inside may be.
  static func needsInnerArea(_ errno: Errno) -> Bool {
    [.crossDevice, .readOnly, .accessDenied, .noSpace, .exists, .notDirectory].contains(errno)
  }

  func put(
    _ bytes: [UInt8], at path: String, by temporary: (directory: String, file: String)
  ) throws(SystemError) {
    do throws(SystemError) {
      try Files.makeDirectory(temporary.directory)
      try Files.write(
        temporary.file, bytes, mode: [.write, .create, .truncate, .noFollow], permissions: 0o644)
      // The daemon's umask takes bits away.
      try Files.setPermissions(temporary.file, 0o644)
      try Files.synchronize(temporary.file)
      try Files.rename(temporary.file, path)
    } catch {
      _ = try? Files.removeIfPresent(temporary.file)
      throw error
    }
  }

  /// The port files of a pod, ordered by interface; other files in its directory are passed over.
  public func list(name: String) throws(VRouterError) -> [PortFile] {
    let pod = try path(name)
    return try system { () throws(SystemError) in
      var files: [PortFile] = []
      for entry in try Self.entries(pod).sorted() {
        guard let interface = VRouterUUID(entry), interface.text == entry else { continue }
        if let file = try PortFile(interface, at: "\(pod)/\(entry)") { files.append(file) }
      }
      return files
    }
  }

  /// The names of the pods that have a directory, ordered.
  public func names() throws(VRouterError) -> [String] {
    try system { () throws(SystemError) in
      try Self.entries(directory).sorted().filter { name in
        name != Self.workAreaName && PodName.isValid(name)
          && (try? Files.linkStatus("\(directory)/\(name)"))?.kind == .directory
      }
    }
  }

  /// Removes a pod's port files with what a killed write left of them, and its directory
  /// once that is empty.
  ///
  /// A file that is not there is removed already, and a directory in its place is nobody's port.
  /// One that cannot be removed does not keep the others.
  public func remove(
    name: String, interfaces: [VRouterUUID], _ permit: borrowing Permit
  ) throws(VRouterError) {
    let pod = try path(name)
    var failure: SystemError?
    for path in interfaces.map({ "\(pod)/\($0)" }) + unfinished(interfaces) {
      do throws(SystemError) {
        try Self.remove(path)
      } catch {
        failure = failure ?? error
      }
    }
    do throws(SystemError) {
      try Files.removeDirectory(pod)
    } catch {
      switch error.errno {
      case .noEntry, .notDirectory, .notEmpty, .exists: break
      case .readOnly where Self.isAbsent(pod): break
      default: failure = failure ?? error
      }
    }
    if let failure { throw VRouterError(.file(failure)) }
  }

  /// Removes what killed writes have left of interfaces whose port files are another's.
  public func removeUnfinished(
    _ interfaces: [VRouterUUID], _ permit: borrowing Permit
  ) throws(VRouterError) {
    try system { () throws(SystemError) in
      for path in unfinished(interfaces) { try Self.remove(path) }
    }
  }

  private static func remove(_ path: String) throws(SystemError) {
    do throws(SystemError) {
      try Files.removeIfPresent(path)
    } catch {
      // A read-only file system refuses before it looks.
      if error.errno == .isDirectory || error.errno == .readOnly && isAbsent(path) { return }
      throw error
    }
  }

  private static func isAbsent(_ path: String) -> Bool {
    do throws(SystemError) {
      _ = try Files.linkStatus(path)
      return false
    } catch {
      return error.errno == .noEntry || error.errno == .notDirectory
    }
  }

  private func unfinished(_ interfaces: [VRouterUUID]) -> [String] {
    interfaces.flatMap { interface in
      [workArea, innerWorkArea].map { Self.temporary(interface, in: $0).file }
    }
  }

  /// Where files are created: beside the agent's directory, where neither the agent nor
  /// the original looks.
  var workArea: String { "\(directory)/../\(Self.workAreaName)" }

  /// The second choice: in the agent's directory, under names that neither of them
  /// takes for a port's.
  var innerWorkArea: String { "\(directory)/\(Self.workAreaName)" }

  private static let workAreaName = ".cni"

  static func temporary(
    _ interface: VRouterUUID, in area: String
  ) -> (directory: String, file: String) {
    (area, "\(area)/tmp-\(interface)")
  }

  private func path(_ name: String) throws(VRouterError) -> String {
    guard PodName.isValid(name) else { throw VRouterError(.invalidName(name)) }
    return "\(directory)/\(name)"
  }

  static func entries(_ path: String) throws(SystemError) -> [String] {
    do throws(SystemError) {
      return try Files.list(path)
    } catch {
      if error.errno == .noEntry || error.errno == .notDirectory { return [] }
      throw error
    }
  }

  func system<R>(_ work: () throws(SystemError) -> R) throws(VRouterError) -> R {
    do throws(SystemError) {
      return try work()
    } catch {
      throw VRouterError(.file(error))
    }
  }
}

/// What a pod's name may be, so that it stays in the directory and reaches the agent byte for byte.
enum PodName {
  static func isValid(_ name: String) -> Bool {
    let bytes = name.utf8
    guard !bytes.isEmpty, bytes.count <= 255, name != ".", name != ".." else { return false }
    // The agent decodes nothing and ends a path at a question mark.
    return bytes.allSatisfy { byte in
      byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "/") && byte != UInt8(ascii: "?")
        && byte != UInt8(ascii: "#")
    }
  }
}

/// What a port file says.
public struct PortFile: Sendable, Equatable {
  /// The interface, from the file's name.
  public var interface: VRouterUUID
  /// The container that has the port.
  public var containerID = ""
  /// The interface's name in the pod.
  public var ifName = ""
  /// The link in the host's namespace.
  public var hostLink = ""
  /// The path of the pod's network namespace.
  public var netns = ""
  /// The pod's identity; nil where it is missing.
  public var uuid: VRouterUUID?
  /// The network's identity; nil where it is missing.
  public var network: VRouterUUID?
  /// Whether the file is a JSON object at all; of a damaged one only the interface is known.
  public var isReadable = false

  /// Creates the file of an interface of which nothing else is known.
  public init(interface: VRouterUUID) { self.interface = interface }

  /// Reads a file; nil if it has gone meanwhile.
  ///
  /// - Throws: what has nothing to do with this file, such as too many open ones.
  init?(_ interface: VRouterUUID, at path: String) throws(SystemError) {
    self.init(interface: interface)
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try Files.read(path, limit: 64 * 1024)
    } catch {
      switch error.errno {
      case .noEntry: return nil
      case .tooManyFiles, .tooManyFilesInSystem, .noMemory: throw error
      default: return
      }
    }
    guard let value = try? JSONValue.parse(bytes), let object = value.object else { return }
    isReadable = true
    containerID = object["vm-id"]?.string ?? ""
    ifName = object["vm-ifname"]?.string ?? ""
    hostLink = object["host-ifname"]?.string ?? ""
    netns = object["vm-namespace"]?.string ?? ""
    uuid = object["vm-uuid"]?.string.flatMap { VRouterUUID($0) }
    network = object["vn-uuid"]?.string.flatMap { VRouterUUID($0) }
  }
}
