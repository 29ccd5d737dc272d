public import Linux
public import Netlink

/// How important a log line is.
public enum LogLevel: Int, Comparable, Sendable, CaseIterable {
  /// Something failed.
  case error
  /// Something is odd and was dealt with.
  case warning
  /// What an operator wants to know of normal work.
  case info
  /// Everything.
  case debug

  /// The name in configuration files and log lines.
  public var name: String {
    switch self {
    case .error: "error"
    case .warning: "warning"
    case .info: "info"
    case .debug: "debug"
    }
  }

  /// The level with a name.
  public init?(name: String) {
    guard let level = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = level
  }

  /// Errors come first.
  public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}

/// What the daemon offers to its plugins; kubelet's `Host` without the way back into kubelet.
public struct PluginHost: Sendable {
  /// Where host-local keeps its leases.
  public let dataDirectory: String
  /// Where programs of plugins are looked for before the request's CNI_PATH.
  public let binDirectories: [String]
  /// What paths of the node lead through where the daemon has another root: programs of plugins,
  /// files that networks name; nil for the daemon's own root.
  public let hostRoot: RootDirectory?
  /// Removes links without making anybody wait for the kernel's acknowledgement.
  public let linkRemover: LinkRemover
  /// Where else the paths of a network may lead.
  public let paths: AllowedPaths
  /// The node's pod network.
  public let podCIDR: PodCIDR
  /// Writes a log line that says whose call it is about; the daemon makes outside text harmless.
  public let log: @Sendable (LogLevel, String) -> Void
  /// Writes a log line about what no call has to itself, such as a connection.
  public let nodeLog: @Sendable (LogLevel, String) -> Void

  /// Creates a host.
  public init(
    dataDirectory: String, binDirectories: [String], hostRoot: RootDirectory? = nil,
    linkRemover: LinkRemover, paths: AllowedPaths = AllowedPaths(), podCIDR: PodCIDR = PodCIDR(),
    log: @escaping @Sendable (LogLevel, String) -> Void
  ) {
    self.init(
      dataDirectory, binDirectories, hostRoot, linkRemover, paths, podCIDR, log, nodeLog: log)
  }

  private init(
    _ dataDirectory: String, _ binDirectories: [String], _ hostRoot: RootDirectory?,
    _ linkRemover: LinkRemover, _ paths: AllowedPaths, _ podCIDR: PodCIDR,
    _ log: @escaping @Sendable (LogLevel, String) -> Void,
    nodeLog: @escaping @Sendable (LogLevel, String) -> Void
  ) {
    self.dataDirectory = dataDirectory
    self.binDirectories = binDirectories
    self.hostRoot = hostRoot
    self.linkRemover = linkRemover
    self.paths = paths
    self.podCIDR = podCIDR
    self.log = log
    self.nodeLog = nodeLog
  }

  /// The same for one call, whose lines are written by `log`.
  package func logging(_ log: @escaping @Sendable (LogLevel, String) -> Void) -> PluginHost {
    PluginHost(
      dataDirectory, binDirectories, hostRoot, linkRemover, paths, podCIDR, log, nodeLog: nodeLog)
  }
}
